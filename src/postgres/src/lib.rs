//! One PostgreSQL server: backup mode, control data, data-directory preparation, recovery settings,
//! and the agent's API through which a driver reaches it ([`Server`]).

mod error;
mod instance;

pub use error::{ApiError, Error};
pub use instance::{
    BackupBegun, BackupEnded, Result, Server, ServerStatus, Servers, WalSwitched, WriteProbe,
};

//! One PostgreSQL server: control data, backup mode, data-directory preparation, recovery settings,
//! and the agent's API through which a driver reaches it ([`Server`]).
//!
//! | where | what |
//! |---|---|
//! | [`ControlData`] | who the data directory is, read while the server is down |
//! | [`DataDirectory`] | turning a copy from a snapshot into one that will recover |
//! | [`RecoverySettings`] | the lines in `postgresql.auto.conf` that make it do so, and their removal |
//! | [`LocalServer`], [`BackupSession`] | the server on this machine, over its Unix socket |
//! | [`RemoteServers`] | the agents of other machines, over HTTPS with client certificates |
//!
//! Never here: a decision whether to start, restore or refuse (the agent's), or the object store.

mod auto_conf;
mod backup_session;
mod control_data;
mod data_directory;
mod error;
mod instance;
mod local;
mod local_status;
mod recovery;
mod recovery_settings;
mod remote;
mod retrying;

pub use backup_session::BackupSession;
pub use control_data::{ControlData, DatabaseState};
pub use data_directory::{DataDirectory, DataState, Preparation, Signal};
pub use error::{ApiError, Error};
pub use instance::{
    BackupBegun, BackupEnded, BeginBackup, Forwarded, NamedBackup, NamedRestore, Result, Server,
    ServerStatus, Servers, WalSwitched, WriteProbe,
};
pub use local::{LocalConfig, LocalServer, Reachable};
pub use local_status::Identity;
pub use recovery::{Promoted, Recovery};
pub use recovery_settings::{RecoveryGoal, RecoverySettings};
pub use remote::{AGENT_TLS_NAME, AgentsConfig, RemoteServer, RemoteServers};
pub use retrying::RetryingServers;

//! The BOSH Director: the trait [`Director`] with what Remount asks of it, and its HTTP client.

mod client;
mod config;
mod director;
mod error;
mod transport;

pub use client::HttpDirector;
pub use config::{DirectorConfig, Secret};
pub use director::{
    Director, Info, Instance, Lock, OrphanedDisk, Progress, Result, StopKind, Task, TaskId, TaskState,
};
pub use error::Error;

//! The BOSH Director: the trait [`Director`] with what Remount asks of it, and its HTTP client.
//!
//! | to | see |
//! |---|---|
//! | open a client from a program's configuration | [`DirectorConfig::open`] |
//! | know what may be asked and what is true after an error | [`Director`], [`Error`] |
//! | follow a task to its end | [`follow`] |
//!
//! Reads are tried again ([`RetryingDirector`]), changes are sent once: where the answer to a change is lost the
//! caller is told, and looks for the task before it asks again.

mod answer;
mod calls;
mod client;
mod config;
mod director;
mod error;
mod events;
mod follow;
mod http;
mod last_stop;
mod login;
mod queue_notice;
mod retrying;
mod route;
mod wire;

pub use client::HttpDirector;
pub use config::DirectorConfig;
pub use director::{Director, Info, Instance, Lock, OrphanedDisk, Result, StopKind, Task, TaskId, TaskState};
pub use error::Error;
pub use follow::{Follow, TASK_PACE, follow};
pub use last_stop::is_of_last_stop;
pub use queue_notice::QueueNotice;
pub use retrying::RetryingDirector;

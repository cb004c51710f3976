//! The BOSH Director: the trait [`Director`] with what Remount asks of it, and its HTTP client.
//!
//! | to | see |
//! |---|---|
//! | open a client from a program's configuration | [`DirectorConfig::open`] |
//! | know what may be asked and what is true after an error | [`Director`], [`Error`] |
//!
//! Nothing here decides what to do when a change was not answered: it is told, never repeated.

mod blocking;
mod calls;
mod client;
mod config;
mod director;
mod error;
mod events;
mod follow;
mod http;
mod login;
mod route;
mod wire;

pub use client::HttpDirector;
pub use config::{DirectorConfig, Secret};
pub use director::{
    Director, Info, Instance, Lock, OrphanedDisk, Progress, Result, StopKind, Task, TaskId, TaskState,
};
pub use error::Error;

pub(crate) use blocking::blocking;

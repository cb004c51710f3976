//! The process and its machine: what every program does in the same way.
//!
//! | to | see |
//! |---|---|
//! | read a program's configuration | [`config_file`] |
//! | keep a secret out of logs and errors | [`Secret`] |
//! | write a file that a power cut leaves whole | [`durable`] |
//! | act as the service user | [`Account`] |
//! | let one process in at a time | [`FileLock`] |
//! | limit a wait | [`Deadline`], [`Poll`], [`wait_until`] |
//! | try again what failed in passing | [`RetryPolicy`], [`retry`] |
//! | stop at a signal | [`cancel_on_signals`] |
//! | set up TLS | [`tls`] |
//! | find Remount's files on a database VM | [`Directories`] |
//! | send HTTP requests from a blocking thread | `http`, with the feature of that name |
//!
//! Never here: what is backed up or restored, and where.

mod account;
mod blocking;
pub mod config_file;
mod deadline;
pub mod durable;
mod file_lock;
mod file_mode;
#[cfg(feature = "http")]
pub mod http;
mod own_folder;
mod poll;
mod retry;
mod secret;
mod signals;
pub mod tls;
mod vm_files;

pub use account::{Account, AccountError, is_root, user_name};
pub use blocking::blocking;
pub use config_file::{ConfigError, NoRemountJob};
pub use deadline::Deadline;
pub use durable::{DiskFault, FileError};
pub use file_lock::{FileLock, LockError};
pub use file_mode::world_access;
pub use poll::{Pace, Poll, WaitError, wait_until};
pub use retry::{RetryPolicy, Retryable, retry};
pub use secret::Secret;
pub use signals::{cancel_on_signals, cancelled};
pub use vm_files::Directories;

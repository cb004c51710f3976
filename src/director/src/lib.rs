//! The BOSH Director: the trait [`Director`] with what Remount asks of it, and its HTTP client.

mod director;
mod error;

pub use director::{
    Director, Info, Instance, Lock, OrphanedDisk, Progress, Result, StopKind, Task, TaskId, TaskState,
};
pub use error::Error;

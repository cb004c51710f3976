//! The limit of a push or a fetch. The store tries again what fails in passing; what only looks like an answer, as a
//! file system that is not mounted yet, is asked again here.

use std::time::Duration;

use remount_core::{OperatorError, Retry};
use remount_host::Deadline;

use crate::error::{Error, Result};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Does `work` until it succeeds, fails for good, or the deadline passes.
///
/// # Errors
/// [`Error::Deadline`] with the last failure, or a failure of `work` that cannot pass.
pub async fn within<T>(deadline: Deadline, work: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut last = None;
    loop {
        match deadline.limit(work()).await {
            Some(Err(error)) if error.retry() == Retry::Soon => last = Some(Box::new(error)),
            Some(outcome) => return outcome,
            None => return Err(Error::Deadline { seconds: deadline.seconds(), last }),
        }
        if !deadline.pause(PAUSE).await {
            return Err(Error::Deadline { seconds: deadline.seconds(), last });
        }
    }
}

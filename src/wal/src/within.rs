//! The limit of a push or a fetch. The store tries again what fails in passing; this ends it with an error.

use std::time::Duration;

use remount_core::{OperatorError, Retry};
use remount_host::Deadline;

use crate::error::{Error, Result};

/// Does `work`, within `limit`. A failure that could still pass when the time is over becomes an expired deadline.
///
/// # Errors
/// [`Error::Deadline`], or that of `work`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let over = |last: Option<Error>| Error::Deadline { seconds: limit.as_secs(), last: last.map(Box::new) };
    match Deadline::after(limit).limit(work).await {
        Some(Err(error)) if error.retry() == Retry::Soon => Err(over(Some(error))),
        Some(outcome) => outcome,
        None => Err(over(None)),
    }
}

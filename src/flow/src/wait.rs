//! Waits of a flow: with a limit, at a pace that a cloud bears, ended at once where somebody asks to stop.

use std::fmt::Display;
use std::time::Duration;

use remount_host::{Poll, WaitError, wait_until};

use crate::{FlowContext, FlowError, Result};

/// Asks until it is so or `limit` is over. A question that fails ends the wait.
///
/// # Errors
/// [`FlowError::Deadline`], [`FlowError::WaitCancelled`], or that of the question.
pub async fn until<T, F, Fut>(ctx: &FlowContext, what: impl Display, limit: Duration, ask: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Poll<T>>>,
{
    let waited = wait_until(limit, ctx.timeouts.poll, &ctx.cancellation, ask).await;
    waited.map_err(|error| match error {
        WaitError::Failed(error) => error,
        WaitError::Cancelled => FlowError::WaitCancelled { waiting_for: what.to_string() },
        WaitError::Deadline(seen) => FlowError::Deadline {
            waiting_for: what.to_string(),
            seconds: limit.as_secs(),
            last_seen: (!seen.is_empty()).then_some(seen),
            next: None,
        },
    })
}

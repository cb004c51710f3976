//! Waits with a limit: for a fact, and for what fails in passing.

use std::fmt::Display;
use std::time::Duration;

use remount_core::{Advice, Retry};
use tokio::time::{Instant, sleep};

use crate::{FlowError, Result};

/// The pause before the first repetition; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Calls until it succeeds, fails for good, or has failed in passing for `limit`.
pub async fn retrying<T, E, F, Fut>(limit: Duration, mut call: F) -> Result<T, E>
where
    E: Advice,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(error) if error.retry() == Retry::Soon && Instant::now() + pause < deadline => {
                log::warn!(error:% = error, pause_ms = pause.as_millis(); "call failed, trying again");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// What one look showed.
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// Not yet; what is there instead.
    NotYet(String),
}

/// Looks every `poll` until something is found or `limit` is over. An error of a look ends the wait.
pub async fn until<T, F, Fut>(what: impl Display, limit: Duration, poll: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(seen) if Instant::now() >= deadline => {
                return Err(FlowError::Deadline {
                    waiting_for: what.to_string(),
                    seconds: limit.as_secs(),
                    last_seen: (!seen.is_empty()).then_some(seen),
                    next: None,
                });
            }
            Look::NotYet(_) => sleep(poll).await,
        }
    }
}

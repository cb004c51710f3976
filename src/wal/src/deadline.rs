//! Trying again until a deadline.

use std::time::{Duration, Instant};

use log::warn;
use remount_core::{Advice, Retry};

use crate::error::{Error, Result};

/// Before the second try; doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer: an outage that ends is noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs `work` until it succeeds, fails for good, or the time is over.
///
/// The store tries each call a few times by itself; this is for outages that last longer.
pub async fn within<T>(limit: Duration, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last = None;
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        match tokio::time::timeout(left, work()).await {
            Ok(Err(error)) if error.retry() == Retry::Soon => last = Some(error),
            Ok(outcome) => return outcome,
            Err(_) => return Err(over(limit, last)),
        }
        let left = limit.saturating_sub(begun.elapsed());
        if left <= pause {
            return Err(over(limit, last));
        }
        if let Some(error) = &last {
            warn!(error:% = error, pause_seconds = pause.as_secs_f32(); "trying again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn over(limit: Duration, last: Option<Error>) -> Error {
    Error::Deadline { seconds: limit.as_secs(), last: last.map(Box::new) }
}

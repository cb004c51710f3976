//! Waiting for a fact, with a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The first pause between two looks; each is longer than the one before.
const FIRST: Duration = Duration::from_millis(5);
/// The longest: what a cloud's API bears.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits until there is an answer.
///
/// # Panics
/// Where there is none within the limit.
pub(crate) async fn await_some<T>(what: &str, limit: Duration, ask: impl AsyncFn() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    let mut pause = FIRST;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "waited {} s in vain: {what}", limit.as_secs());
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST);
    }
}

/// Waits until a fact holds.
///
/// # Panics
/// Where it does not within the limit.
pub(crate) async fn until(what: &str, limit: Duration, fact: impl AsyncFn() -> bool) {
    await_some(what, limit, async || fact().await.then_some(())).await;
}

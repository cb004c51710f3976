//! A limit for everything that waits.

use std::future::Future;
use std::time::{Duration, Instant};

/// When waiting ends.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    until: Instant,
    seconds: u64,
}

impl Deadline {
    /// So many seconds from now.
    pub fn after_seconds(seconds: u64) -> Self {
        Self { until: Instant::now() + Duration::from_secs(seconds), seconds }
    }

    /// The limit it was made with.
    pub fn seconds(self) -> u64 {
        self.seconds
    }

    /// The answer of `work`, where it comes before the deadline.
    pub async fn limit<W: Future>(self, work: W) -> Option<W::Output> {
        tokio::time::timeout_at(self.until.into(), work).await.ok()
    }

    /// Waits for `pause`, at most until the deadline. False where the deadline has passed.
    pub async fn pause(self, pause: Duration) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(pause.min(left)).await;
        true
    }
}

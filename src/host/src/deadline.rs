//! A limit for everything that waits.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// When waiting ends. By a clock that does not jump.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    until: Instant,
    limit: Duration,
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, limit }
    }

    /// So many seconds from now.
    #[must_use]
    pub fn after_seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// The limit it was made with, in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.limit.as_secs()
    }

    /// What is left; zero where it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The instant itself.
    #[must_use]
    pub fn instant(self) -> std::time::Instant {
        self.until.into_std()
    }

    /// The answer of `work`, where it comes before the deadline.
    pub async fn limit<W: Future>(self, work: W) -> Option<W::Output> {
        tokio::time::timeout_at(self.until, work).await.ok()
    }

    /// Waits for `pause`, at most until the deadline. False where the deadline has passed.
    pub async fn pause(self, pause: Duration) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(pause.min(left)).await;
        true
    }
}

//! How long others were waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time spent waiting for others since a run began.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitTimes {
    /// For Director tasks.
    pub director: Duration,
    /// For PostgreSQL.
    pub postgres: Duration,
}

impl WaitTimes {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            director: self.director.saturating_sub(earlier.director),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }
}

/// Runs while at least one guard lives.
#[derive(Debug, Default)]
pub(crate) struct WaitTimer(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    guards: usize,
    since: Option<Instant>,
    total: Duration,
}

/// Lives as long as something is waited for.
#[derive(Debug)]
pub struct Waiting<'a>(&'a WaitTimer);

impl WaitTimer {
    pub(crate) fn enter(&self) -> Waiting<'_> {
        let mut reading = self.lock();
        reading.guards += 1;
        reading.since.get_or_insert_with(Instant::now);
        Waiting(self)
    }

    pub(crate) fn total(&self) -> Duration {
        let reading = self.lock();
        reading.total + reading.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Nothing that holds the lock can panic midway and leave it half written.
    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut reading = self.0.lock();
        reading.guards -= 1;
        if reading.guards == 0
            && let Some(since) = reading.since.take()
        {
            reading.total += since.elapsed();
        }
    }
}

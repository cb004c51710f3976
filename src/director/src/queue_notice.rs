//! What is said of a task that waits for a worker of the Director.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::{Task, TaskState};

/// A task that has been queued for so long waits for a worker.
const BUSY_AFTER: Duration = Duration::from_secs(10);
/// Pause between two such sentences.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Notices that a task stays queued, and says so, not too often.
#[derive(Debug)]
pub struct QueueNotice {
    since: Instant,
    said: Mutex<Option<Instant>>,
}

impl QueueNotice {
    /// Of a task that was asked for at this time.
    #[must_use]
    pub const fn since(asked: Instant) -> Self {
        Self { since: asked, said: Mutex::new(None) }
    }

    /// The sentence, where it is time for one.
    pub fn notice(&self, task: &Task, now: Instant) -> Option<String> {
        if task.state != TaskState::Queued || now.duration_since(self.since) < BUSY_AFTER {
            return None;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| now.duration_since(said) < AGAIN_AFTER) {
            return None;
        }
        *said = Some(now);
        let seconds = now.duration_since(self.since).as_secs();
        Some(format!(
            "Director task {} ({}) has been queued for {seconds} s: all workers are busy; `bosh tasks` shows with what, \
             `bosh cancel-task ID` ends what can wait",
            task.id, task.description
        ))
    }
}

//! What a restore says while the Director keeps it waiting: who holds the lock, and that workers are busy.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use remount_director::{Error, Task, TaskState};

use super::context::RestoreContext;

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
    /// From now on.
    pub fn new() -> Self {
        Self { since: Instant::now(), said: Mutex::new(None) }
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

/// Says who holds the lock that a change waits for.
pub async fn name_the_lock(restore: &RestoreContext<'_>, action: &str, error: &Error) {
    let deployment = restore.plan.deployment.as_str();
    let locks = restore.ctx.director.locks().await.unwrap_or_default();
    let held = locks.into_iter().find(|lock| lock.resource.iter().any(|resource| resource == deployment));
    let line = match held.and_then(|lock| lock.task_id) {
        Some(task) => format!(
            "{action}: Director task {task} holds the lock of deployment {deployment}; waiting for it \
             (`bosh task {task}` follows it)"
        ),
        None => format!("{action}: {error}; trying again"),
    };
    restore.reporter.note(line);
}

#[cfg(test)]
mod tests {
    use remount_director::TaskId;

    use super::*;

    fn task(state: TaskState) -> Task {
        Task {
            id: TaskId(7),
            state,
            word: String::new(),
            description: "stop instance postgres/1".into(),
            result: None,
            deployment: None,
            context_id: None,
            started_at: None,
        }
    }

    #[test]
    fn a_task_that_stays_queued_is_told_now_and_then() {
        let queue = QueueNotice::new();
        let at = |seconds| queue.since + Duration::from_secs(seconds);
        assert_eq!(queue.notice(&task(TaskState::Queued), at(3)), None, "not at once");
        assert_eq!(queue.notice(&task(TaskState::Processing), at(30)), None, "it runs");
        let said = queue.notice(&task(TaskState::Queued), at(30)).unwrap();
        assert!(said.contains("task 7 (stop instance postgres/1)") && said.contains("30 s"), "{said}");
        assert_eq!(queue.notice(&task(TaskState::Queued), at(40)), None, "not again so soon");
        assert!(queue.notice(&task(TaskState::Queued), at(95)).is_some());
    }
}

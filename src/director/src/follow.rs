//! Following a task to its end: the one loop that waits for a Director.

use std::time::{Duration, Instant};

use log::{info, warn};
use remount_host::Pace;
use tokio_util::sync::CancellationToken;

use crate::{Director, Error, Result, Task, TaskId};

/// How often a task is read: a late read adds to the downtime, and a Director answers a request per second.
pub const TASK_PACE: Pace = Pace { first: Duration::from_millis(50), longest: Duration::from_secs(1) };
/// A Director that is being redeployed answers again within this time; one that is gone does not.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);
/// An outage of this length is logged when it ends.
const OUTAGE: Duration = Duration::from_secs(10);

/// How a task is followed.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// When to give up; the task goes on.
    pub deadline: Instant,
    /// How often it is read; [`TASK_PACE`] except in tests.
    pub pace: Pace,
    /// Ends the following at once; the task goes on.
    pub cancellation: &'a CancellationToken,
    /// Called each time the task's state was read.
    pub progress: &'a (dyn Fn(&Task) + Send + Sync),
}

/// Reads a task until it has ended, the deadline has passed, or the Director has been silent too long.
///
/// # Errors
/// [`Error::TaskFailed`] with the Director's whole message; [`Error::TaskTimeout`] where the deadline passes first
/// and [`Error::Cancelled`] where somebody asks to stop: the task goes on.
pub async fn follow(director: &dyn Director, task: TaskId, how: Follow<'_>) -> Result<Task> {
    let begun = Instant::now();
    let mut last_answer = begun;
    let mut seen: Option<Task> = None;
    loop {
        match director.task(task).await {
            Ok(found) => {
                tell_outage(task, last_answer);
                last_answer = Instant::now();
                (how.progress)(&found);
                if found.state.is_final() {
                    return Ok(found);
                }
                seen = Some(found);
            }
            Err(error @ Error::Unanswered { .. }) if last_answer.elapsed() < LONGEST_SILENCE => {
                if Instant::now() >= how.deadline {
                    return Err(error);
                }
                warn!(task = task.0, error:% = remount_core::with_causes(&error); "the Director does not answer; the task may go on");
            }
            Err(error) => return Err(error),
        }
        let left = how.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(still_running(task, seen, begun.elapsed()));
        }
        tokio::select! {
            () = how.cancellation.cancelled() => return Err(Error::Cancelled { task }),
            () = tokio::time::sleep(how.pace.pause(begun.elapsed()).min(left)) => {}
        }
    }
}

fn still_running(task: TaskId, seen: Option<Task>, waited: Duration) -> Error {
    let (state, description) =
        seen.map_or_else(|| ("unknown".into(), String::new()), |task| (task.word, task.description));
    Error::TaskTimeout { task, description, state, waited_seconds: waited.as_secs() }
}

fn tell_outage(task: TaskId, last_answer: Instant) {
    let silent = last_answer.elapsed();
    if silent > OUTAGE {
        info!(task = task.0, silent_seconds = silent.as_secs(); "the Director answers again");
    }
}

//! Following a task to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::calls::Calls;
use crate::events::{Failure, failure, output};
use crate::wire::WireTask;
use crate::{Error, Progress, Result, Task, TaskId, TaskState, blocking, route};

/// The first pause between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause is this part of the time waited so far: what a look comes late is lost downtime.
const PAUSE_PART: u32 = 20;
/// A Director that is being redeployed answers again within this time; one that is gone does not.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);
/// A task that has waited so long for a worker may wait for ever: an errand occupies one.
const QUEUED_IS_STRANGE: Duration = Duration::from_secs(30);

/// Looks at a task until it has ended, `deadline` has passed or the Director has been silent too long.
pub(crate) async fn follow(
    calls: &Arc<Calls>,
    task: TaskId,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<Task> {
    let begun = Instant::now();
    let mut last_answer = begun;
    let mut queued_told = false;
    let mut seen: Option<(Task, String)> = None;
    loop {
        match look(calls, task).await {
            Ok((state, word)) => {
                tell_outage(task, last_answer);
                last_answer = Instant::now();
                progress(&state);
                if state.state.is_final() {
                    return ended(calls, state).await;
                }
                queued_told = queued_told || tell_queue(&state, begun.elapsed());
                seen = Some((state, word));
            }
            Err(error @ Error::Unanswered { .. }) if last_answer.elapsed() < LONGEST_SILENCE => {
                if Instant::now() >= deadline {
                    return Err(error);
                }
                warn!(task = task.0, error:% = error; "the Director does not answer; the task may go on");
            }
            Err(error) => return Err(error),
        }
        let waited = begun.elapsed();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(still_running(task, seen, waited));
        }
        let pause = (waited / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        tokio::time::sleep(pause.min(left)).await;
    }
}

/// The task and the Director's own word for its state.
async fn look(calls: &Arc<Calls>, task: TaskId) -> Result<(Task, String)> {
    blocking(calls, move |calls| {
        let wire: WireTask = calls.json(&format!("look at Director task {task}"), &route::task(task))?;
        let word = wire.state.clone();
        Ok((wire.into(), word))
    })
    .await
}

async fn ended(calls: &Arc<Calls>, task: Task) -> Result<Task> {
    if task.state == TaskState::Done {
        return Ok(task);
    }
    let id = task.id;
    let told = match blocking(calls, move |calls| output(calls, id, "event")).await {
        Ok(events) => failure(&events),
        Err(error) => {
            warn!(task = id.0, error:% = error; "the task's events cannot be read");
            None
        }
    };
    let short = || Failure { code: 0, message: task.result.clone().unwrap_or_default() };
    let Failure { code, message } = told.filter(|told| !told.message.is_empty()).unwrap_or_else(short);
    let state = word_of(task.state).to_owned();
    Err(Error::TaskFailed { task: id, description: task.description, state, code, message })
}

fn still_running(task: TaskId, seen: Option<(Task, String)>, waited: Duration) -> Error {
    let (description, state) =
        seen.map_or_else(|| (String::new(), "unknown".to_owned()), |(task, word)| (task.description, word));
    Error::TaskTimeout { task, description, state, waited_seconds: waited.as_secs() }
}

/// Whether it was told.
fn tell_queue(task: &Task, waited: Duration) -> bool {
    let strange = task.state == TaskState::Queued && waited > QUEUED_IS_STRANGE;
    if strange {
        warn!(task = task.id.0, description = task.description.as_str(); "the task waits for a free Director worker");
    }
    strange
}

fn tell_outage(task: TaskId, last_answer: Instant) {
    let silent = last_answer.elapsed();
    if silent > LONGEST_PAUSE * 10 {
        info!(task = task.0, silent_seconds = silent.as_secs(); "the Director answers again");
    }
}

const fn word_of(state: TaskState) -> &'static str {
    match state {
        TaskState::Queued => "queued",
        TaskState::Processing => "processing",
        TaskState::Cancelling => "cancelling",
        TaskState::Done => "done",
        TaskState::Error => "error",
        TaskState::Cancelled => "cancelled",
        TaskState::Timeout => "timeout",
    }
}

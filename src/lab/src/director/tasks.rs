//! The table of tasks: rows, states, outputs, and the queue in front of the workers.
//!
//! ```text
//! queued ──> processing ──> done | error
//!    │            │   └───> timeout   (seen lazily, when somebody reads a task whose worker is silent)
//!    └─ cancel ─> cancelling ──> cancelled | done | error
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::{DirectorError, Result};
use super::faults::Operation;
use super::task_context::TaskContext;

/// After this many silent checkpoint intervals a task counts as dead.
const SILENT_INTERVALS: u32 = 6;
/// `result` is cut to this many characters and one.
const RESULT_LENGTH: usize = 128;
/// Kinds that `GET /tasks` shows without `verbose=2`.
const MAIN_KINDS: [&str; 8] = [
    "attach_disk",
    "create_snapshot",
    "delete_deployment",
    "delete_snapshot",
    "run_errand",
    "snapshot_deployment",
    "update_instance",
    "update_deployment",
];

/// A task's state; the words are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Queued,
    Processing,
    Cancelling,
    Done,
    Error,
    Cancelled,
    Timeout,
}

impl TaskState {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Cancelling => "cancelling",
            Self::Done => "done",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }

    /// Whether a job that is still at it has to stop at its next checkpoint.
    pub(crate) const fn must_stop(self) -> bool {
        matches!(self, Self::Cancelling | Self::Cancelled | Self::Timeout)
    }
}

/// Which workers may take a task, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    /// Reading instances: before everything else.
    Urgent,
    /// All the rest.
    Normal,
}

/// What a task does; its text is the task's `result`.
pub(crate) type Job = Box<dyn FnOnce(&TaskContext) -> Result<Option<String>> + Send>;

/// A task to be queued.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) kind: &'static str,
    pub(crate) operation: Operation,
    pub(crate) queue: Queue,
    pub(crate) description: String,
    pub(crate) deployment: Option<String>,
    pub(crate) teams: Vec<String>,
    pub(crate) user: String,
    pub(crate) context_id: String,
}

/// A task's row.
#[derive(Clone, Debug)]
pub(crate) struct TaskRow {
    pub(crate) id: u64,
    pub(crate) kind: &'static str,
    pub(crate) operation: Operation,
    pub(crate) description: String,
    pub(crate) state: TaskState,
    pub(crate) deployment: Option<String>,
    pub(crate) teams: Vec<String>,
    pub(crate) result: Option<String>,
    user: String,
    context_id: String,
    timestamp: Timestamp,
    started_at: Option<Timestamp>,
    checkpoint: Instant,
    /// Its worker died: nobody confirms any more that it lives.
    pub(crate) abandoned: bool,
    pub(crate) event_output: String,
    pub(crate) result_output: String,
    pub(crate) debug_output: String,
}

impl TaskRow {
    /// What it is about. Actions name their instance in the caller's context alone.
    pub(crate) fn about(&self) -> String {
        format!("{} {} {}", self.deployment.as_deref().unwrap_or_default(), self.description, self.context_id)
    }

    /// As `GET /tasks/ID` shows it.
    pub(crate) fn to_json(&self) -> Value {
        let going_on = matches!(self.state, TaskState::Queued | TaskState::Processing);
        json!({
            "id": self.id,
            "state": self.state.word(),
            "description": self.description,
            "timestamp": (!going_on).then(|| self.timestamp.as_second()),
            "started_at": self.started_at.map(Timestamp::as_second),
            "result": self.result,
            "user": self.user,
            "deployment": self.deployment,
            "context_id": self.context_id,
        })
    }

    /// Ends the task.
    pub(crate) fn finish(&mut self, outcome: Result<Option<String>>) {
        let (state, result) = match outcome {
            Ok(text) => (TaskState::Done, text.unwrap_or_default()),
            Err(error) => {
                self.event(&json!({"time": Timestamp::now().as_second(),
                    "error": {"code": error.code, "message": error.message}}));
                match error.code {
                    super::error::TASK_CANCELLED => (TaskState::Cancelled, "task cancelled".into()),
                    _ => (TaskState::Error, error.message),
                }
            }
        };
        self.state = state;
        self.result = Some(cut(&result));
        self.timestamp = Timestamp::now();
    }

    /// One line of event output.
    pub(crate) fn event(&mut self, entry: &Value) {
        self.event_output.push_str(&entry.to_string());
        self.event_output.push('\n');
    }

    /// The worker says it lives.
    pub(crate) fn confirm(&mut self) {
        self.checkpoint = Instant::now();
    }

    fn begin(&mut self) {
        self.state = TaskState::Processing;
        self.started_at = Some(Timestamp::now());
        self.confirm();
    }
}

/// All tasks and the jobs that wait.
#[derive(Default)]
pub(crate) struct TaskTable {
    rows: BTreeMap<u64, TaskRow>,
    waiting: VecDeque<(Queue, u64, Job)>,
    last_id: u64,
}

impl fmt::Debug for TaskTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTable").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl TaskTable {
    /// Queues `job` and answers the task's number.
    pub(crate) fn enqueue(&mut self, new: NewTask, job: Job) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let row = TaskRow {
            id,
            kind: new.kind,
            operation: new.operation,
            description: new.description,
            state: TaskState::Queued,
            deployment: new.deployment,
            teams: new.teams,
            result: None,
            user: new.user,
            context_id: new.context_id,
            timestamp: Timestamp::now(),
            started_at: None,
            checkpoint: Instant::now(),
            abandoned: false,
            event_output: String::new(),
            result_output: String::new(),
            debug_output: format!("I, TaskHelper: Enqueuing task: {id}\n"),
        };
        self.rows.insert(id, row);
        self.waiting.push_back((new.queue, id, job));
        id
    }

    /// The next task for a worker: urgent ones first, and none that `held` names. A task that was
    /// cancelled in the queue ends here.
    pub(crate) fn next(
        &mut self,
        queue: Option<Queue>,
        held: impl Fn(&TaskRow) -> bool,
    ) -> Option<(u64, Job)> {
        loop {
            let rows = &self.rows;
            let free = |(q, id, _): &&(Queue, u64, Job)| {
                queue.is_none_or(|only| *q == only) && rows.get(id).is_some_and(|row| !held(row))
            };
            let best = self.waiting.iter().filter(free).map(|(q, id, _)| (*q, *id)).min()?;
            let at = self.waiting.iter().position(|(_, id, _)| *id == best.1)?;
            let (_, id, job) = self.waiting.remove(at)?;
            let row = self.rows.get_mut(&id)?;
            if row.state == TaskState::Queued {
                row.begin();
                return Some((id, job));
            }
            row.finish(Err(DirectorError::cancelled(id)));
        }
    }

    pub(crate) fn get(&self, id: u64) -> Result<&TaskRow> {
        self.rows.get(&id).ok_or_else(|| DirectorError::task_not_found(&id.to_string()))
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Result<&mut TaskRow> {
        self.rows.get_mut(&id).ok_or_else(|| DirectorError::task_not_found(&id.to_string()))
    }

    /// Asks for a cancellation; says no where the task is past that.
    pub(crate) fn cancel(&mut self, id: u64) -> Result<bool> {
        let row = self.get_mut(id)?;
        let can = matches!(row.state, TaskState::Queued | TaskState::Processing);
        if can {
            row.state = TaskState::Cancelling;
        }
        Ok(can)
    }

    /// Sets `timeout` where a worker was silent for too long: only readers of tasks ever do this.
    pub(crate) fn time_out_silent(&mut self, checkpoint_interval: Duration) {
        for row in self.rows.values_mut() {
            let going_on = matches!(row.state, TaskState::Processing | TaskState::Cancelling);
            let waiting = self.waiting.iter().any(|(_, id, _)| *id == row.id);
            if going_on && !waiting && row.checkpoint.elapsed() > checkpoint_interval * SILENT_INTERVALS {
                row.state = TaskState::Timeout;
            }
        }
    }

    /// The workers' heartbeat for all tasks that have a living one.
    pub(crate) fn confirm_living(&mut self) {
        let going_on = |row: &&mut TaskRow| {
            !row.abandoned && matches!(row.state, TaskState::Processing | TaskState::Cancelling)
        };
        self.rows.values_mut().filter(going_on).for_each(TaskRow::confirm);
    }

    /// Newest first.
    pub(crate) fn list(&self, filter: &TaskFilter) -> Vec<&TaskRow> {
        let limit = filter.limit.map_or(usize::MAX, |limit| limit.max(1));
        self.rows.values().rev().filter(|row| filter.accepts(row)).take(limit).collect()
    }

    /// The tasks that a mass cancellation means.
    pub(crate) fn select(&self, states: &[String], kinds: &[String], deployment: Option<&str>) -> Vec<u64> {
        let wanted = |row: &&TaskRow| {
            states.iter().any(|s| s == row.state.word())
                && (kinds.is_empty() || kinds.iter().any(|k| k == row.kind))
                && deployment.is_none_or(|d| row.deployment.as_deref() == Some(d))
        };
        self.rows.values().filter(wanted).map(|row| row.id).collect()
    }
}

/// What `GET /tasks` is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskFilter {
    pub(crate) states: Vec<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) context_id: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) all_kinds: bool,
}

impl TaskFilter {
    fn accepts(&self, row: &TaskRow) -> bool {
        (self.states.is_empty() || self.states.iter().any(|s| s == row.state.word()))
            && (self.all_kinds || MAIN_KINDS.contains(&row.kind))
            && self.deployment.as_ref().is_none_or(|d| row.deployment.as_ref() == Some(d))
            && self.context_id.as_ref().is_none_or(|c| *c == row.context_id)
    }
}

/// Cuts a result as the Director does: at 129 characters, back to the last word that fits, and dots.
fn cut(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= RESULT_LENGTH {
        return text.to_owned();
    }
    let head: String = text.chars().take(RESULT_LENGTH + 1).collect();
    let whole_words = head.rfind(char::is_whitespace).map_or(head.as_str(), |at| &head[..at]);
    format!("{whole_words}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_ends_with_a_whole_word_and_dots() {
        let text = format!("{} tail that is cut", "x".repeat(125));
        assert_eq!(cut(&text), format!("{}...", "x".repeat(125)));
        assert_eq!(cut(" short "), "short");
    }
}

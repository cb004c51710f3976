//! What a job has in its hands while it runs: its row, its outputs, its cancellation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::LabDirector;
use super::error::{DirectorError, Result};
use super::faults::{FaultKind, Operation};

/// A task that runs.
#[derive(Clone, Debug)]
pub(crate) struct TaskContext {
    pub(crate) director: Arc<LabDirector>,
    pub(crate) id: u64,
    pub(crate) operation: Operation,
    /// What it is about, for faults that are bound to something.
    pub(crate) about: String,
}

impl TaskContext {
    /// Fails where the task was cancelled: jobs stop here and nowhere else.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        if self.is_cancelled() { Err(DirectorError::cancelled(self.id)) } else { Ok(()) }
    }

    /// Whether the task has to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.director.stopping.load(Ordering::Relaxed)
            || self.director.read(|s| s.tasks.get(self.id).is_ok_and(|row| row.state.must_stop()))
    }

    /// A line of debug output.
    pub(crate) fn debug(&self, text: &str) {
        self.change_row(|row| {
            row.debug_output.push_str(text);
            row.debug_output.push('\n');
        });
    }

    /// A line of result output.
    pub(crate) fn result_line(&self, value: &Value) {
        self.change_row(|row| {
            row.result_output.push_str(&value.to_string());
            row.result_output.push('\n');
        });
    }

    /// A warning in the event output.
    pub(crate) fn warn(&self, message: &str) {
        self.event(&json!({"time": Timestamp::now().as_second(), "type": "warning", "message": message}));
    }

    /// A stage of `total` steps.
    pub(crate) fn stage(&self, name: &str, total: usize) -> Stage<'_> {
        Stage { cx: self, name: name.to_owned(), total, index: 0 }
    }

    /// Fails if a fault of this kind was ordered for this operation.
    pub(crate) fn fail_if_told(&self, kind: FaultKind) -> Result<()> {
        match self.director.write(|s| s.faults.take(self.operation, &self.about, |k| k == kind)) {
            Some(_) => Err(DirectorError::generic("the lab was told to fail this task")),
            None => Ok(()),
        }
    }

    /// Waits, and looks at the cancellation meanwhile.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        let mut state = self.director.lock();
        loop {
            let must_stop = state.tasks.get(self.id).is_ok_and(|row| row.state.must_stop());
            if must_stop || self.director.stopping.load(Ordering::Relaxed) {
                return Err(DirectorError::cancelled(self.id));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Ok(());
            }
            state = self.director.wait(state, left);
        }
    }

    fn event(&self, entry: &Value) {
        self.change_row(|row| row.event(entry));
    }

    /// A row is never deleted while its job runs; if it were, there would be nobody to write to.
    fn change_row(&self, change: impl FnOnce(&mut super::tasks::TaskRow)) {
        self.director.write(|s| {
            if let Ok(row) = s.tasks.get_mut(self.id) {
                change(row);
            }
        });
    }
}

/// A stage of a task's event output.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    cx: &'a TaskContext,
    name: String,
    total: usize,
    index: usize,
}

impl Stage<'_> {
    /// Runs one step and writes its begin and end.
    pub(crate) fn track<T>(&mut self, step: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.index += 1;
        self.entry(step, "started", 0, None);
        self.cx.debug(&format!("I, {}: {step}", self.name));
        let outcome = work();
        match &outcome {
            Ok(_) => self.entry(step, "finished", 100, None),
            Err(error) => self.entry(step, "failed", 100, Some(&error.message)),
        }
        outcome
    }

    fn entry(&self, step: &str, state: &str, progress: u8, error: Option<&str>) {
        let mut entry = json!({
            "time": Timestamp::now().as_second(), "stage": self.name, "tags": [], "total": self.total,
            "task": step, "index": self.index, "state": state, "progress": progress,
        });
        if let Some(error) = error {
            entry["data"] = json!({"error": error});
        }
        self.cx.event(&entry);
    }
}

//! What a run tells while it goes on. The program decides how it looks.

use remount_core::RunId;
use serde::{Deserialize, Serialize};

/// Listens to a run.
pub trait Progress: Send + Sync {
    /// Something happened. Called often; must not block.
    fn event(&self, event: &ProgressEvent);
}

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressEvent {
    /// The run.
    pub run: RunId,
    /// The step's name, as the journal has it.
    pub step: String,
    /// The step's place in the list, from 1.
    pub number: usize,
    /// How many steps there are.
    pub total: usize,
    /// What happened.
    pub kind: ProgressKind,
    /// Seconds since the step (or its undo) began; 0 for those that begin.
    pub seconds: f64,
    /// One line for people.
    pub detail: Option<String>,
}

/// What happened to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressKind {
    /// It began.
    Begun,
    /// It says something (`detail`) and goes on.
    Note,
    /// It is done.
    Done,
    /// It failed; its undo follows, or the run stops.
    Failed,
    /// Its undo began.
    UndoBegun,
    /// What it had done is undone.
    Undone,
    /// Its undo failed: a person is needed.
    UndoFailed,
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: &ProgressEvent) {}
}

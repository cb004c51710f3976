//! What a run tells while it goes on. The program decides how it looks.

use std::fmt;

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

/// One line: where in the list the step is, its name, what happened, and the detail.
impl fmt::Display for ProgressEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, total, step, seconds, .. } = self;
        let what = match self.kind {
            ProgressKind::Begun => "…",
            ProgressKind::Note => "   ",
            ProgressKind::Done => "done",
            ProgressKind::Failed => "FAILED",
            ProgressKind::UndoBegun => "undoing …",
            ProgressKind::Undone => "undone",
            ProgressKind::UndoFailed => "UNDO FAILED",
        };
        let shows_time = self.kind != ProgressKind::Note && *seconds >= 0.05;
        let time = if shows_time { format!(" {seconds:.1} s") } else { String::new() };
        let detail = self.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
        let line = format!("[{number:>2}/{total}] {step:<15} {what}{time}{detail}");
        f.write_str(line.trim_end())
    }
}

/// Discards every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: &ProgressEvent) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn event(kind: ProgressKind, seconds: f64, detail: Option<&str>) -> ProgressEvent {
        ProgressEvent {
            run: "20261123T004500Z-k3f9".parse().unwrap(),
            step: "swap_primary".into(),
            number: 9,
            total: 13,
            kind,
            seconds,
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn a_line_says_where_in_the_list_it_is() {
        let lines = [
            (event(ProgressKind::Begun, 0.0, None), "[ 9/13] swap_primary    …"),
            (event(ProgressKind::Note, 3.0, Some("task 7")), "[ 9/13] swap_primary         task 7"),
            (event(ProgressKind::Done, 1.26, Some("disk-1")), "[ 9/13] swap_primary    done 1.3 s  disk-1"),
            (event(ProgressKind::UndoFailed, 2.0, None), "[ 9/13] swap_primary    UNDO FAILED 2.0 s"),
        ];
        for (event, line) in lines {
            assert_eq!(event.to_string(), line);
        }
    }
}

//! `journal/<n>.json`: one event of a run, for a restore below `restores/<id>/`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of a run's journal. Events are numbered from 1, without a gap; each is created once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEvent {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// Its number in the journal.
    pub n: u64,
    /// The writer's clock: for people and for durations, never for order.
    pub at: Timestamp,
    /// The writer's lease.
    pub epoch: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The run began; always the first event.
    Begun {
        /// Its steps, in order: a version of Remount with other steps cannot go on with it.
        steps: Vec<String>,
    },
    /// A step is about to act.
    Intended {
        /// The step.
        step: String,
    },
    /// A step acted.
    Done {
        /// The step.
        step: String,
        /// How long it took.
        #[serde(flatten)]
        times: StepTimes,
        /// What the steps after it have to know.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
    },
    /// A step failed; something of it may have happened.
    Failed {
        /// The step.
        step: String,
        /// Why.
        error: String,
    },
    /// A step is about to be undone.
    UndoIntended {
        /// The step.
        step: String,
    },
    /// A step was undone.
    Undone {
        /// The step.
        step: String,
    },
    /// The undo of a step failed.
    UndoFailed {
        /// The step.
        step: String,
        /// Why.
        error: String,
    },
    /// The run stopped for a person to look.
    Held {
        /// The step that failed.
        step: String,
        /// Why.
        error: String,
        /// What a person can do, one command or sentence each.
        next: Vec<String>,
    },
    /// The run stopped before a step, as was asked for, and waits for a person to say how it goes on.
    Paused {
        /// The step that has not begun.
        step: String,
        /// What a person can do, one command or sentence each.
        next: Vec<String>,
    },
    /// A step, and what was done after it, is to be done again: what is wanted of it has changed.
    Reopened {
        /// The step.
        step: String,
        /// What is wanted now.
        why: String,
    },
    /// What the run has made is put aside by its rollback, never deleted: it may hold what users wrote.
    PutAside {
        /// Why that may be.
        reason: String,
    },
    /// The run needs a person: an undo failed.
    Stuck {
        /// The step whose undo failed.
        step: String,
        /// Why.
        error: String,
        /// How a person finishes it, one command or sentence each.
        next: Vec<String>,
    },
    /// The run ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps are done.
    Completed,
    /// All that was begun is undone.
    Undone,
}

/// How long a step took, and for whom it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// In all.
    pub seconds: f64,
    /// Of these, waiting for Director tasks (what PostgreSQL does inside a start is part of it).
    #[serde(default)]
    pub director_seconds: f64,
    /// Of these, waiting for PostgreSQL itself.
    #[serde(default)]
    pub postgres_seconds: f64,
}

impl What {
    /// The step it is about; none where it is about the whole run.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Intended { step }
            | Self::Done { step, .. }
            | Self::Failed { step, .. }
            | Self::UndoIntended { step }
            | Self::Undone { step }
            | Self::UndoFailed { step, .. }
            | Self::Held { step, .. }
            | Self::Paused { step, .. }
            | Self::Reopened { step, .. }
            | Self::Stuck { step, .. } => Some(step),
            Self::Begun { .. } | Self::PutAside { .. } | Self::Finished { .. } | Self::Unknown => None,
        }
    }

    /// Its name, as the journal has it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Intended { .. } => "intended",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::UndoIntended { .. } => "undo_intended",
            Self::Undone { .. } => "undone",
            Self::UndoFailed { .. } => "undo_failed",
            Self::Held { .. } => "held",
            Self::Paused { .. } => "paused",
            Self::Reopened { .. } => "reopened",
            Self::PutAside { .. } => "put_aside",
            Self::Stuck { .. } => "stuck",
            Self::Finished { .. } => "finished",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Undone => "undone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What) -> JournalEvent {
        JournalEvent { format: 1, n: 2, at: Timestamp::UNIX_EPOCH, epoch: 3, what }
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let times = StepTimes { seconds: 1.5, director_seconds: 1.0, postgres_seconds: 0.0 };
        let done = event(What::Done { step: "begin".into(), times, output: Value::Null });
        let json = serde_json::to_value(&done).unwrap();
        assert_eq!(json["event"], "done");
        assert_eq!(json["seconds"], 1.5);
        assert_eq!(serde_json::from_value::<JournalEvent>(json).unwrap(), done);
    }

    #[test]
    fn the_name_of_an_event_is_the_one_in_the_journal() {
        for what in [
            What::Begun { steps: vec!["a".into()] },
            What::UndoIntended { step: "a".into() },
            What::Finished { outcome: Outcome::Completed },
        ] {
            assert_eq!(serde_json::to_value(event(what.clone())).unwrap()["event"], what.name());
        }
    }

    #[test]
    fn an_event_of_a_later_version_is_kept_as_unknown() {
        let later =
            br#"{"format":1,"n":1,"at":"1970-01-01T00:00:00Z","epoch":1,"event":"danced","step":"x"}"#;
        assert_eq!(serde_json::from_slice::<JournalEvent>(later).unwrap().what, What::Unknown);
    }
}

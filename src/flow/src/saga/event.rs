//! The journal's events and what they make of a step.
//!
//! | state          | intended   | done   | failed   | undo_intended  | undone   | undo_failed   |
//! |----------------|------------|--------|----------|----------------|----------|---------------|
//! | `Pending`      | `Intended` | –      | –        | –              | –        | –             |
//! | `Intended`     | `Intended` | `Done` | `Failed` | `UndoIntended` | –        | –             |
//! | `Failed`       | `Intended` | –      | –        | `UndoIntended` | –        | –             |
//! | `Done`         | –          | –      | –        | `UndoIntended` | –        | –             |
//! | `UndoIntended` | –          | –      | –        | `UndoIntended` | `Undone` | `UndoFailed`  |
//! | `UndoFailed`   | –          | –      | –        | `UndoIntended` | –        | –             |
//! | `Undone`       | –          | –      | –        | –              | –        | –             |
//!
//! A second intent is a new process that goes on; there is no way from going back to going forward. A restore
//! that has ended well may still be taken back, while the old disks exist: an undo then follows its end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of a restore's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`remount_core::FORMAT`] of the writer.
    pub format: u32,
    /// Its number in the journal, from 1.
    pub n: u64,
    /// The writer's clock: for people and for durations, never for order.
    pub at: Timestamp,
    /// The writer's lease.
    pub epoch: u64,
    /// The step; empty where the event is about the whole saga.
    pub step: String,
    /// What happened.
    pub event: EventKind,
    /// What goes with it: an outcome, an error's text.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The step is about to act.
    Intended,
    /// It acted.
    Done,
    /// It failed; something of it may have happened.
    Failed,
    /// It is about to be undone.
    UndoIntended,
    /// It was undone.
    Undone,
    /// Its undo failed.
    UndoFailed,
    /// The saga stopped for a person to look.
    Held,
    /// The saga needs a person: an undo failed.
    Stuck,
    /// The saga ended; `detail.outcome` is `restored` or `undone`.
    Finished,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    #[default]
    Pending,
    /// Begun, outcome unknown.
    Intended,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Its undo has begun, outcome unknown.
    UndoIntended,
    /// Undone.
    Undone,
    /// Its undo failed.
    UndoFailed,
}

impl StepState {
    /// The state after an event; none where the event cannot follow.
    #[must_use]
    pub const fn next(self, event: EventKind) -> Option<Self> {
        match (self, event) {
            (Self::Pending | Self::Intended | Self::Failed, EventKind::Intended) => Some(Self::Intended),
            (Self::Intended, EventKind::Done) => Some(Self::Done),
            (Self::Intended, EventKind::Failed) => Some(Self::Failed),
            (
                Self::Intended | Self::Failed | Self::Done | Self::UndoIntended | Self::UndoFailed,
                EventKind::UndoIntended,
            ) => Some(Self::UndoIntended),
            (Self::UndoIntended, EventKind::Undone) => Some(Self::Undone),
            (Self::UndoIntended, EventKind::UndoFailed) => Some(Self::UndoFailed),
            _ => None,
        }
    }

    /// Whether the world may hold something of the step.
    #[must_use]
    pub const fn touched(self) -> bool {
        !matches!(self, Self::Pending | Self::Undone)
    }
}

/// Where a saga is, read from its journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Each step's state, in the saga's order.
    pub states: Vec<StepState>,
    /// Whether it goes back.
    pub unwinding: bool,
    /// How it ended: `restored` or `undone`.
    pub finished: Option<String>,
    /// The last failure's step and text.
    pub failure: Option<(String, String)>,
    /// The number of the last event.
    pub last: u64,
}

impl Position {
    /// Before the first event of a saga with these many steps.
    #[must_use]
    pub fn start(steps: usize) -> Self {
        Self { states: vec![StepState::Pending; steps], ..Self::default() }
    }

    /// Follows a journal.
    ///
    /// # Errors
    /// An event that cannot follow the ones before, as a sentence.
    pub fn replay(steps: &[&str], events: &[Event]) -> Result<Self, String> {
        events.iter().try_fold(Self::start(steps.len()), |position, event| position.after(steps, event))
    }

    fn after(mut self, steps: &[&str], event: &Event) -> Result<Self, String> {
        if event.n != self.last + 1 {
            return Err(format!("event {} follows event {}", event.n, self.last));
        }
        self.last = event.n;
        match event.event {
            EventKind::Finished => self.finished = Some(text_of(&event.detail, "outcome")),
            EventKind::Held | EventKind::Stuck => {}
            kind => {
                let Some(index) = steps.iter().position(|name| *name == event.step) else {
                    return Err(format!(
                        "event {} is about step `{}`, which does not exist",
                        event.n, event.step
                    ));
                };
                let state = self.states[index];
                self.states[index] = state.next(kind).ok_or_else(|| {
                    format!("event {} ({kind:?} of `{}`) cannot follow {state:?}", event.n, event.step)
                })?;
                if kind == EventKind::UndoIntended {
                    self.unwinding = true;
                    self.finished = None;
                }
                if kind == EventKind::Failed {
                    self.failure = Some((event.step.clone(), text_of(&event.detail, "error")));
                }
            }
        }
        Ok(self)
    }
}

fn text_of(detail: &Value, key: &str) -> String {
    detail.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64, step: &str, kind: EventKind) -> Event {
        Event {
            format: 1,
            n,
            at: Timestamp::UNIX_EPOCH,
            epoch: 1,
            step: step.into(),
            event: kind,
            detail: Value::Null,
        }
    }

    #[test]
    fn a_journal_leads_to_the_open_step() {
        let events = [
            event(1, "one", EventKind::Intended),
            event(2, "one", EventKind::Done),
            event(3, "two", EventKind::Intended),
        ];
        let position = Position::replay(&["one", "two"], &events).unwrap();
        assert_eq!(position.states, [StepState::Done, StepState::Intended]);
        assert!(!position.unwinding && position.finished.is_none());
    }

    #[test]
    fn what_goes_back_never_goes_forward_again() {
        for state in [StepState::UndoIntended, StepState::Undone, StepState::UndoFailed] {
            assert_eq!(state.next(EventKind::Intended), None);
            assert_eq!(state.next(EventKind::Done), None);
        }
    }

    #[test]
    fn what_has_ended_well_can_still_go_back() {
        let finished = |n, outcome: &str| Event {
            detail: serde_json::json!({ "outcome": outcome }),
            ..event(n, "", EventKind::Finished)
        };
        let mut events = vec![
            event(1, "one", EventKind::Intended),
            event(2, "one", EventKind::Done),
            finished(3, "restored"),
            event(4, "one", EventKind::UndoIntended),
        ];
        let open = Position::replay(&["one"], &events).unwrap();
        assert!(open.unwinding && open.finished.is_none(), "the way back is not over");
        events.extend([event(5, "one", EventKind::Undone), finished(6, "undone")]);
        let over = Position::replay(&["one"], &events).unwrap();
        assert_eq!(over.finished.as_deref(), Some("undone"));
    }

    #[test]
    fn a_journal_with_a_hole_or_a_stranger_is_refused() {
        assert!(Position::replay(&["one"], &[event(2, "one", EventKind::Intended)]).is_err());
        assert!(Position::replay(&["one"], &[event(1, "two", EventKind::Intended)]).is_err());
        assert!(Position::replay(&["one"], &[event(1, "one", EventKind::Done)]).is_err());
    }
}

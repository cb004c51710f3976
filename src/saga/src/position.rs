//! Where a run is, read from its journal.
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
//! `reopened` makes a step, and those after it that were begun, `Intended` again: what is wanted of it has changed.
//!
//! A second intent is a new process that goes on. A run that is rolled back never goes forward again. One that has
//! ended well may still be rolled back: an undo then follows its end.

use remount_core::documents::{JournalEvent, Outcome, What};

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
    /// The state after an event about the step; none where the event cannot follow.
    #[must_use]
    pub const fn next(self, event: &What) -> Option<Self> {
        match (self, event) {
            (Self::Pending | Self::Intended | Self::Failed, What::Intended { .. }) => Some(Self::Intended),
            (Self::Intended, What::Done { .. }) => Some(Self::Done),
            (Self::Intended, What::Failed { .. }) => Some(Self::Failed),
            (
                Self::Intended | Self::Failed | Self::Done | Self::UndoIntended | Self::UndoFailed,
                What::UndoIntended { .. },
            ) => Some(Self::UndoIntended),
            (Self::UndoIntended, What::Undone { .. }) => Some(Self::Undone),
            (Self::UndoIntended, What::UndoFailed { .. }) => Some(Self::UndoFailed),
            _ => None,
        }
    }

    /// Whether the world may hold something of the step.
    #[must_use]
    pub const fn touched(self) -> bool {
        !matches!(self, Self::Pending | Self::Undone)
    }
}

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Each step's state, in the run's order.
    pub states: Vec<StepState>,
    /// Whether it is rolled back.
    pub rolling_back: bool,
    /// How it ended.
    pub finished: Option<Outcome>,
    /// The last failure's step and text.
    pub failure: Option<(String, String)>,
    /// The number of the last event; 0 before the first.
    pub last: u64,
}

/// A journal cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionError(pub String);

impl Position {
    /// Before the first event of a run of these many steps.
    #[must_use]
    pub fn start(steps: usize) -> Self {
        Self { states: vec![StepState::Pending; steps], ..Self::default() }
    }

    /// Follows a journal.
    ///
    /// # Errors
    /// An event that cannot follow the ones before, or that this version does not know.
    pub fn replay(steps: &[&str], events: &[JournalEvent]) -> Result<Self, PositionError> {
        events.iter().try_fold(Self::start(steps.len()), |position, event| position.after(steps, event))
    }

    fn after(mut self, steps: &[&str], event: &JournalEvent) -> Result<Self, PositionError> {
        if event.n != self.last + 1 {
            return Err(PositionError(format!("event {} follows event {}", event.n, self.last)));
        }
        self.last = event.n;
        match &event.what {
            What::Begun { steps: theirs } if event.n == 1 => same_steps(steps, theirs)?,
            _ if event.n == 1 => {
                return Err(PositionError("it does not begin with the list of steps".into()));
            }
            What::Begun { .. } => {
                return Err(PositionError(format!("event {} begins the run again", event.n)));
            }
            What::Unknown => {
                let told =
                    format!("event {} is of a later version of Remount: go on with that version", event.n);
                return Err(PositionError(told));
            }
            What::Finished { outcome } => self.finished = Some(*outcome),
            What::Held { .. } | What::Stuck { .. } | What::Paused { .. } | What::PutAside { .. } => {}
            What::Reopened { .. } => self.reopen(steps, event)?,
            what => self.step_moves(steps, event.n, what)?,
        }
        Ok(self)
    }

    fn reopen(&mut self, steps: &[&str], event: &JournalEvent) -> Result<(), PositionError> {
        let step = event.what.step().unwrap_or_default();
        let from = steps.iter().position(|name| *name == step).filter(|_| !self.rolling_back);
        let open = |position: &Self| position.finished.is_none();
        let from = from.filter(|_| open(self)).ok_or_else(|| {
            PositionError(format!("event {} reopens step `{step}`, which cannot be done again", event.n))
        })?;
        for state in self.states[from..].iter_mut().filter(|state| state.touched()) {
            *state = StepState::Intended;
        }
        Ok(())
    }

    fn step_moves(&mut self, steps: &[&str], n: u64, what: &What) -> Result<(), PositionError> {
        let step = what.step().unwrap_or_default();
        let Some(index) = steps.iter().position(|name| *name == step) else {
            return Err(PositionError(format!("event {n} is about step `{step}`, which does not exist")));
        };
        let state = self.states[index];
        let next = state.next(what);
        self.states[index] = next.ok_or_else(|| {
            PositionError(format!("event {n} ({} of `{step}`) cannot follow {state:?}", what.name()))
        })?;
        match what {
            What::UndoIntended { .. } => (self.rolling_back, self.finished) = (true, None),
            What::Failed { error, .. } => self.failure = Some((step.to_owned(), error.clone())),
            _ => {}
        }
        Ok(())
    }
}

fn same_steps(ours: &[&str], theirs: &[String]) -> Result<(), PositionError> {
    if ours.iter().eq(theirs.iter()) {
        return Ok(());
    }
    Err(PositionError(format!(
        "a version of Remount with other steps ({}) began it: resume it with that version",
        theirs.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use remount_core::documents::StepTimes;
    use serde_json::Value;

    use super::*;

    fn journal(events: impl IntoIterator<Item = What>) -> Vec<JournalEvent> {
        let begun = What::Begun { steps: vec!["one".into(), "two".into()] };
        let all = [begun].into_iter().chain(events).zip(1..);
        all.map(|(what, n)| JournalEvent { format: 1, n, at: Timestamp::UNIX_EPOCH, epoch: 1, what })
            .collect()
    }

    fn replay(events: impl IntoIterator<Item = What>) -> Result<Position, PositionError> {
        Position::replay(&["one", "two"], &journal(events))
    }

    fn intended(step: &str) -> What {
        What::Intended { step: step.into() }
    }

    fn done(step: &str) -> What {
        What::Done { step: step.into(), times: StepTimes::default(), output: Value::Null }
    }

    fn undo(step: &str) -> What {
        What::UndoIntended { step: step.into() }
    }

    fn undone(step: &str) -> What {
        What::Undone { step: step.into() }
    }

    fn finished(outcome: Outcome) -> What {
        What::Finished { outcome }
    }

    #[test]
    fn a_journal_leads_to_the_open_step() {
        let position = replay([intended("one"), done("one"), intended("two")]).unwrap();
        assert_eq!(position.states, [StepState::Done, StepState::Intended]);
        assert!(!position.rolling_back && position.finished.is_none());
    }

    #[test]
    fn what_is_rolled_back_never_goes_forward_again() {
        for state in [StepState::UndoIntended, StepState::Undone, StepState::UndoFailed] {
            assert_eq!(state.next(&intended("one")), None);
            assert_eq!(state.next(&done("one")), None);
        }
    }

    #[test]
    fn what_is_reopened_is_done_again_with_all_after_it_and_never_on_the_way_back() {
        let reopened = || What::Reopened { step: "one".into(), why: "a later target".into() };
        let paused = What::Paused { step: "two".into(), next: Vec::new() };
        let position = replay([intended("one"), done("one"), paused.clone(), reopened()]).unwrap();
        assert_eq!(position.states, [StepState::Intended, StepState::Pending]);
        let both = [intended("one"), done("one"), intended("two"), done("two"), reopened()];
        assert_eq!(replay(both).unwrap().states, [StepState::Intended, StepState::Intended]);
        assert!(replay([intended("one"), done("one"), undo("one"), reopened()]).is_err());
        let ended = [intended("one"), done("one"), finished(Outcome::Completed), reopened()];
        assert!(replay(ended).is_err());
    }

    #[test]
    fn what_has_ended_well_can_still_be_rolled_back() {
        let mut events = vec![intended("one"), done("one"), finished(Outcome::Completed), undo("one")];
        let open = replay(events.clone()).unwrap();
        assert!(open.rolling_back && open.finished.is_none(), "the rollback is not over");
        events.extend([undone("one"), finished(Outcome::Undone)]);
        assert_eq!(replay(events).unwrap().finished, Some(Outcome::Undone));
    }

    #[test]
    fn a_journal_with_a_hole_or_a_stranger_is_refused() {
        let mut hole = journal([intended("one"), done("one")]);
        hole.remove(1);
        assert!(Position::replay(&["one", "two"], &hole).is_err());
        assert!(replay([intended("three")]).is_err());
        assert!(replay([done("one")]).is_err());
        assert!(replay([What::Unknown]).unwrap_err().0.contains("later version"));
        assert!(replay([What::Begun { steps: vec!["one".into(), "two".into()] }]).is_err());
    }

    #[test]
    fn a_run_of_other_steps_is_not_gone_on_with() {
        let error = Position::replay(&["one"], &journal([intended("one")])).unwrap_err();
        assert!(error.0.contains("other steps (one, two)"), "{error:?}");
        let headless = Position::replay(&["one", "two"], &journal([])[1..]);
        assert_eq!(headless, Ok(Position::start(2)), "nothing is a run that was never begun");
    }
}

//! The state of a restore, read from its journal.

use jiff::Timestamp;
use remount_core::RestoreId;
use remount_core::documents::{JournalEvent, Outcome, StepTimes, What};
use remount_flow::{FlowError, RestorePhase, RestoreState, RestoreStep};
use serde_json::Value;

fn step_names() -> Vec<String> {
    RestoreStep::ALL.map(|step| step.as_str().to_owned()).into()
}

fn phase_of(events: impl IntoIterator<Item = What>) -> RestorePhase {
    let begun = What::Begun { steps: step_names() };
    let numbered = [begun].into_iter().chain(events).zip(1..);
    let event = |(what, n)| JournalEvent { format: 1, n, at: Timestamp::UNIX_EPOCH, epoch: 1, what };
    let id = RestoreId::at(Timestamp::UNIX_EPOCH, 1);
    RestoreState::of(&id, numbered.map(event).collect()).unwrap().phase
}

const PROMOTE: RestoreStep = RestoreStep::Promote;

fn intended(step: RestoreStep) -> What {
    What::Intended { step: step.to_string() }
}

fn done(step: RestoreStep) -> What {
    What::Done { step: step.to_string(), times: StepTimes::default(), output: Value::Null }
}

fn finished(outcome: Outcome) -> What {
    What::Finished { outcome }
}

#[test]
fn what_waits_for_a_person_says_how() {
    let ending = |last: What| {
        let id = RestoreId::at(Timestamp::UNIX_EPOCH, 1);
        let begun = What::Begun { steps: step_names() };
        let events = [begun, intended(PROMOTE), last].into_iter().zip(1..);
        let event = |(what, n)| JournalEvent { format: 1, n, at: Timestamp::UNIX_EPOCH, epoch: 1, what };
        RestoreState::of(&id, events.map(event).collect()).unwrap().waiting_state()
    };
    let (step, error, next) = (PROMOTE.to_string(), String::new(), Vec::new());
    let held = What::Held { step: step.clone(), error: error.clone(), next: next.clone() };
    assert_eq!(ending(held), Some("held"));
    let paused = What::Paused { step: step.clone(), next: next.clone() };
    assert_eq!(ending(paused), Some("paused"));
    assert_eq!(ending(What::Stuck { step: step.clone(), error, next }), Some("stuck"));
    assert_eq!(ending(What::UndoIntended { step }), None);
}

/// An upgrade that adds a step must neither stop backups nor keep old disks of what an older version ended.
#[test]
fn what_a_version_with_other_steps_has_ended_is_read_but_not_resumed() {
    let begun = What::Begun { steps: ["begin", "verify", "promote", "finish"].map(str::to_owned).into() };
    let steps = [RestoreStep::Verify, RestoreStep::Promote];
    let events = [begun].into_iter().chain(steps.into_iter().flat_map(|step| [intended(step), done(step)]));
    let events = events.chain([finished(Outcome::Completed)]).zip(1..);
    let event = |(what, n)| JournalEvent { format: 1, n, at: Timestamp::UNIX_EPOCH, epoch: 1, what };
    let id = RestoreId::at(Timestamp::UNIX_EPOCH, 1);
    let state = RestoreState::of(&id, events.map(event).collect()).unwrap();
    assert_eq!(state.phase, RestorePhase::Restored);
    assert!(matches!(state.with_our_steps(&id), Err(FlowError::Journal { .. })));
}

#[test]
fn an_end_without_its_checks_is_no_end() {
    assert_eq!(phase_of([finished(Outcome::Completed)]), RestorePhase::Unfinished);
    assert_eq!(phase_of([finished(Outcome::Undone)]), RestorePhase::Undone);
    let failed = |step: RestoreStep| What::Failed { step: step.to_string(), error: "x".into() };
    let undone = |step| [intended(step), failed(step), finished(Outcome::Undone)];
    assert_eq!(phase_of(undone(RestoreStep::Verify)), RestorePhase::Undone, "nobody could write");
    assert_eq!(phase_of(undone(PROMOTE)), RestorePhase::RolledBack, "users may have written by then");
    let put_aside = [What::PutAside { reason: "x".into() }, finished(Outcome::Undone)];
    assert_eq!(phase_of(put_aside), RestorePhase::RolledBack);
    let mut events =
        vec![intended(RestoreStep::Verify), done(RestoreStep::Verify), intended(PROMOTE), done(PROMOTE)];
    assert_eq!(phase_of(events.clone()), RestorePhase::Unfinished);
    events.push(finished(Outcome::Completed));
    assert_eq!(phase_of(events.clone()), RestorePhase::Restored);
    events.push(What::UndoIntended { step: PROMOTE.to_string() });
    assert_eq!(phase_of(events.clone()), RestorePhase::Unfinished, "it is rolled back now");
    events.extend([What::Undone { step: PROMOTE.to_string() }, finished(Outcome::Undone)]);
    assert_eq!(phase_of(events), RestorePhase::RolledBack);
}

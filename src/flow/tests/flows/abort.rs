//! Where a restore that somebody aborts will stop.

use remount_flow::{AbortPoint, RestoreStep};
use remount_saga::{Position, StepState};

fn position(done: usize, intended: bool) -> Position {
    let mut position = Position::start(&RestoreStep::ALL.map(RestoreStep::as_str));
    position.states[..done].fill(StepState::Done);
    if intended {
        position.states[done] = StepState::Intended;
    }
    position
}

#[test]
fn a_step_is_never_cut_and_a_serving_primary_never_taken_away() {
    let at = |done: RestoreStep, intended| AbortPoint::of(&position(done as usize, intended));
    let begin = AbortPoint { running: None, before: RestoreStep::Begin };
    assert_eq!(at(RestoreStep::Begin, false), Some(begin));
    let recovering = AbortPoint { running: Some(RestoreStep::Recover), before: RestoreStep::Verify };
    assert_eq!(at(RestoreStep::Recover, true), Some(recovering));
    let verifying = AbortPoint { running: Some(RestoreStep::Verify), before: RestoreStep::Promote };
    assert_eq!(at(RestoreStep::Verify, true), Some(verifying));
    assert_eq!(at(RestoreStep::Promote, true), None, "a promotion is followed by a serving primary");
    assert_eq!(AbortPoint::of(&position(RestoreStep::ALL.len(), false)), None);
}

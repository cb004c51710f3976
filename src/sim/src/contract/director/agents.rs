//! Instances that cannot or must not be acted on.

use remount_director::StopKind;

use super::Subject;
use super::subject::disk_of;
use crate::contract::Verdict;

const NO_SILENCE: Verdict = Verdict::NotShown("agents cannot be silenced");

pub(super) async fn a_silent_agent_is_got_past_by_a_recreate_alone(subject: Subject) -> Verdict {
    let first = subject.first().await;
    if !subject.fixture.silence_agent(&first).await {
        return NO_SILENCE;
    }
    let silent = subject.look(&first.slug).await;
    assert_eq!(silent.job_state.as_deref(), Some("unresponsive agent"));
    assert_eq!((silent.desired.as_str(), &silent.vm), ("started", &first.vm), "the record has not changed");
    for asked in [
        subject.stop(&first.slug, StopKind::Soft).await,
        subject.stop(&first.slug, StopKind::HardWithoutDrain).await,
        subject.start(&first.slug).await,
    ] {
        let failure = subject.failed(asked).await;
        assert_eq!(failure.code, 450_002, "{failure:?}");
    }
    assert_eq!(subject.look(&first.slug).await, silent, "nothing has changed");

    subject.done(subject.recreate(&first.slug).await).await;
    let after = subject.look(&first.slug).await;
    assert!(after.is_running() && after.vm != first.vm, "{after:?}");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    Verdict::Holds
}

pub(super) async fn a_silent_agent_loses_no_disk(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let disk = subject.fixture.new_disk(&first).await;
    if !subject.fixture.silence_agent(&first).await {
        return NO_SILENCE;
    }
    let failure = subject.failed(subject.attach(&first.slug, &disk).await).await;
    assert_eq!(failure.code, 450_002, "{failure:?}");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    // It is stopped already: nobody is asked.
    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    Verdict::Holds
}

pub(super) async fn an_ignored_instance_is_left_alone(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    if !subject.fixture.ignore(&first).await {
        return Verdict::NotShown("instances cannot be ignored");
    }
    let ignored = subject.look(&first.slug).await;
    assert!(ignored.ignored, "{ignored:?}");
    for asked in [
        subject.stop(&first.slug, StopKind::Hard).await,
        subject.start(&first.slug).await,
        subject.recreate(&first.slug).await,
    ] {
        let failure = subject.failed(asked).await;
        assert_eq!(failure.code, 190_020, "{failure:?}");
    }
    let disk = subject.fixture.new_disk(&first).await;
    let failure = subject.failed(subject.attach(&first.slug, &disk).await).await;
    assert_eq!(failure.code, 520_003, "{failure:?}");
    assert_eq!(subject.look(&first.slug).await, ignored, "nothing has changed");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    Verdict::Holds
}

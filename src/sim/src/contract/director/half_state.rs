//! What a failed attach leaves: a record that says one thing and a cloud that says another.

use remount_director::StopKind;

use super::Subject;
use super::subject::{disk_of, unknown_disk};
use crate::contract::Verdict;

pub(super) async fn a_failed_attach_leaves_the_old_disk_detached_and_recorded(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let failure = subject.failed(subject.attach(&first.slug, &unknown_disk()).await).await;
    assert_eq!(failure.state, "error");
    assert!(failure.message.contains(unknown_disk().as_str()), "it names the disk: {failure:?}");
    subject.assert_half_attached(&first.slug, &disk_of(&first)).await;
    let left = subject.look(&first.slug).await;
    assert_eq!((left.desired.as_str(), &left.vm), ("stopped", &first.vm));
    assert_eq!(subject.orphan(&unknown_disk()).await, None);
    Verdict::Holds
}

/// Whether the jobs start without their disk is the jobs' affair.
pub(super) async fn a_start_in_the_half_state_attaches_nothing(subject: Subject) -> Verdict {
    let first = subject.half_attached().await;
    let task = subject.start(&first.slug).await.expect("the Director takes it");
    let ended = subject.follow(task).await;
    assert!(ended.is_ok() || matches!(ended, Err(remount_director::Error::TaskFailed { .. })), "{ended:?}");
    subject.assert_half_attached(&first.slug, &disk_of(&first)).await;
    let after = subject.look(&first.slug).await;
    assert_eq!((after.desired.as_str(), &after.vm), ("started", &first.vm));
    Verdict::Holds
}

pub(super) async fn a_hard_stop_in_the_half_state_fails(subject: Subject) -> Verdict {
    let first = subject.half_attached().await;
    let failure = subject.failed(subject.stop(&first.slug, StopKind::Hard).await).await;
    assert_eq!(failure.code, 390_001, "the active disk is not attached: {failure:?}");
    let after = subject.look(&first.slug).await;
    assert_eq!((after.desired.as_str(), &after.vm), ("stopped", &first.vm), "the VM stays");
    Verdict::Holds
}

pub(super) async fn the_half_state_is_repaired_by_attaching_the_recorded_disk(subject: Subject) -> Verdict {
    let first = subject.half_attached().await;
    let disk = disk_of(&first);
    subject.done(subject.attach(&first.slug, &disk).await).await;
    subject.assert_has(&first.slug, &disk).await;
    subject.done(subject.start(&first.slug).await).await;
    assert_eq!(subject.look(&first.slug).await, first, "all is as before");

    // Another disk repairs it, too.
    let again = subject.half_attached().await;
    let new = subject.fixture.new_disk(&again).await;
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.assert_has(&first.slug, &new).await;
    assert!(subject.orphan(&disk).await.is_some());
    Verdict::Holds
}

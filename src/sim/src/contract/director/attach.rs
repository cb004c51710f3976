//! Another disk in the place of an instance's own.

use remount_director::StopKind;

use super::Subject;
use super::subject::disk_of;
use crate::contract::Verdict;

pub(super) async fn an_attach_needs_a_stopped_instance(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let disk = subject.fixture.new_disk(&first).await;
    let failure = subject.failed(subject.attach(&first.slug, &disk).await).await;
    assert_eq!(failure.code, 520_003, "{failure:?}");
    assert!(failure.message.contains("stopped"), "{failure:?}");
    assert_eq!(subject.look(&first.slug).await, first, "nothing has changed");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    Verdict::Holds
}

pub(super) async fn an_attach_swaps_the_disk_and_orphans_the_old_one(subject: Subject) -> Verdict {
    let last = subject.last().await;
    let first = subject.stopped().await;
    let (old, new) = (disk_of(&first), subject.fixture.new_disk(&first).await);
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.assert_has(&first.slug, &new).await;
    assert_eq!(subject.fixture.attached_to(&old).await, None, "the old disk is nobody's");
    assert!(subject.fixture.has_disk(&old).await, "and it is kept");
    let orphan = subject.orphan(&old).await.expect("it is an orphan");
    assert_eq!(orphan.deployment_name.as_deref(), Some(subject.deployment.as_str()));
    assert_eq!(orphan.instance_name, Some(first.slug.to_string()));
    assert!(orphan.orphaned_at.is_some() && orphan.size.is_some(), "{orphan:?}");
    assert_eq!(subject.look(&first.slug).await.desired, "stopped", "an attach starts nothing");
    assert_eq!(subject.look(&last.slug).await, last, "no other instance is touched");

    // The disk that is there is not in its own way: it is let go and taken again.
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.assert_has(&first.slug, &new).await;

    subject.done(subject.start(&first.slug).await).await;
    assert!(subject.look(&first.slug).await.is_running(), "it runs on the new disk");
    subject.assert_has(&first.slug, &new).await;

    // And back.
    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    subject.done(subject.attach(&first.slug, &old).await).await;
    subject.assert_has(&first.slug, &old).await;
    assert!(subject.orphan(&new).await.is_some() && subject.fixture.has_disk(&new).await);
    subject.done(subject.start(&first.slug).await).await;
    assert_eq!(subject.look(&first.slug).await, first, "all is as before");
    Verdict::Holds
}

pub(super) async fn the_recorded_size_is_copied(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let (old, new) = (disk_of(&first), subject.fixture.new_disk(&first).await);
    subject.done(subject.attach(&first.slug, &new).await).await;
    let recorded = subject.orphan(&old).await.and_then(|orphan| orphan.size);
    assert!(recorded.is_some_and(|mib| mib > 1), "{recorded:?}");
    subject.done(subject.attach(&first.slug, &old).await).await;
    let copied = subject.orphan(&new).await.and_then(|orphan| orphan.size);
    assert_eq!(copied, recorded, "the record has the size of the disk that was replaced, not the disk's own");
    subject.done(subject.attach(&first.slug, &new).await).await;
    let kept = subject.orphan(&old).await.and_then(|orphan| orphan.size);
    assert_eq!(kept, recorded, "an orphan that comes back keeps its size");
    Verdict::Holds
}

pub(super) async fn a_disk_of_another_instance_is_refused_after_the_detach(subject: Subject) -> Verdict {
    let last = subject.last().await;
    let first = subject.stopped().await;
    let failure = subject.failed(subject.attach(&first.slug, &disk_of(&last)).await).await;
    assert!(failure.message.contains("disk_cid unique"), "{failure:?}");
    subject.assert_half_attached(&first.slug, &disk_of(&first)).await;
    assert_eq!(subject.look(&last.slug).await, last, "whose disk it is keeps it");
    subject.assert_has(&last.slug, &disk_of(&last)).await;
    Verdict::Holds
}

pub(super) async fn a_detached_instance_changes_in_the_record_alone(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let (old, new) = (disk_of(&first), subject.fixture.new_disk(&first).await);
    subject.done(subject.stop(&first.slug, StopKind::Hard).await).await;
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.assert_half_attached(&first.slug, &new).await;
    assert_eq!(subject.look(&first.slug).await.desired, "detached");
    assert!(subject.orphan(&old).await.is_some());
    subject.done(subject.start(&first.slug).await).await;
    subject.assert_has(&first.slug, &new).await;
    assert!(subject.look(&first.slug).await.is_running());
    Verdict::Holds
}

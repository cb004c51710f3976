//! Deleting disks through the Director.

use remount_director::Error;

use super::Subject;
use super::subject::{disk_of, unknown_disk};
use crate::contract::Verdict;

pub(super) async fn a_deleted_orphan_is_gone_with_its_disk(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let (old, new) = (disk_of(&first), subject.fixture.new_disk(&first).await);
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.done(subject.director.delete_orphaned_disk(&old).await).await;
    assert_eq!(subject.orphan(&old).await, None);
    assert!(!subject.fixture.has_disk(&old).await, "the cloud has it no more");
    subject.assert_has(&first.slug, &new).await;
    Verdict::Holds
}

pub(super) async fn deleting_what_is_gone_is_done(subject: Subject) -> Verdict {
    subject.done(subject.director.delete_orphaned_disk(&unknown_disk()).await).await;
    // One that the cloud has and the Director does not know is left alone, and that is a success, too.
    let stranger = subject.fixture.new_disk(&subject.first().await).await;
    subject.done(subject.director.delete_orphaned_disk(&stranger).await).await;
    assert!(subject.fixture.has_disk(&stranger).await, "only orphans are deleted");

    let first = subject.stopped().await;
    let old = disk_of(&first);
    subject.done(subject.attach(&first.slug, &stranger).await).await;
    for _ in 0..2 {
        subject.done(subject.director.delete_orphaned_disk(&old).await).await;
        assert!(!subject.fixture.has_disk(&old).await);
    }
    Verdict::Holds
}

pub(super) async fn a_recorded_disk_is_not_deleted(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let disk = disk_of(&first);
    let refused = subject.director.delete_orphaned_disk(&disk).await;
    assert!(matches!(refused, Err(Error::Refused { code: 520_000, .. })), "{refused:?}");
    subject.assert_has(&first.slug, &disk).await;
    assert_eq!(subject.look(&first.slug).await, first);
    Verdict::Holds
}

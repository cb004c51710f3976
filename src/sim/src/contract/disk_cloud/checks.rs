//! The checks, as the table of the suite lists them.

use remount_cloud::{Disk, DiskSpec, DiskState, Error, SnapshotState, Tags, tag};

use remount_core::VmCid;
use remount_core::documents::{DiskAttributes, DiskShape};

use super::{Pace, Quota, Subject};
use crate::contract::Verdict;
use crate::contract::wait::until;

pub(super) async fn a_snapshot_keeps_the_content(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("before").await;
    let snapshot = subject.snapshot_of(&disk, "moment").await;
    subject.fixture.overwrite(&disk, "after").await;
    let copy = subject.disk_from(&snapshot.cid, "moment-copy").await;
    assert_eq!(subject.fixture.content_of(&copy.cid).await, "before", "a later write reached the snapshot");
    assert_eq!(subject.fixture.content_of(&disk).await, "after", "the disk itself went back");
    subject.drop_disk(&copy.cid).await;
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&disk).await;
    Verdict::Holds
}

pub(super) async fn a_disk_has_the_snapshots_content(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("whole").await;
    let snapshot = subject.snapshot_of(&disk, "larger").await;
    assert_eq!((&snapshot.disk, snapshot.size_mib), (&disk, subject.fixture.shape().size_mib));
    let shape = subject.fixture.shape();
    let like = DiskShape { size_mib: shape.size_mib + 1024, ..shape.clone() };
    let larger = DiskSpec { like, ..subject.spec("larger") };
    let key = subject.key("larger-copy");
    let made = subject.cloud.create_disk(&snapshot.cid, &larger, &key).await.expect("a larger disk");
    let copy = subject.available(&made.cid).await;
    assert_eq!(copy.shape.size_mib, larger.like.size_mib);
    assert_eq!(copy.made_from.as_ref(), Some(&snapshot.cid));
    assert_eq!(copy.tags.get(tag::REQUEST).map(String::as_str), Some(key.as_str()));
    assert!(larger.tags.iter().all(|(name, value)| copy.tags.get(name) == Some(value)), "{copy:?}");
    assert_eq!(subject.fixture.content_of(&copy.cid).await, "whole");
    subject.drop_disk(&copy.cid).await;
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&disk).await;
    Verdict::Holds
}

pub(super) async fn a_disk_is_what_the_old_one_was(subject: Subject) -> Verdict {
    let old = subject.fixture.disk_with("shape").await;
    let shape = subject.available(&old).await.shape;
    assert_eq!(shape, subject.fixture.shape(), "the cloud does not say what the disk is");
    let snapshot = subject.snapshot_of(&old, "shape").await;
    let same = DiskSpec { like: shape.clone(), ..subject.spec("same") };
    subject.cloud.check_create_disk(&snapshot.cid, &same).await.expect("a disk like the old one");
    let made = subject.cloud.create_disk(&snapshot.cid, &same, &subject.key("same")).await;
    let made = subject.available(&made.expect("a disk like the old one").cid).await;
    assert_eq!(made.shape, shape, "the new disk is not what the old one was");
    // What is not asked for is not taken over from the snapshot's disk.
    let like = DiskShape { attributes: DiskAttributes::default(), ..shape };
    let plain = DiskSpec { like: like.clone(), ..subject.spec("plain") };
    let other = subject.cloud.create_disk(&snapshot.cid, &plain, &subject.key("plain")).await;
    let other = subject.available(&other.expect("a disk without attributes").cid).await;
    assert_eq!(other.shape, like);
    subject.drop_disk(&other.cid).await;
    subject.drop_disk(&made.cid).await;
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&old).await;
    Verdict::Holds
}

pub(super) async fn an_id_comes_back_as_it_was_given(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("id").await;
    let vm = subject.fixture.attach(&disk).await;
    let forms = subject.fixture.other_forms(&disk);
    for form in [&disk].into_iter().chain(&forms) {
        let seen = |found: Option<&Disk>| found.is_some_and(|found| found.attached_to.is_some());
        subject.sees("the disk by this form of its id", form, seen).await;
        let found = subject.cloud.disk(form).await.expect("an answer").expect("the disk");
        assert_eq!(found.cid, *form, "the id came back in another form");
        assert!(subject.cloud.is_attached(form, &vm).await.expect("an answer"), "{form} is attached to {vm}");
        let refused = subject.cloud.delete_disk(form).await;
        assert!(matches!(refused, Err(Error::DiskInUse { .. })), "{form}: {refused:?}");
    }
    let (tags, key) = (subject.tags("id"), subject.key("id"));
    for form in [&disk].into_iter().chain(&forms) {
        let made = subject.cloud.create_snapshot(form, &tags, &key).await.expect("one disk, one key");
        subject.completed(&made.cid).await;
    }
    for made in subject.snapshots(&tags, 1).await {
        subject.drop_snapshot(&made.cid).await;
    }
    subject.fixture.detach(&disk, &vm).await;
    subject.drop_disk(forms.last().unwrap_or(&disk)).await;
    subject.sees("the disk is gone", &disk, |found| found.is_none()).await;
    // A cloud whose ids have one form keeps the promise with it.
    Verdict::Holds
}

pub(super) async fn the_same_key_makes_one(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("once").await;
    let (tags, key) = (subject.tags("once"), subject.key("once"));
    let twice = tokio::join!(
        subject.cloud.create_snapshot(&disk, &tags, &key),
        subject.cloud.create_snapshot(&disk, &tags, &key)
    );
    let cids = [twice.0.expect("the first call").cid, twice.1.expect("the second call").cid];
    assert_eq!(cids[0], cids[1], "one key made two snapshots");
    subject.snapshots(&tags, 1).await;
    subject.completed(&cids[0]).await;

    let (spec, key) = (subject.spec("once"), subject.key("once-copy"));
    let twice = tokio::join!(
        subject.cloud.create_disk(&cids[0], &spec, &key),
        subject.cloud.create_disk(&cids[0], &spec, &key)
    );
    let copies = [twice.0.expect("the first call").cid, twice.1.expect("the second call").cid];
    assert_eq!(copies[0], copies[1], "one key made two disks");
    subject.disks(&spec.tags, 1).await;

    subject.available(&copies[0]).await;
    subject.drop_disk(&copies[0]).await;
    subject.drop_snapshot(&cids[0]).await;
    subject.drop_disk(&disk).await;
    Verdict::Holds
}

pub(super) async fn a_key_is_not_used_for_two_things(subject: Subject) -> Verdict {
    let (one, other) = (subject.fixture.disk_with("one").await, subject.fixture.disk_with("other").await);
    let first = subject.snapshot_of(&one, "key").await;
    let second = subject.cloud.create_snapshot(&other, &subject.tags("key"), &subject.key("key")).await;
    assert!(matches!(second, Err(Error::Refused { .. })), "{second:?}");
    let copy = subject.disk_from(&first.cid, "key-copy").await;
    let another = subject.snapshot_of(&other, "another").await;
    let (spec, key) = (subject.spec("key-copy"), subject.key("key-copy"));
    let second = subject.cloud.create_disk(&another.cid, &spec, &key).await;
    assert!(matches!(second, Err(Error::Refused { .. })), "{second:?}");
    subject.disks(&spec.tags, 1).await;
    subject.drop_disk(&copy.cid).await;
    subject.drop_snapshot(&another.cid).await;
    subject.drop_snapshot(&first.cid).await;
    subject.drop_disk(&one).await;
    subject.drop_disk(&other).await;
    Verdict::Holds
}

pub(super) async fn created_objects_are_found_by_tag(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("tags").await;
    let first =
        subject.cloud.create_snapshot(&disk, &subject.tags("red"), &subject.key("red")).await.expect("red");
    let second = subject
        .cloud
        .create_snapshot(&disk, &subject.tags("blue"), &subject.key("blue"))
        .await
        .expect("blue");
    let red = subject.snapshots(&subject.tags("red"), 1).await;
    assert_eq!(red.iter().map(|found| &found.cid).collect::<Vec<_>>(), [&first.cid]);
    let both = Tags::from([(tag::CLUSTER.to_owned(), subject.run.clone())]);
    subject.snapshots(&both, 2).await;
    let copy = subject.disk_from(&subject.completed(&first.cid).await.cid, "red-copy").await;
    let found = subject.disks(&subject.tags("red-copy"), 1).await;
    assert_eq!(found.iter().map(|found| &found.cid).collect::<Vec<_>>(), [&copy.cid]);
    assert!(subject.cloud.disks_tagged(&subject.tags("green")).await.expect("a list").is_empty());
    subject.drop_disk(&copy.cid).await;
    subject.completed(&second.cid).await;
    subject.drop_snapshot(&first.cid).await;
    subject.drop_snapshot(&second.cid).await;
    subject.drop_disk(&disk).await;
    Verdict::Holds
}

pub(super) async fn tags_are_added_to_a_snapshot(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("later").await;
    let first = subject.snapshot_of(&disk, "later").await;
    let other = subject.snapshot_of(&disk, "later-other").await;
    let added = Tags::from([(tag::STATE.to_owned(), tag::COMPLETE.to_owned())]);
    for _ in 0..2 {
        subject.cloud.tag_snapshot(&first.cid, &added).await.expect("a tag on a snapshot that exists");
    }
    let mut all = subject.tags("later");
    all.extend(added.clone());
    let found = subject.snapshots(&all, 1).await.remove(0);
    assert_eq!(found.cid, first.cid);
    let kept: Tags = first.tags.into_iter().chain(added.clone()).collect();
    assert_eq!(found.tags, kept, "another tag has changed");
    subject.drop_snapshot(&first.cid).await;
    subject.drop_snapshot(&other.cid).await;
    subject.drop_disk(&disk).await;
    let gone = subject.cloud.tag_snapshot(&first.cid, &added).await;
    assert!(matches!(gone, Err(Error::SnapshotNotFound(_))), "{gone:?}");
    Verdict::Holds
}

pub(super) async fn an_incomplete_snapshot_makes_no_disk(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("slow").await;
    subject.fixture.slow_snapshots(Pace::Slow).await;
    let made = subject.cloud.create_snapshot(&disk, &subject.tags("slow"), &subject.key("slow")).await;
    let (spec, key) = (subject.spec("slow-copy"), subject.key("slow-copy"));
    let made = made.expect("a snapshot of a disk that exists");
    let early = subject.cloud.create_disk(&made.cid, &spec, &key).await;
    subject.fixture.slow_snapshots(Pace::Normal).await;
    let was_early = match early {
        Err(Error::SnapshotNotComplete(cid)) => {
            assert_eq!(cid, made.cid);
            assert!(subject.cloud.disks_tagged(&spec.tags).await.expect("a list").is_empty());
            true
        }
        Ok(copy) => {
            let now = subject.cloud.snapshot(&made.cid).await.expect("an answer").expect("the snapshot");
            assert_eq!(now.state, SnapshotState::Complete, "{copy:?} was made too early");
            subject.available(&copy.cid).await;
            subject.drop_disk(&copy.cid).await;
            false
        }
        Err(error) => panic!("{error:?}"),
    };
    let complete = subject.completed(&made.cid).await;
    if was_early {
        let copy =
            subject.cloud.create_disk(&complete.cid, &spec, &key).await.expect("the same request later");
        subject.available(&copy.cid).await;
        subject.drop_disk(&copy.cid).await;
    }
    subject.drop_snapshot(&complete.cid).await;
    subject.drop_disk(&disk).await;
    if was_early { Verdict::Holds } else { Verdict::NotShown("its snapshots are complete at once") }
}

pub(super) async fn gone_is_deleted(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("gone").await;
    let snapshot = subject.snapshot_of(&disk, "gone").await;
    for _ in 0..2 {
        subject.drop_snapshot(&snapshot.cid).await;
        until("the snapshot is gone", subject.settle(), async || {
            subject.cloud.snapshot(&snapshot.cid).await.expect("an answer").is_none()
        })
        .await;
    }
    for _ in 0..2 {
        subject.drop_disk(&disk).await;
        subject.sees("the disk is gone", &disk, |found| found.is_none()).await;
    }
    let again = subject.cloud.create_disk(&snapshot.cid, &subject.spec("gone"), &subject.key("gone")).await;
    assert!(matches!(again, Err(Error::SnapshotNotFound(_))), "{again:?}");
    Verdict::Holds
}

pub(super) async fn an_attached_disk_stays(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("attached").await;
    let vm = subject.fixture.attach(&disk).await;
    let attached = |found: Option<&Disk>| {
        found.is_some_and(|disk| disk.state == DiskState::InUse && disk.attached_to.is_some())
    };
    subject.sees("the disk is in use", &disk, attached).await;
    let is_attached = async |vm: &VmCid| subject.cloud.is_attached(&disk, vm).await.expect("an answer");
    until("the disk is attached to its VM", subject.settle(), async || is_attached(&vm).await).await;
    let other = VmCid::new(format!("{vm}-other")).expect("a CID");
    assert!(!is_attached(&other).await, "it is attached to two");
    let refused = subject.cloud.delete_disk(&disk).await;
    assert!(matches!(refused, Err(Error::DiskInUse { .. })), "{refused:?}");
    assert!(subject.cloud.disk(&disk).await.expect("an answer").is_some(), "it was deleted all the same");
    let snapshot = subject.snapshot_of(&disk, "attached").await;
    subject.fixture.detach(&disk, &vm).await;
    let found = subject.available(&disk).await;
    assert_eq!(found.attached_to, None);
    assert!(!is_attached(&vm).await, "a detached disk is attached");
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&disk).await;
    Verdict::Holds
}

pub(super) async fn refusals_make_nothing(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("limits").await;
    let snapshot = subject.snapshot_of(&disk, "limits").await;
    let shape = subject.fixture.shape();
    let like = DiskShape { size_mib: shape.size_mib - 1, ..shape };
    let tiny = DiskSpec { like, ..subject.spec("tiny") };
    for refused in [
        subject.cloud.check_create_disk(&snapshot.cid, &tiny).await,
        subject.cloud.create_disk(&snapshot.cid, &tiny, &subject.key("tiny")).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    let spec = subject.spec("limits");
    subject.cloud.check_create_disk(&snapshot.cid, &spec).await.expect("there is room");
    assert!(subject.cloud.disks_tagged(&spec.tags).await.expect("a list").is_empty());
    subject.snapshots(&subject.tags("limits"), 1).await;
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&disk).await;
    let gone = subject.cloud.create_snapshot(&disk, &subject.tags("limits"), &subject.key("gone")).await;
    assert!(matches!(gone, Err(Error::DiskNotFound(_))), "{gone:?}");
    Verdict::Holds
}

pub(super) async fn a_used_up_quota_makes_nothing(subject: Subject) -> Verdict {
    let disk = subject.fixture.disk_with("quota").await;
    let snapshot = subject.snapshot_of(&disk, "quota").await;
    let spec = subject.spec("quota-copy");
    let can = subject.fixture.exhaust_quota(Quota::Exhausted).await;
    if can {
        let refusals = [
            subject.cloud.check_create_disk(&snapshot.cid, &spec).await,
            subject.cloud.create_disk(&snapshot.cid, &spec, &subject.key("full")).await.map(|_| ()),
            subject.cloud.create_snapshot(&disk, &spec.tags, &subject.key("full")).await.map(|_| ()),
        ];
        let again = subject.cloud.create_snapshot(&disk, &subject.tags("quota"), &subject.key("quota")).await;
        subject.fixture.exhaust_quota(Quota::Normal).await;
        for refused in refusals {
            assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
        }
        assert_eq!(again.expect("it exists already").cid, snapshot.cid);
        assert!(subject.cloud.disks_tagged(&spec.tags).await.expect("a list").is_empty());
        assert!(subject.cloud.snapshots_tagged(&spec.tags).await.expect("a list").is_empty());
    }
    subject.drop_snapshot(&snapshot.cid).await;
    subject.drop_disk(&disk).await;
    if can { Verdict::Holds } else { Verdict::NotShown("the quota cannot be used up") }
}

pub(super) async fn copies_stand_alone(subject: Subject) -> Verdict {
    if !subject.fixture.copies_stand_alone() {
        return Verdict::NotShown("the cloud ties disks and snapshots to each other");
    }
    let disk = subject.fixture.disk_with("alone").await;
    let snapshot = subject.snapshot_of(&disk, "alone").await;
    subject.drop_disk(&disk).await;
    let copy = subject.disk_from(&snapshot.cid, "alone-copy").await;
    subject.drop_snapshot(&snapshot.cid).await;
    assert_eq!(subject.fixture.content_of(&copy.cid).await, "alone");
    subject.drop_disk(&copy.cid).await;
    Verdict::Holds
}

pub(super) async fn nothing_is_left(subject: Subject) -> Verdict {
    let all = Tags::from([(tag::CLUSTER.to_owned(), subject.run.clone())]);
    subject.disks(&all, 0).await;
    subject.snapshots(&all, 0).await;
    Verdict::Holds
}

//! What every [`DiskCloud`] must do, whichever cloud it is.
//!
//! | guarantee | check |
//! |---|---|
//! | a snapshot is the disk at one moment: later writes do not reach it | `a_snapshot_keeps_the_content` |
//! | a disk made from it has that content, its size, type, zone and tags | `a_disk_has_the_snapshots_content` |
//! | a disk is what was asked for, to the last attribute, and the cloud says so | `a_disk_is_what_the_old_one_was` |
//! | an id comes back as it was given, in each form that the CPI has for it | `an_id_comes_back_as_it_was_given` |
//! | the same key yields the same object, also side by side | `the_same_key_makes_one` |
//! | a key that made something else is refused | `a_key_is_not_used_for_two_things` |
//! | what was created is found by its tags within `settle`, and only by them | `created_objects_are_found_by_tag` |
//! | tags that are set later are found as well, and the first ones stay | `tags_are_added_to_a_snapshot` |
//! | no disk is made from a snapshot that is not complete | `an_incomplete_snapshot_makes_no_disk` |
//! | delete of what is gone succeeds; the object is gone afterwards | `gone_is_deleted` |
//! | an attached disk is not deleted, and says where it is attached, and where it is not | `an_attached_disk_stays` |
//! | unknown ids and too small sizes are told apart and make nothing | `refusals_make_nothing` |
//! | a quota that is used up is told as such, and stops nothing that was made | `a_used_up_quota_makes_nothing` |
//! | a snapshot outlives its disk, and a disk its snapshot, where the cloud allows it | `copies_stand_alone` |
//! | after all of this nothing is left | `nothing_is_left` |

mod checks;

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::suite::{self, checks};
use super::wait::{await_some, until};
use super::{Check, Report};
use async_trait::async_trait;
use remount_cloud::{Disk, DiskCloud, DiskSpec, DiskState, Snapshot, SnapshotState, Tags, tag};
use remount_core::documents::{DiskAttributes, DiskCaching, DiskEncryption, DiskShape, SectorSize};
use remount_core::{CloudText, DiskCid, RequestKey, SnapshotCid, VmCid};

/// How long a cloud may take to complete a snapshot or a disk of the suite's size.
const COMPLETION_LIMIT: Duration = Duration::from_secs(600);
/// How long a check may take: a few completions.
const CHECK_LIMIT: Duration = Duration::from_secs(1800);

/// The checks, in order.
const CHECKS: &[Check<Subject>] = checks![Subject:
    checks::a_snapshot_keeps_the_content,
    checks::a_disk_has_the_snapshots_content,
    checks::a_disk_is_what_the_old_one_was,
    checks::an_id_comes_back_as_it_was_given,
    checks::the_same_key_makes_one,
    checks::a_key_is_not_used_for_two_things,
    checks::created_objects_are_found_by_tag,
    checks::tags_are_added_to_a_snapshot,
    checks::an_incomplete_snapshot_makes_no_disk,
    checks::gone_is_deleted,
    checks::an_attached_disk_stays,
    checks::refusals_make_nothing,
    checks::a_used_up_quota_makes_nothing,
    checks::copies_stand_alone,
    checks::nothing_is_left,
];

/// What the suite needs beyond the trait: in production a CPI, a VM and a file system do it.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// Makes a disk of [`Fixture::shape`] with this content at some place of its own.
    async fn disk_with(&self, content: &str) -> DiskCid;
    /// Overwrites the content of a disk made by [`Fixture::disk_with`].
    async fn overwrite(&self, disk: &DiskCid, content: &str);
    /// Reads the content back, from such a disk or one made from its snapshot.
    async fn content_of(&self, disk: &DiskCid) -> String;
    /// Attaches the disk to some VM, whose id it returns.
    async fn attach(&self, disk: &DiskCid) -> VmCid;
    /// Detaches it again.
    async fn detach(&self, disk: &DiskCid, vm: &VmCid);
    /// Lets no further disk or snapshot be made, or lifts that again; says whether it can.
    async fn exhaust_quota(&self, exhausted: Quota) -> bool;
    /// Lets snapshots take a while until they are complete, or lifts that again. One that they take by themselves
    /// is good enough.
    async fn slow_snapshots(&self, _pace: Pace) {}
    /// What the disks are: with every attribute that the cloud has, see [`every_attribute`].
    fn shape(&self) -> DiskShape;
    /// Other texts with which a Director may name this disk.
    fn other_forms(&self, _disk: &DiskCid) -> Vec<DiskCid> {
        Vec::new()
    }
    /// Whether the cloud deletes a disk that has snapshots, and a snapshot that has disks.
    fn copies_stand_alone(&self) -> bool {
        true
    }
}

/// Each attribute there is, for a cloud that has them all.
#[must_use]
pub fn every_attribute() -> DiskAttributes {
    let word = |text: &str| Some(CloudText::new(text).expect("a word"));
    DiskAttributes {
        iops: NonZeroU32::new(5_000),
        throughput_mib: NonZeroU32::new(250),
        performance_level: word("PL1"),
        caching: Some(DiskCaching::ReadOnly),
        resource_group: word("databases"),
        sector_bytes: Some(SectorSize::Bytes4096),
        encryption: Some(DiskEncryption { key: word("key-1"), scheme: word("customer") }),
    }
}

/// See [`Fixture::slow_snapshots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A snapshot is not complete at once.
    Slow,
    /// Back to normal.
    Normal,
}

/// See [`Fixture::exhaust_quota`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Nothing more can be made.
    Exhausted,
    /// Back to normal.
    Normal,
}

/// Runs the suite on a cloud.
pub async fn run(name: &str, cloud: Arc<dyn DiskCloud>, fixture: Arc<dyn Fixture>) -> Report {
    let subject = Subject { cloud, fixture, run: format!("contract-{:08x}", rand::random::<u32>()) };
    suite::run("DiskCloud", name, CHECKS, CHECK_LIMIT, async || subject.clone()).await
}

/// A cloud in one run of the suite: its objects carry the run in their tags.
#[derive(Clone, Debug)]
pub struct Subject {
    cloud: Arc<dyn DiskCloud>,
    fixture: Arc<dyn Fixture>,
    run: String,
}

impl Subject {
    fn key(&self, name: &str) -> RequestKey {
        RequestKey::new(format!("{}-{name}", self.run)).expect("the suite's names are path elements")
    }

    fn tags(&self, name: &str) -> Tags {
        Tags::from([(tag::CLUSTER.to_owned(), self.run.clone()), (tag::BACKUP.to_owned(), name.to_owned())])
    }

    fn spec(&self, name: &str) -> DiskSpec {
        DiskSpec { like: self.fixture.shape(), tags: self.tags(name) }
    }

    async fn snapshot_of(&self, disk: &DiskCid, name: &str) -> Snapshot {
        let made = self.cloud.create_snapshot(disk, &self.tags(name), &self.key(name)).await;
        let made = made.expect("a snapshot of a disk that exists");
        self.completed(&made.cid).await
    }

    /// Waits until the cloud calls the snapshot complete.
    async fn completed(&self, cid: &SnapshotCid) -> Snapshot {
        await_some(&format!("snapshot {cid} is complete"), COMPLETION_LIMIT, async || {
            let found = self.cloud.snapshot(cid).await.expect("an answer")?;
            assert_ne!(found.state, SnapshotState::Failed, "the cloud gave up on {cid}");
            (found.state == SnapshotState::Complete).then_some(found)
        })
        .await
    }

    async fn disk_from(&self, snapshot: &SnapshotCid, name: &str) -> Disk {
        let made = self.cloud.create_disk(snapshot, &self.spec(name), &self.key(name)).await;
        self.available(&made.expect("a disk from a complete snapshot").cid).await
    }

    /// Waits until the cloud calls the disk available.
    async fn available(&self, cid: &DiskCid) -> Disk {
        await_some(&format!("disk {cid} is available"), COMPLETION_LIMIT, async || {
            let found = self.cloud.disk(cid).await.expect("an answer")?;
            assert_ne!(found.state, DiskState::Failed, "the cloud gave up on {cid}");
            (found.state == DiskState::Available).then_some(found)
        })
        .await
    }

    /// How long what was changed may be seen as before it.
    fn settle(&self) -> Duration {
        self.cloud.settle()
    }

    /// The disks with these tags, once the list shows so many.
    async fn disks(&self, tags: &Tags, count: usize) -> Vec<Disk> {
        await_some(&format!("{count} disks carry {tags:?}"), self.settle(), async || {
            let found = self.cloud.disks_tagged(tags).await.expect("a list");
            (found.len() == count).then_some(found)
        })
        .await
    }

    /// The snapshots with these tags, once the list shows so many.
    async fn snapshots(&self, tags: &Tags, count: usize) -> Vec<Snapshot> {
        await_some(&format!("{count} snapshots carry {tags:?}"), self.settle(), async || {
            let found = self.cloud.snapshots_tagged(tags).await.expect("a list");
            (found.len() == count).then_some(found)
        })
        .await
    }

    /// Waits until a look at the disk satisfies this.
    async fn sees(&self, what: &str, disk: &DiskCid, wanted: impl Fn(Option<&Disk>) -> bool) {
        until(what, self.settle(), async || wanted(self.cloud.disk(disk).await.expect("an answer").as_ref()))
            .await;
    }

    async fn drop_disk(&self, cid: &DiskCid) {
        self.cloud.delete_disk(cid).await.expect("a detached disk is deleted");
    }

    async fn drop_snapshot(&self, cid: &SnapshotCid) {
        self.cloud.delete_snapshot(cid).await.expect("a snapshot is deleted");
    }
}

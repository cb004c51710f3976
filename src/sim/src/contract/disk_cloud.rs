//! What every [`DiskCloud`] must do, whichever cloud it is.
//!
//! | guarantee | checked by |
//! |---|---|
//! | a snapshot is the disk at one moment: later writes do not reach it | `a_snapshot_keeps_the_content` |
//! | a disk made from it has that content, its size, type, zone and tags | `a_disk_has_the_snapshots_content` |
//! | the same key yields the same object, also side by side | `the_same_key_makes_one` |
//! | a key that made something else is refused | `a_key_is_not_used_for_two_things` |
//! | what was created is found by its tags in the next list, and only by them | `created_objects_are_found_by_tag` |
//! | delete of what is gone succeeds; the object is gone afterwards | `gone_is_deleted` |
//! | an attached disk is not deleted, and says where it is attached | `an_attached_disk_stays` |
//! | unknown ids, too small sizes, used-up quotas are told apart and make nothing | `refusals_make_nothing` |
//! | a snapshot outlives its disk, and a disk its snapshot, where the cloud allows it | `copies_stand_alone` |

use std::fmt::Debug;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use remount_cloud::{Disk, DiskCloud, DiskSpec, DiskState, Error, Snapshot, SnapshotState, Tags, tag};
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};

/// How long a cloud may take to complete a snapshot or a disk of the suite's size.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the suite needs beyond the trait: in production a CPI, a VM and a file system do it.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// Makes a disk of [`Fixture::size_mib`] in [`Fixture::az`] with this content at some place of its own.
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
    /// The size of the disks.
    fn size_mib(&self) -> u64;
    /// Their zone.
    fn az(&self) -> Option<String>;
    /// Whether the cloud deletes a disk that has snapshots, and a snapshot that has disks.
    fn copies_stand_alone(&self) -> bool {
        true
    }
}

/// See [`Fixture::exhaust_quota`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Nothing more can be made.
    Exhausted,
    /// Back to normal.
    Normal,
}

/// Runs the whole suite; panics with what is broken.
pub async fn run(cloud: &dyn DiskCloud, fixture: &dyn Fixture) {
    let suite = Suite { cloud, fixture, run: format!("contract-{:08x}", rand::random::<u32>()) };
    suite.a_snapshot_keeps_the_content().await;
    suite.a_disk_has_the_snapshots_content().await;
    suite.the_same_key_makes_one().await;
    suite.a_key_is_not_used_for_two_things().await;
    suite.created_objects_are_found_by_tag().await;
    suite.gone_is_deleted().await;
    suite.an_attached_disk_stays().await;
    suite.refusals_make_nothing().await;
    suite.copies_stand_alone().await;
    suite.nothing_is_left().await;
}

/// One run of the suite: its objects carry the run in their tags.
struct Suite<'a> {
    cloud: &'a dyn DiskCloud,
    fixture: &'a dyn Fixture,
    run: String,
}

impl Suite<'_> {
    fn key(&self, name: &str) -> RequestKey {
        RequestKey::new(format!("{}-{name}", self.run)).expect("the suite's names are path elements")
    }

    fn tags(&self, name: &str) -> Tags {
        Tags::from([(tag::CLUSTER.to_owned(), self.run.clone()), (tag::BACKUP.to_owned(), name.to_owned())])
    }

    fn spec(&self, name: &str) -> DiskSpec {
        DiskSpec {
            size_mib: self.fixture.size_mib(),
            disk_type: String::new(),
            az: self.fixture.az(),
            tags: self.tags(name),
        }
    }

    async fn snapshot_of(&self, disk: &DiskCid, name: &str) -> Snapshot {
        let made = self.cloud.create_snapshot(disk, &self.tags(name), &self.key(name)).await;
        let made = made.expect("a snapshot of a disk that exists");
        self.completed(&made.cid).await
    }

    /// Waits until the cloud calls the snapshot complete.
    async fn completed(&self, cid: &SnapshotCid) -> Snapshot {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.cloud.snapshot(cid).await.expect("an answer").expect("the snapshot made before");
            assert_ne!(found.state, SnapshotState::Failed, "the cloud gave up on {cid}");
            if found.state == SnapshotState::Complete {
                return found;
            }
            assert!(Instant::now() < until, "{cid} is still {:?}", found.state);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn disk_from(&self, snapshot: &SnapshotCid, name: &str) -> Disk {
        let made = self.cloud.create_disk(snapshot, &self.spec(name), &self.key(name)).await;
        self.available(&made.expect("a disk from a complete snapshot").cid).await
    }

    /// Waits until the cloud calls the disk available.
    async fn available(&self, cid: &DiskCid) -> Disk {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.cloud.disk(cid).await.expect("an answer").expect("the disk made before");
            assert_ne!(found.state, DiskState::Failed, "the cloud gave up on {cid}");
            if found.state == DiskState::Available {
                return found;
            }
            assert!(Instant::now() < until, "{cid} is still {:?}", found.state);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn drop_disk(&self, cid: &DiskCid) {
        self.cloud.delete_disk(cid).await.expect("a detached disk is deleted");
    }

    async fn drop_snapshot(&self, cid: &SnapshotCid) {
        self.cloud.delete_snapshot(cid).await.expect("a snapshot is deleted");
    }

    async fn a_snapshot_keeps_the_content(&self) {
        let disk = self.fixture.disk_with("before").await;
        let snapshot = self.snapshot_of(&disk, "moment").await;
        self.fixture.overwrite(&disk, "after").await;
        let copy = self.disk_from(&snapshot.cid, "moment-copy").await;
        assert_eq!(self.fixture.content_of(&copy.cid).await, "before", "a later write reached the snapshot");
        assert_eq!(self.fixture.content_of(&disk).await, "after", "the disk itself went back");
        self.drop_disk(&copy.cid).await;
        self.drop_snapshot(&snapshot.cid).await;
        self.drop_disk(&disk).await;
    }

    async fn a_disk_has_the_snapshots_content(&self) {
        let disk = self.fixture.disk_with("whole").await;
        let snapshot = self.snapshot_of(&disk, "larger").await;
        assert_eq!((&snapshot.disk, snapshot.size_mib), (&disk, self.fixture.size_mib()));
        let larger = DiskSpec { size_mib: self.fixture.size_mib() + 1024, ..self.spec("larger") };
        let key = self.key("larger-copy");
        let made = self.cloud.create_disk(&snapshot.cid, &larger, &key).await.expect("a larger disk");
        let copy = self.available(&made.cid).await;
        assert_eq!(copy.size_mib, larger.size_mib);
        assert_eq!(copy.az, larger.az);
        assert_eq!(copy.made_from.as_ref(), Some(&snapshot.cid));
        assert_eq!(copy.tags.get(tag::REQUEST).map(String::as_str), Some(key.as_str()));
        assert!(larger.tags.iter().all(|(name, value)| copy.tags.get(name) == Some(value)), "{copy:?}");
        assert_eq!(self.fixture.content_of(&copy.cid).await, "whole");
        self.drop_disk(&copy.cid).await;
        self.drop_snapshot(&snapshot.cid).await;
        self.drop_disk(&disk).await;
    }

    async fn the_same_key_makes_one(&self) {
        let disk = self.fixture.disk_with("once").await;
        let (tags, key) = (self.tags("once"), self.key("once"));
        let twice = tokio::join!(
            self.cloud.create_snapshot(&disk, &tags, &key),
            self.cloud.create_snapshot(&disk, &tags, &key)
        );
        let cids = [twice.0.expect("the first call").cid, twice.1.expect("the second call").cid];
        assert_eq!(cids[0], cids[1], "one key made two snapshots");
        assert_eq!(self.cloud.snapshots_tagged(&tags).await.expect("a list").len(), 1);
        self.completed(&cids[0]).await;

        let (spec, key) = (self.spec("once"), self.key("once-copy"));
        let twice = tokio::join!(
            self.cloud.create_disk(&cids[0], &spec, &key),
            self.cloud.create_disk(&cids[0], &spec, &key)
        );
        let copies = [twice.0.expect("the first call").cid, twice.1.expect("the second call").cid];
        assert_eq!(copies[0], copies[1], "one key made two disks");
        assert_eq!(self.cloud.disks_tagged(&spec.tags).await.expect("a list").len(), 1);

        self.available(&copies[0]).await;
        self.drop_disk(&copies[0]).await;
        self.drop_snapshot(&cids[0]).await;
        self.drop_disk(&disk).await;
    }

    async fn a_key_is_not_used_for_two_things(&self) {
        let (one, other) = (self.fixture.disk_with("one").await, self.fixture.disk_with("other").await);
        let first = self.snapshot_of(&one, "key").await;
        let second = self.cloud.create_snapshot(&other, &self.tags("key"), &self.key("key")).await;
        assert!(matches!(second, Err(Error::Refused { .. })), "{second:?}");
        self.drop_snapshot(&first.cid).await;
        self.drop_disk(&one).await;
        self.drop_disk(&other).await;
    }

    async fn created_objects_are_found_by_tag(&self) {
        let disk = self.fixture.disk_with("tags").await;
        let first =
            self.cloud.create_snapshot(&disk, &self.tags("red"), &self.key("red")).await.expect("red");
        let second =
            self.cloud.create_snapshot(&disk, &self.tags("blue"), &self.key("blue")).await.expect("blue");
        let red = self.cloud.snapshots_tagged(&self.tags("red")).await.expect("a list");
        assert_eq!(red.iter().map(|found| &found.cid).collect::<Vec<_>>(), [&first.cid]);
        let both = Tags::from([(tag::CLUSTER.to_owned(), self.run.clone())]);
        assert_eq!(self.cloud.snapshots_tagged(&both).await.expect("a list").len(), 2);
        let copy = self.disk_from(&self.completed(&first.cid).await.cid, "red-copy").await;
        let found = self.cloud.disks_tagged(&self.tags("red-copy")).await.expect("a list");
        assert_eq!(found.iter().map(|found| &found.cid).collect::<Vec<_>>(), [&copy.cid]);
        assert!(self.cloud.disks_tagged(&self.tags("green")).await.expect("a list").is_empty());
        self.drop_disk(&copy.cid).await;
        self.completed(&second.cid).await;
        self.drop_snapshot(&first.cid).await;
        self.drop_snapshot(&second.cid).await;
        self.drop_disk(&disk).await;
    }

    async fn gone_is_deleted(&self) {
        let disk = self.fixture.disk_with("gone").await;
        let snapshot = self.snapshot_of(&disk, "gone").await;
        for _ in 0..2 {
            self.drop_snapshot(&snapshot.cid).await;
            assert_eq!(self.cloud.snapshot(&snapshot.cid).await.expect("an answer"), None);
        }
        for _ in 0..2 {
            self.drop_disk(&disk).await;
            assert_eq!(self.cloud.disk(&disk).await.expect("an answer"), None);
        }
        let again = self.cloud.create_disk(&snapshot.cid, &self.spec("gone"), &self.key("gone")).await;
        assert!(matches!(again, Err(Error::SnapshotNotFound(_))), "{again:?}");
    }

    async fn an_attached_disk_stays(&self) {
        let disk = self.fixture.disk_with("attached").await;
        let vm = self.fixture.attach(&disk).await;
        let found = self.cloud.disk(&disk).await.expect("an answer").expect("the disk");
        assert_eq!((found.state, found.attached_to.as_ref()), (DiskState::InUse, Some(&vm)));
        let refused = self.cloud.delete_disk(&disk).await;
        assert!(matches!(refused, Err(Error::DiskInUse { .. })), "{refused:?}");
        assert!(self.cloud.disk(&disk).await.expect("an answer").is_some(), "it was deleted all the same");
        let snapshot = self.snapshot_of(&disk, "attached").await;
        self.fixture.detach(&disk, &vm).await;
        let found = self.available(&disk).await;
        assert_eq!(found.attached_to, None);
        self.drop_snapshot(&snapshot.cid).await;
        self.drop_disk(&disk).await;
    }

    async fn refusals_make_nothing(&self) {
        let disk = self.fixture.disk_with("limits").await;
        let snapshot = self.snapshot_of(&disk, "limits").await;
        let tiny = DiskSpec { size_mib: self.fixture.size_mib() - 1, ..self.spec("tiny") };
        for refused in [
            self.cloud.check_create_disk(&snapshot.cid, &tiny).await,
            self.cloud.create_disk(&snapshot.cid, &tiny, &self.key("tiny")).await.map(|_| ()),
        ] {
            assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        }
        let spec = self.spec("limits");
        self.cloud.check_create_disk(&snapshot.cid, &spec).await.expect("there is room");
        if self.fixture.exhaust_quota(Quota::Exhausted).await {
            for refused in [
                self.cloud.check_create_disk(&snapshot.cid, &spec).await,
                self.cloud.create_disk(&snapshot.cid, &spec, &self.key("full")).await.map(|_| ()),
                self.cloud.create_snapshot(&disk, &spec.tags, &self.key("full")).await.map(|_| ()),
            ] {
                assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
            }
            let key = self.key("limits");
            let again = self.cloud.create_snapshot(&disk, &self.tags("limits"), &key).await;
            assert_eq!(again.expect("it exists already").cid, snapshot.cid);
            self.fixture.exhaust_quota(Quota::Normal).await;
        }
        assert!(self.cloud.disks_tagged(&spec.tags).await.expect("a list").is_empty());
        assert_eq!(self.cloud.snapshots_tagged(&self.tags("limits")).await.expect("a list").len(), 1);
        self.drop_snapshot(&snapshot.cid).await;
        self.drop_disk(&disk).await;
        let gone = self.cloud.create_snapshot(&disk, &self.tags("limits"), &self.key("gone")).await;
        assert!(matches!(gone, Err(Error::DiskNotFound(_))), "{gone:?}");
    }

    async fn copies_stand_alone(&self) {
        if !self.fixture.copies_stand_alone() {
            return;
        }
        let disk = self.fixture.disk_with("alone").await;
        let snapshot = self.snapshot_of(&disk, "alone").await;
        self.drop_disk(&disk).await;
        let copy = self.disk_from(&snapshot.cid, "alone-copy").await;
        self.drop_snapshot(&snapshot.cid).await;
        assert_eq!(self.fixture.content_of(&copy.cid).await, "alone");
        self.drop_disk(&copy.cid).await;
    }

    async fn nothing_is_left(&self) {
        let all = Tags::from([(tag::CLUSTER.to_owned(), self.run.clone())]);
        assert!(self.cloud.disks_tagged(&all).await.expect("a list").is_empty());
        assert!(self.cloud.snapshots_tagged(&all).await.expect("a list").is_empty());
    }
}

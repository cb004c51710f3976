//! `local` on a real XFS: the contract of every cloud, and what only a crash shows.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_cloud::{
    Detached, DiskCloud, DiskSpec, Error, LocalCloud, LocalDisks, Quota, RetryingCloud, SnapshotState, Tags,
};
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, RequestKey, VmCid};
use remount_host::RetryPolicy;
use remount_lab::{namespace, xfs};
use remount_sim::contract::disk_cloud::{self, Fixture, Pace};

/// Where the fixture writes: behind anything a partition table would need.
const OFFSET: u64 = 3 << 20;
const LENGTH: usize = 64;

fn of_mib(size_mib: u64) -> DiskShape {
    DiskShape { size_mib, disk_type: "local".into(), ..DiskShape::default() }
}

#[derive(Clone, Debug)]
struct Images(LocalDisks);

impl Images {
    fn write(&self, disk: &DiskCid, content: &str) {
        let image = File::options().write(true).open(self.0.image(disk)).unwrap();
        let mut padded = content.as_bytes().to_vec();
        padded.resize(LENGTH, 0);
        image.write_all_at(&padded, OFFSET).unwrap();
    }
}

#[async_trait]
impl Fixture for Images {
    async fn disk_with(&self, content: &str) -> DiskCid {
        let disk = self.0.create_empty(&self.shape()).unwrap().cid;
        self.write(&disk, content);
        disk
    }

    async fn overwrite(&self, disk: &DiskCid, content: &str) {
        self.write(disk, content);
    }

    async fn content_of(&self, disk: &DiskCid) -> String {
        let mut read = vec![0; LENGTH];
        File::open(self.0.image(disk)).unwrap().read_exact_at(&mut read, OFFSET).unwrap();
        String::from_utf8(read).unwrap().trim_end_matches('\0').to_owned()
    }

    async fn attach(&self, disk: &DiskCid) -> VmCid {
        let vm = VmCid::new("vm-contract").unwrap();
        self.0.attach(disk, &vm, "z1").unwrap();
        vm
    }

    async fn detach(&self, disk: &DiskCid, vm: &VmCid) {
        assert_eq!(self.0.detach(disk, vm).unwrap(), Detached::Now);
    }

    async fn exhaust_quota(&self, exhausted: disk_cloud::Quota) -> bool {
        let limit = (exhausted == disk_cloud::Quota::Exhausted).then_some(0);
        self.0.set_quota(Quota { disks: limit, snapshots: limit, ..Quota::default() }).unwrap();
        true
    }

    async fn slow_snapshots(&self, pace: Pace) {
        let snapshot_seconds = (pace == Pace::Slow).then_some(1);
        self.0.set_quota(Quota { snapshot_seconds, ..Quota::default() }).unwrap();
    }

    fn shape(&self) -> DiskShape {
        DiskShape { zone: Some("z1".into()), attributes: disk_cloud::every_attribute(), ..of_mib(64) }
    }
}

/// A cloud on a fresh XFS, which lives as long as this process.
fn fresh(folder: &Path) -> (PathBuf, Images) {
    let (image, mounted) = (folder.join("xfs.img"), folder.join("xfs"));
    xfs::make_image(&image, 2).unwrap();
    xfs::mount_privately(&image, &mounted).unwrap();
    let root = mounted.join("cloud");
    let images = Images(LocalDisks::create(&root).unwrap());
    (root, images)
}

fn key(text: &str) -> RequestKey {
    RequestKey::new(text).unwrap()
}

#[test]
fn local_keeps_the_contract_of_every_cloud() {
    namespace::run_test("local_keeps_the_contract_of_every_cloud", |folder| {
        let (root, images) = fresh(folder);
        let local: Arc<dyn DiskCloud> = Arc::new(LocalCloud::open(root).unwrap());
        let policy = RetryPolicy::within(Duration::from_secs(5));
        let retrying: Arc<dyn DiskCloud> = Arc::new(RetryingCloud::new(local.clone(), policy));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        for (name, cloud) in [("local", local), ("local, tried again", retrying)] {
            let fixture = Arc::new(images.clone());
            runtime.block_on(disk_cloud::run(name, cloud, fixture)).assert_holds();
        }
    });
}

#[test]
fn what_an_interrupted_create_left_is_no_object_and_is_reaped() {
    namespace::run_test("what_an_interrupted_create_left_is_no_object_and_is_reaped", |folder| {
        let (root, Images(disks)) = fresh(folder);
        let disk = disks.create_empty(&of_mib(64)).unwrap().cid;
        let (half, torn) = (root.join("snapshots/snap-0.img"), root.join("snapshots/snap-1.tmp"));
        fs::write(&half, b"half").unwrap();
        fs::write(&torn, b"{\"format\":").unwrap();
        assert!(disks.snapshots_tagged(&Tags::new()).unwrap().is_empty());
        let made = disks.create_snapshot(&disk, &Tags::new(), &key("k")).unwrap();
        assert!(!half.exists() && !torn.exists());
        assert_eq!(disks.snapshots_tagged(&Tags::new()).unwrap(), [made]);
    });
}

#[test]
fn a_copy_shares_its_blocks_with_the_original() {
    namespace::run_test("a_copy_shares_its_blocks_with_the_original", |folder| {
        let (root, Images(disks)) = fresh(folder);
        let disk = disks.create_empty(&of_mib(1024)).unwrap().cid;
        let image = File::options().write(true).open(disks.image(&disk)).unwrap();
        for mib in 0..600 {
            image.write_all_at(&vec![7; 1 << 20], mib << 20).unwrap();
        }
        // Three full copies of 600 MiB would not fit into 2 GiB.
        for copy in 0..5 {
            disks.create_snapshot(&disk, &Tags::new(), &key(&format!("k{copy}"))).unwrap();
        }
        assert_eq!(fs::read_dir(root.join("snapshots")).unwrap().count(), 10);
    });
}

#[test]
fn the_cpi_refuses_another_zone_and_a_disk_that_is_attached() {
    namespace::run_test("the_cpi_refuses_another_zone_and_a_disk_that_is_attached", |folder| {
        let (_root, Images(disks)) = fresh(folder);
        let disk = disks.create_empty(&DiskShape { zone: Some("z1".into()), ..of_mib(64) }).unwrap().cid;
        let (vm, other) = (VmCid::new("vm-1").unwrap(), VmCid::new("vm-2").unwrap());
        assert!(matches!(disks.attach(&disk, &vm, "z2"), Err(Error::Refused { .. })));
        disks.attach(&disk, &vm, "z1").unwrap();
        assert!(matches!(disks.attach(&disk, &other, "z1"), Err(Error::DiskInUse { .. })));
        assert_eq!(disks.detach(&disk, &other).unwrap(), Detached::WasNot);
        assert_eq!(disks.detach(&disk, &vm).unwrap(), Detached::Now);
    });
}

#[test]
fn a_slow_snapshot_is_pending_at_first_and_no_disk_is_made_from_it() {
    namespace::run_test("a_slow_snapshot_is_pending_at_first_and_no_disk_is_made_from_it", |folder| {
        let (_root, Images(disks)) = fresh(folder);
        let disk = disks.create_empty(&of_mib(64)).unwrap().cid;
        disks.set_quota(Quota { snapshot_seconds: Some(1), ..Quota::default() }).unwrap();
        let snapshot = disks.create_snapshot(&disk, &Tags::new(), &key("k")).unwrap();
        assert_eq!(snapshot.state, SnapshotState::Pending);
        let spec = DiskSpec { like: of_mib(64), tags: Tags::new() };
        let early = disks.create_disk(&snapshot.cid, &spec, &key("d"));
        assert!(matches!(early, Err(Error::SnapshotNotComplete(_))), "{early:?}");
        while disks.snapshot(&snapshot.cid).unwrap().unwrap().state != SnapshotState::Complete {
            std::thread::yield_now();
        }
        disks.create_disk(&snapshot.cid, &spec, &key("d")).unwrap();
    });
}

#[tokio::test]
async fn without_reflink_a_snapshot_is_refused_with_the_reason() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let disks = LocalDisks::create(folder.path()).unwrap();
    let disk = disks.create_empty(&of_mib(1)).unwrap().cid;
    let cloud = LocalCloud::open(folder.path()).unwrap();
    let error = cloud.create_snapshot(&disk, &Tags::new(), &key("k")).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { detail, .. } if detail.contains("reflink")), "{error:?}");
    assert!(cloud.snapshots_tagged(&Tags::new()).await.unwrap().is_empty());
}

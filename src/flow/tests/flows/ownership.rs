//! Nothing is deleted on absence of knowledge: a changed prefix, an emptied store, a second landscape in the same
//! account, a later owner.

use std::sync::Arc;
use std::time::Duration;

use remount_cloud::{DiskSpec, Snapshot, Tags, tag};
use remount_core::documents::{BackupManifest, BackupRecord, DiskShape, TombstoneKind};
use remount_core::{BackupId, RequestKey, SystemIdentifier};
use remount_sim::memory::{Fault, MemoryObjects, Rule};
use remount_store::{Objects, Store};

use crate::support::{Workbench, key};

/// The tags of a backup's snapshot, as the cloud has them.
async fn tags_of(bench: &Workbench, backup: &BackupManifest) -> Tags {
    bench.ctx.cloud.snapshot(&backup.snapshot.cid).await.unwrap().unwrap().tags
}

/// A snapshot of the primary's disk with these tags.
async fn snapshot(bench: &Workbench, tags: &Tags, backup: &str) -> Snapshot {
    let disk = bench.landscape.disks_of(0).0.unwrap();
    let mut tags = tags.clone();
    tags.insert(tag::BACKUP.into(), backup.into());
    tags.remove(tag::STATE);
    let key = RequestKey::new(format!("backup-{backup}")).unwrap();
    bench.ctx.cloud.create_snapshot(&disk, &tags, &key).await.unwrap()
}

async fn is_there(bench: &Workbench, snapshot: &Snapshot) -> bool {
    bench.ctx.cloud.snapshot(&snapshot.cid).await.unwrap().is_some()
}

fn system_identifier(manifest: &BackupManifest) -> SystemIdentifier {
    manifest.system_identifier
}

const OTHER: &str = "20261123T004500Z-k3f9";

#[tokio::test]
async fn what_is_made_says_whose_it_is() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let store = bench.ctx.store.id().await.unwrap().unwrap().to_string();
    let director = bench.ctx.director.info().await.unwrap().uuid;
    let manifest = bench.landscape.cluster_store().backups().await.unwrap().remove(0);
    let tags = tags_of(&bench, &manifest).await;
    assert_eq!((&tags[tag::STORE], &tags[tag::DIRECTOR]), (&store, &director));
    assert_eq!((tags[tag::CLUSTER].as_str(), tags[tag::EPOCH].as_str()), ("pg-0001", "1"));
    assert_eq!(tags[tag::BACKUP], manifest.id.to_string());
    bench.restore(target).await.unwrap();
    let disk = bench.landscape.disks_of(0).0.unwrap();
    let tags = bench.ctx.cloud.disk(&disk).await.unwrap().unwrap().tags;
    assert_eq!((&tags[tag::STORE], &tags[tag::DIRECTOR]), (&store, &director));
    assert_eq!((tags[tag::CLUSTER].as_str(), tags[tag::EPOCH].as_str()), ("pg-0001", "2"));
    assert!(tags.contains_key(tag::RESTORE) && tags.contains_key(tag::INSTANCE));
}

#[tokio::test]
async fn a_changed_prefix_loses_nothing() {
    let mut bench = Workbench::new();
    let first = bench.backup().await;
    let ours = bench.ctx.store.clone();
    bench.ctx.store = Store::new(Arc::new(MemoryObjects::new()), key());
    bench.ctx.timeouts.archived = Duration::from_millis(50);
    bench.try_backup().await.unwrap_err(); // The cluster archives into the store that it knows.
    assert_eq!(bench.landscape.snapshots(), 1, "the good backup's snapshot is not that store's to judge");
    bench.ctx.store = ours;
    assert!(bench.ctx.cloud.snapshot(&first.snapshot.cid).await.unwrap().is_some());
}

#[tokio::test]
async fn an_emptied_store_loses_nothing() {
    let bench = Workbench::new();
    let first = bench.backup().await;
    for object in bench.objects.list("clusters/").await.unwrap() {
        if object.path.contains("/backups/") {
            bench.objects.delete(&object.path).await.unwrap(); // A lifecycle rule, a slip of the hand.
        }
    }
    bench.backup().await;
    assert!(bench.ctx.cloud.snapshot(&first.snapshot.cid).await.unwrap().is_some());
    assert_eq!(bench.landscape.snapshots(), 2);
}

#[tokio::test]
async fn a_second_landscape_in_the_same_account_loses_nothing() {
    let bench = Workbench::new();
    let ours = tags_of(&bench, &bench.backup().await).await;
    let mut of_its_store = ours.clone();
    of_its_store.insert(tag::STORE.into(), "0".repeat(32));
    let mut of_its_director = ours.clone();
    of_its_director.insert(tag::DIRECTOR.into(), "11111111-0000-4000-8000-000000000000".into());
    // Even where this store has a tombstone of the same id.
    let manifest = bench.landscape.cluster_store().backups().await.unwrap().remove(0);
    bench.give_up(OTHER, system_identifier(&manifest)).await;
    let first = snapshot(&bench, &of_its_store, OTHER).await;
    let second = snapshot(&bench, &of_its_director, "20261123T004500Z-aaaa").await;
    bench.give_up("20261123T004500Z-aaaa", system_identifier(&manifest)).await;
    bench.backup().await;
    assert!(is_there(&bench, &first).await && is_there(&bench, &second).await);
}

#[tokio::test]
async fn a_later_owners_snapshot_is_left_alone() {
    let bench = Workbench::new();
    let manifest = bench.backup().await;
    let mut later = tags_of(&bench, &manifest).await;
    bench.give_up(OTHER, system_identifier(&manifest)).await;
    later.insert(tag::EPOCH.into(), "99".into());
    let later = snapshot(&bench, &later, OTHER).await;
    bench.backup().await;
    assert!(is_there(&bench, &later).await);
}

#[tokio::test]
async fn a_snapshot_with_a_tombstone_goes() {
    let bench = Workbench::new();
    let manifest = bench.backup().await;
    let tags = tags_of(&bench, &manifest).await;
    let unknown = snapshot(&bench, &tags, "20261123T004500Z-aaaa").await;
    bench.give_up(OTHER, system_identifier(&manifest)).await;
    let failed = snapshot(&bench, &tags, OTHER).await;
    bench.backup().await;
    assert!(!is_there(&bench, &failed).await, "the store says that it failed");
    assert!(is_there(&bench, &unknown).await, "the store knows nothing of it");
}

#[tokio::test]
async fn a_failed_backup_leaves_its_tombstone_before_its_snapshot_goes() {
    let mut bench = Workbench::new();
    bench.retry_within(Duration::from_millis(250));
    bench.landscape.commit(5).await;
    bench.landscape.inject(Rule::once("server.end_backup", Fault::Refuse).times(30));
    bench.landscape.inject(Rule::once("cloud.delete_snapshot", Fault::Refuse).times(30));
    bench.try_backup().await.unwrap_err();
    assert_eq!(bench.landscape.snapshots(), 1, "it could not be deleted");
    let cluster = bench.landscape.cluster_store();
    let tombstones = cluster.survey_backups().await.unwrap().tombstones;
    assert_eq!(tombstones.len(), 1);
    assert_eq!(tombstones[0].tombstone, TombstoneKind::Failed);
    assert!(!tombstones[0].why.is_empty());
    bench.landscape.heal();
    bench.backup().await;
    assert_eq!(bench.landscape.snapshots(), 1, "the next backup deletes what has a tombstone");
    assert!(cluster.begun_backups().await.unwrap().is_empty(), "and nothing is open any more");
}

#[tokio::test]
async fn a_disk_of_an_undone_restore_goes_and_others_stay() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.landscape.inject(Rule::once("cloud.create_disk", Fault::Refuse).times(u32::MAX));
    let request = bench.request(target);
    let run = remount_flow::run_restore;
    run(&bench.ctx, request.clone(), remount_core::documents::OnFailure::Rollback, &remount_flow::Quiet)
        .await
        .unwrap_err();
    bench.landscape.heal();
    let backup = bench.landscape.cluster_store().backups().await.unwrap().remove(0);
    let mut tags = tags_of(&bench, &backup).await;
    tags.remove(tag::BACKUP);
    tags.insert(tag::RESTORE.into(), request.id.to_string());
    let disk = |tags: &Tags, name: &str| {
        let spec = DiskSpec {
            like: DiskShape { size_mib: 10_240, zone: Some("memory-z1".into()), ..DiskShape::default() },
            tags: tags.clone(),
        };
        let key = RequestKey::new(name).unwrap();
        let (cloud, snapshot) = (bench.ctx.cloud.clone(), backup.snapshot.cid.clone());
        async move { cloud.create_disk(&snapshot, &spec, &key).await.unwrap().cid }
    };
    let leaked = disk(&tags, "leaked").await;
    tags.insert(tag::RESTORE.into(), OTHER.into());
    let unknown = disk(&tags, "unknown").await;
    tags.insert(tag::RESTORE.into(), request.id.to_string());
    tags.insert(tag::STORE.into(), "0".repeat(32));
    let foreign = disk(&tags, "foreign").await;
    bench.backup().await;
    let disks = bench.landscape.disks();
    assert!(!disks.contains(&leaked), "the journal says that its restore was undone");
    assert!(disks.contains(&unknown) && disks.contains(&foreign));
}

impl Workbench {
    async fn give_up(&self, backup: &str, system_identifier: SystemIdentifier) {
        let id: BackupId = backup.parse().unwrap();
        let cluster = self.landscape.cluster_store();
        let tombstone = remount_core::documents::Tombstone {
            format: 1,
            tombstone: TombstoneKind::Failed,
            id,
            cluster: cluster.name().clone(),
            system_identifier,
            epoch: 1,
            at: self.landscape.now(),
            why: "a test".into(),
        };
        let stands = cluster.give_up_backup(&tombstone).await.unwrap();
        assert!(matches!(stands, BackupRecord::Tombstone(_)));
    }
}

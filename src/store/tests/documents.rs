//! Manifests, plans, forks, journals, requests: written once, signed where they decide, refused
//! where they are not what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use remount_core::documents::{BackupManifest, BackupRecord, ForkRecord, JournalEvent, RestorePlan, What};
use remount_core::documents::{OnFailure, RequestOutcome, RestoreRequest};
use remount_core::documents::{TailRecord, WalTail};
use remount_core::documents::{Tombstone, TombstoneKind};
use remount_core::{BackupId, Lsn, RestoreId, SegmentSize, SystemIdentifier, TimelineId, WalSegment};
use remount_sim::memory::MemoryObjects;
use remount_store::{
    ClusterStore, Created, Error, Lease, Metadata, Object, ObjectInfo, Objects, Purpose, Store,
};
use serde_json::json;
use support::{cluster, memory};

const FIRST: &str = "20261123T004500Z-k3f9";
const SECOND: &str = "20261123T014500Z-aaaa";

fn manifest(id: &str, system_identifier: u64) -> BackupManifest {
    let time = "2026-11-23T00:45:00Z";
    serde_json::from_value(json!({
        "format": 1, "id": id, "cluster": "pg-0001", "deployment": "pg-0001",
        "system_identifier": system_identifier.to_string(), "postgres_version": 150_018,
        "segment_size": 16 << 20, "timeline": 1, "start_lsn": "0/3000028", "stop_lsn": "0/4000000",
        "started_at": time, "stopped_at": time, "backup_label": "label\n",
        "source": {"group": "postgres", "id": "a"}, "source_role": "primary",
        "disk": {"instance": {"group": "postgres", "id": "a"}, "cid": "disk-1", "size_mib": 1024}, "tool_version": "0.1.0",
        "snapshot": {"iaas": "local", "cid": "snap-1", "created_at": time, "complete": true},
    }))
    .unwrap()
}

fn plan(id: &str) -> RestorePlan {
    serde_json::from_value(json!({
        "format": 1, "id": id, "cluster": "pg-0001", "deployment": "pg-0001",
        "created_at": "2026-11-23T01:00:00Z", "target": {"target": "latest"},
        "path": {
            "backup": FIRST, "snapshot": "snap-1", "system_identifier": "7", "segment_size": 16 << 20,
            "history": {"timeline": 1, "forks": []}, "new_timeline": 2, "start_lsn": "0/3000028",
            "consistent_lsn": "0/4000000", "minimum_lsn": "0/4000000",
            "segments": ["000000010000000000000003", "000000010000000000000004"],
        },
        "backup_label": "label\n", "instances": [], "tool_version": "0.1.0",
        "keep_old_disks_hours": 24,
    }))
    .unwrap()
}

fn fork(restore: &str, lsn: &str) -> ForkRecord {
    serde_json::from_value(json!({
        "format": 1, "restore": restore, "timeline": 2, "fork_lsn": lsn,
        "fork_segment": "000000020000000000000005",
    }))
    .unwrap()
}

fn request(restore: &str) -> RestoreRequest {
    RestoreRequest {
        format: 1,
        id: id(restore),
        deployment: "pg-0001".parse().unwrap(),
        group: None,
        target: plan(FIRST).target,
        requested_by: "me".into(),
        requested_at: "2026-11-23T01:00:00Z".parse().unwrap(),
        pause: false,
        on_failure: OnFailure::Rollback,
        options: Default::default(),
        accept_loss: Vec::new(),
    }
}

fn outcome(exit_code: u8) -> RequestOutcome {
    RequestOutcome {
        format: 1,
        at: "2026-11-23T01:10:00Z".parse().unwrap(),
        exit_code,
        message: "restored".into(),
    }
}

fn id(text: &str) -> RestoreId {
    text.parse().unwrap()
}

fn backup_id(text: &str) -> BackupId {
    text.parse().unwrap()
}

async fn leased() -> (Arc<MemoryObjects>, Store, ClusterStore, Lease) {
    let (objects, store) = memory();
    let cluster = cluster(&store);
    let lease = cluster.take_lease("me", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
    (objects, store, cluster, lease)
}

/// Changes one place in the text of an object.
async fn tamper(objects: &MemoryObjects, path: &str, from: &str, to: &str) {
    let object = objects.read(path).await.unwrap().expect("it is there");
    let text = String::from_utf8(object.content.to_vec()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    objects.replace(path, Bytes::from(text.replacen(from, to, 1))).await.unwrap();
}

async fn copy(objects: &MemoryObjects, from: &str, to: &str) {
    let object = objects.read(from).await.unwrap().expect("it is there");
    objects.create(to, object.content, &Metadata::new()).await.unwrap();
}

fn is_document<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(error @ Error::Document { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn backups_are_found_over_all_system_identifiers_sorted_by_id() {
    let (_, store, cluster, lease) = leased().await;
    assert!(cluster.backups().await.unwrap().is_empty());
    cluster.write_backup(&manifest(SECOND, 7), &lease).await.unwrap();
    cluster.write_backup(&manifest(FIRST, 9), &lease).await.unwrap();
    cluster.write_backup(&manifest(FIRST, 9), &lease).await.expect("the same manifest again is success");
    let mut other = manifest(FIRST, 9);
    other.hold = true;
    let conflict = cluster.write_backup(&other, &lease).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");

    let backups = cluster.backups().await.unwrap();
    assert_eq!(backups, [manifest(FIRST, 9), manifest(SECOND, 7)]);
    assert_eq!(cluster.system_identifiers().await.unwrap(), [SystemIdentifier(7), SystemIdentifier(9)]);
    assert_eq!(cluster.backup(&backup_id(SECOND)).await.unwrap(), Some(manifest(SECOND, 7)));
    assert_eq!(store.clusters().await.unwrap(), [cluster.name().clone()]);

    for _ in 0..2 {
        cluster
            .prune_backup(&backup_id(SECOND), jiff::Timestamp::UNIX_EPOCH, "its time is over", &lease)
            .await
            .unwrap();
    }
    assert_eq!(cluster.backup(&backup_id(SECOND)).await.unwrap(), None);
    let record = cluster.backup_record(&backup_id(SECOND)).await.unwrap();
    let Some(BackupRecord::Tombstone(tombstone)) = record else { panic!("{record:?}") };
    assert_eq!(tombstone.tombstone, TombstoneKind::Pruned, "what became of it stays on record");
}

#[tokio::test]
async fn one_unreadable_manifest_fails_the_list_and_is_named_in_the_survey() {
    let (objects, _, cluster, lease) = leased().await;
    cluster.write_backup(&manifest(FIRST, 7), &lease).await.unwrap();
    cluster.write_backup(&manifest(SECOND, 7), &lease).await.unwrap();
    let path = format!("clusters/pg-0001/7/backups/{SECOND}.json");
    tamper(&objects, &path, "snap-1", "snap-2").await;
    assert!(is_document(cluster.backups().await).contains("signature"));
    assert!(is_document(cluster.backup(&backup_id(SECOND)).await).contains(SECOND));
    let survey = cluster.survey_backups().await.unwrap();
    assert_eq!(survey.good, [manifest(FIRST, 7)]);
    assert_eq!(survey.unreadable.len(), 1);
}

#[tokio::test]
async fn a_manifest_that_was_copied_elsewhere_is_refused() {
    let (objects, _, cluster, lease) = leased().await;
    cluster.write_backup(&manifest(FIRST, 7), &lease).await.unwrap();
    let from = format!("clusters/pg-0001/7/backups/{FIRST}.json");
    copy(&objects, &from, &format!("clusters/pg-0001/7/backups/{SECOND}.json")).await;
    assert!(is_document(cluster.backups().await).contains("signed for another place"));
}

#[tokio::test]
async fn a_plan_is_written_once_published_and_withdrawn() {
    let (_, _, cluster, lease) = leased().await;
    assert!(cluster.published().await.unwrap().is_none());
    for restore in [FIRST, SECOND] {
        cluster.write_plan(&plan(restore), &lease).await.unwrap();
        cluster.write_plan(&plan(restore), &lease).await.expect("the same plan again is success");
    }
    let mut other = plan(FIRST);
    other.requested_by = "somebody else".into();
    let conflict = cluster.write_plan(&other, &lease).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    assert_eq!(cluster.restores().await.unwrap(), [id(FIRST), id(SECOND)]);
    assert_eq!(cluster.plan(&id(FIRST)).await.unwrap(), Some(plan(FIRST)));

    for restore in [FIRST, FIRST, SECOND] {
        cluster.publish(&id(restore), &lease).await.unwrap();
        assert_eq!(cluster.published().await.unwrap(), Some(plan(restore)));
    }
    for _ in 0..2 {
        cluster.withdraw(&lease).await.unwrap();
        assert_eq!(cluster.published().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_published_plan_that_was_changed_or_swapped_is_refused() {
    let (objects, _, cluster, lease) = leased().await;
    cluster.write_plan(&plan(FIRST), &lease).await.unwrap();
    cluster.publish(&id(SECOND), &lease).await.unwrap();
    assert!(is_document(cluster.published().await).contains("is not there"));
    let folder = "clusters/pg-0001/restores";
    copy(&objects, &format!("{folder}/{FIRST}/plan.json"), &format!("{folder}/{SECOND}/plan.json")).await;
    assert!(is_document(cluster.published().await).contains("signed for another place"));

    cluster.publish(&id(FIRST), &lease).await.unwrap();
    tamper(&objects, &format!("{folder}/current.json"), FIRST, SECOND).await;
    assert!(is_document(cluster.published().await).contains("signature"));
    tamper(&objects, &format!("{folder}/{FIRST}/plan.json"), "0/4000000", "0/5000000").await;
    assert!(is_document(cluster.plan(&id(FIRST)).await).contains("signature"));
}

#[tokio::test]
async fn a_fork_is_recorded_once_and_verified() {
    let (objects, _, cluster, lease) = leased().await;
    assert_eq!(cluster.fork(&id(FIRST)).await.unwrap(), None);
    for _ in 0..2 {
        cluster.write_fork(&fork(FIRST, "0/5000000"), &lease).await.unwrap();
    }
    assert_eq!(cluster.fork(&id(FIRST)).await.unwrap(), Some(fork(FIRST, "0/5000000")));
    let conflict = cluster.write_fork(&fork(FIRST, "0/6000000"), &lease).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    let path = |restore: &str| format!("clusters/pg-0001/restores/{restore}/fork.json");
    copy(&objects, &path(FIRST), &path(SECOND)).await;
    assert!(is_document(cluster.fork(&id(SECOND)).await).contains("signed for another place"));
}

/// A server that is started between two stops leaves more, and the second stop must not fail for it.
#[tokio::test]
async fn the_tail_of_a_later_stop_takes_the_place_of_an_earlier_one() {
    let (_, _, cluster, lease) = leased().await;
    let segment = WalSegment::numbered(TimelineId::FIRST, 3, SegmentSize::DEFAULT);
    let restore: RestoreId = plan(FIRST).id;
    for (end, sha256) in [(0x300_0100, "aa"), (0x300_0200, "bb"), (0x300_0200, "bb")] {
        let tail = WalTail { segment, end: Lsn(end), sha256: sha256.into() };
        let record = TailRecord { format: 1, restore: restore.clone(), tail };
        cluster.write_tail(&record, &lease).await.unwrap();
        assert_eq!(cluster.tail(&restore).await.unwrap(), Some(record));
    }
}

#[tokio::test]
async fn a_journal_keeps_its_order_and_tells_of_holes_and_strangers() {
    let (objects, _, cluster, lease) = leased().await;
    let at = |n: u64, step: &str| JournalEvent {
        format: 1,
        n,
        at: jiff::Timestamp::UNIX_EPOCH,
        epoch: lease.epoch(),
        what: What::Intended { step: step.into() },
    };
    let event = |n: u64| at(n, &format!("swap {n}"));
    for n in 1..=12 {
        cluster.append_journal(&id(FIRST), &event(n), &lease).await.unwrap();
        cluster.append_journal(&id(FIRST), &event(n), &lease).await.expect("the same again is success");
    }
    let conflict = cluster.append_journal(&id(FIRST), &at(3, "other"), &lease).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    let journal = cluster.journal(&id(FIRST)).await.unwrap();
    assert_eq!(journal, (1..=12).map(event).collect::<Vec<_>>());
    assert!(cluster.journal(&id(SECOND)).await.unwrap().is_empty());
    objects.delete(&format!("clusters/pg-0001/restores/{FIRST}/journal/000005.json")).await.unwrap();
    assert!(is_document(cluster.journal(&id(FIRST)).await).contains("missing"));
}

#[tokio::test]
async fn a_request_is_pending_until_its_outcome_is_recorded() {
    let (_, store) = memory();
    let requests = store.requests();
    for restore in [SECOND, FIRST, FIRST] {
        requests.put(&request(restore)).await.unwrap();
    }
    let mut other = request(FIRST);
    other.on_failure = OnFailure::Hold;
    assert!(matches!(requests.put(&other).await, Err(Error::Conflict { .. })));
    assert_eq!(requests.pending().await.unwrap().requests, [request(FIRST), request(SECOND)]);
    assert_eq!(requests.get(&id(SECOND)).await.unwrap(), Some(request(SECOND)));

    for _ in 0..2 {
        requests.finish(&id(FIRST), &outcome(0)).await.unwrap();
    }
    assert!(matches!(requests.finish(&id(FIRST), &outcome(3)).await, Err(Error::Conflict { .. })));
    assert_eq!(requests.pending().await.unwrap().requests, [request(SECOND)]);
    assert_eq!(requests.outcome(&id(FIRST)).await.unwrap(), Some(outcome(0)));
    assert_eq!(requests.outcome(&id(SECOND)).await.unwrap(), None);
}

#[tokio::test]
async fn one_request_that_cannot_be_verified_keeps_nobody_from_the_others() {
    let (objects, store) = memory();
    let requests = store.requests();
    for restore in [FIRST, SECOND] {
        requests.put(&request(restore)).await.unwrap();
    }
    tamper(&objects, &format!("requests/{FIRST}.json"), "pg-0001", "pg-0002").await;
    let pending = requests.pending().await.unwrap();
    assert_eq!(pending.requests, [request(SECOND)]);
    let named = pending.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(named.len() == 1 && named[0].contains(FIRST), "{named:?}");
}

#[tokio::test]
async fn an_instance_is_registered_once_and_for_ever() {
    let (_, store) = memory();
    let (cluster, instance) = (cluster(&store), "0f1e".parse().unwrap());
    assert!(!cluster.is_known().await.unwrap());
    assert!(!cluster.is_registered(&instance).await.unwrap());
    for _ in 0..2 {
        cluster.register_instance(&instance).await.unwrap();
        assert!(cluster.is_registered(&instance).await.unwrap());
    }
    assert!(cluster.is_known().await.unwrap());
}

#[tokio::test]
async fn an_id_knows_its_cluster_and_the_newest_restore_is_found() {
    let (objects, store, cluster, lease) = leased().await;
    assert!(
        store.cluster_of_backup(&backup_id(FIRST), None).await.unwrap().is_none(),
        "an id that was never given"
    );
    assert!(store.newest_restore().await.unwrap().is_none());

    cluster.write_backup(&manifest(FIRST, 7), &lease).await.unwrap();
    cluster.write_plan(&plan(FIRST), &lease).await.unwrap();
    cluster.write_plan(&plan(SECOND), &lease).await.unwrap();

    let of_backup = store.cluster_of_backup(&backup_id(FIRST), None).await.unwrap().unwrap();
    assert_eq!(of_backup.name(), cluster.name());
    let of_restore = store.cluster_of_restore(&id(FIRST), None).await.unwrap().unwrap();
    assert_eq!(of_restore.name(), cluster.name());
    let (newest_of, newest) = store.newest_restore().await.unwrap().unwrap();
    assert_eq!((newest_of.name(), newest), (cluster.name(), id(SECOND)));
    assert_eq!(store.restored_clusters().await.unwrap(), [cluster.name().clone()]);

    tamper(&objects, &format!("index/backups/{FIRST}.json"), "pg-0001", "pg-0002").await;
    let moved = store.cluster_of_backup(&backup_id(FIRST), None).await.unwrap().unwrap();
    assert_eq!(moved.name(), cluster.name(), "an entry alone proves nothing");
}

/// `mv index away`, or a store from before there was one: nothing that lies in a cluster may be out of reach.
#[tokio::test]
async fn without_its_entry_an_id_is_looked_for_in_every_cluster_and_indexed_again() {
    let (objects, store, cluster, lease) = leased().await;
    cluster.write_backup(&manifest(FIRST, 7), &lease).await.unwrap();
    cluster.write_plan(&plan(FIRST), &lease).await.unwrap();
    let entries = [format!("index/backups/{FIRST}.json"), format!("index/restores/{FIRST}.json")];
    let forget = || async {
        for entry in &entries {
            objects.delete(entry).await.unwrap();
        }
    };
    let other: remount_core::ClusterName = "pg-0002".parse().unwrap();
    store
        .cluster(&other)
        .register_instance(&"0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d".parse().unwrap())
        .await
        .unwrap();

    forget().await;
    assert!(
        store.cluster_of_restore(&id(FIRST), Some(&other)).await.unwrap().is_none(),
        "that one alone is asked"
    );
    let of_restore = store.cluster_of_restore(&id(FIRST), None).await.unwrap().unwrap();
    let of_backup = store.cluster_of_backup(&backup_id(FIRST), None).await.unwrap().unwrap();
    assert_eq!((of_restore.name(), of_backup.name()), (cluster.name(), cluster.name()));
    for entry in &entries {
        assert!(objects.read(entry).await.unwrap().is_some(), "{entry} is there again");
    }
    assert!(
        store.cluster_of_restore(&id(SECOND), None).await.unwrap().is_none(),
        "an id that was never given"
    );

    forget().await;
    let (newest_of, newest) = store.newest_restore().await.unwrap().unwrap();
    assert_eq!((newest_of.name(), newest), (cluster.name(), id(FIRST)));
    forget().await;
    assert_eq!(store.restored_clusters().await.unwrap(), [cluster.name().clone()]);
    assert!(objects.read(&entries[1]).await.unwrap().is_some(), "and is indexed again");
}

#[tokio::test]
async fn requests_that_ended_long_ago_are_pruned_and_pending_ones_never() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (objects, store) = memory();
    let requests = store.requests();
    for old in [FIRST, SECOND] {
        requests.put(&request(old)).await.unwrap();
    }
    requests.finish(&id(FIRST), &outcome(0)).await.unwrap();
    objects.advance(89 * DAY);
    requests.prune().await.unwrap();
    assert!(requests.outcome(&id(FIRST)).await.unwrap().is_some(), "kept for 90 days");

    objects.advance(2 * DAY);
    let recent = "20270222T000000Z-cccc";
    requests.put(&request(recent)).await.unwrap();
    requests.finish(&id(recent), &outcome(0)).await.unwrap();
    requests.prune().await.unwrap();
    assert!(requests.get(&id(FIRST)).await.unwrap().is_none());
    assert!(requests.outcome(&id(FIRST)).await.unwrap().is_none());
    assert!(requests.outcome(&id(recent)).await.unwrap().is_some());
    let pending: Vec<_> =
        requests.pending().await.unwrap().requests.into_iter().map(|request| request.id).collect();
    assert_eq!(pending, [id(SECOND)], "one without an outcome stays, however old");
}

#[tokio::test]
async fn a_store_has_one_id_that_the_control_plane_draws() {
    let (objects, store) = support::memory();
    assert_eq!(store.id().await.unwrap(), None, "reading gives none");
    let other = support::store(objects);
    let (one, two) = tokio::join!(store.ensure_id(), other.ensure_id());
    let id = one.unwrap();
    assert_eq!(id, two.unwrap(), "of two who draw at once both get the winner's");
    assert_eq!(other.id().await.unwrap(), Some(id.clone()));
    let (_, elsewhere) = support::memory();
    assert_ne!(elsewhere.ensure_id().await.unwrap(), id, "another store has another");
}

fn failed(id: &str) -> Tombstone {
    serde_json::from_value(json!({
        "format": 1, "tombstone": "failed", "id": id, "cluster": "pg-0001", "system_identifier": "7",
        "epoch": 1, "at": "2026-11-23T00:45:00Z", "why": "the disk is gone",
    }))
    .unwrap()
}

#[tokio::test]
async fn the_first_of_manifest_and_tombstone_decides() {
    let (_, _, cluster, lease) = leased().await;
    let given_up = cluster.give_up_backup(&failed(FIRST)).await.unwrap();
    assert_eq!(given_up, BackupRecord::Tombstone(failed(FIRST)));
    let late = cluster.write_backup(&manifest(FIRST, 7), &lease).await;
    assert!(matches!(late, Err(Error::GivenUp { .. })), "{late:?}");
    assert_eq!(cluster.backup(&backup_id(FIRST)).await.unwrap(), None);

    cluster.write_backup(&manifest(SECOND, 7), &lease).await.unwrap();
    let late = cluster.give_up_backup(&failed(SECOND)).await.unwrap();
    assert!(matches!(late, BackupRecord::Manifest(_)), "{late:?}: the backup is good");
    let survey = cluster.survey_backups().await.unwrap();
    assert_eq!((survey.good, survey.tombstones), (vec![manifest(SECOND, 7)], vec![failed(FIRST)]));
}

#[tokio::test]
async fn the_lease_is_asked_for_again_after_the_manifest_was_written() {
    let (objects, store) = memory();
    let lease = cluster(&store).take_lease("first", Purpose::Backup, Duration::from_secs(30)).await.unwrap();
    let slow = support::store(Arc::new(Stealing { objects, store: store.clone() }));
    let late = cluster(&slow).write_backup(&manifest(FIRST, 7), &lease).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let stands = cluster(&store).backup(&backup_id(FIRST)).await.unwrap();
    assert_eq!(stands, Some(manifest(FIRST, 7)), "it is good all the same");
}

/// While a manifest is written another takes the lease.
#[derive(Debug)]
struct Stealing {
    objects: Arc<MemoryObjects>,
    store: Store,
}

#[async_trait::async_trait]
impl Objects for Stealing {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created, Error> {
        let created = self.objects.create(path, content, metadata).await;
        if path.contains("/7/backups/") {
            self.objects.advance(Duration::from_secs(120));
            cluster(&self.store)
                .take_lease("second", Purpose::Backup, Duration::from_secs(30))
                .await
                .unwrap();
        }
        created
    }
    async fn replace(&self, path: &str, content: Bytes) -> Result<(), Error> {
        self.objects.replace(path, content).await
    }
    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>, Error> {
        self.objects.read_within(path, most).await
    }
    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>, Error> {
        self.objects.read_start(path, bytes).await
    }
    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>, Error> {
        self.objects.stat(path).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        self.objects.list(prefix).await
    }
    async fn folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.objects.folders(prefix).await
    }
    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.objects.delete(path).await
    }
}

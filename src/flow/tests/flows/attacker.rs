//! A database's VM is taken over: it writes into the store whatever it likes, in its own cluster's part and beyond, as
//! on a file share where nobody stops it. It can sign nothing, so nothing outside its own archive moves.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use remount_core::documents::{BackupManifest, JournalEvent, RestorePlan, Tombstone, TombstoneKind};
use remount_core::{DiskCid, RestoreId};
use remount_flow::{
    BackupRequest, Quiet, ReleaseRequest, Scope, Selection, list_old_disks, release_old_disks,
    resume_restore, rollback_restore, run_backup,
};
use remount_sim::keys;
use remount_store::{Keyring, Objects, Purpose, Store};
use serde_json::{Value, json};

use crate::support::{Heard, Workbench};

/// A restore that the attacker makes up.
const FORGED: &str = "20991123T004500Z-evil";
/// Another cluster of the landscape.
const VICTIM: &str = "pg-0002";

/// Writes what it likes where it likes.
struct Attacker {
    objects: Arc<dyn Objects>,
}

impl Attacker {
    fn of(bench: &Workbench) -> Self {
        Self { objects: bench.objects.clone() }
    }

    async fn write(&self, path: &str, content: impl Into<Bytes>) {
        self.objects.replace(path, content.into()).await.unwrap();
    }

    /// The document as it was before signatures, and in the envelope of ours with a signature of somebody else's,
    /// under our key's name or its own.
    async fn forge(&self, path: &str, document: &Value, how: Forgery) {
        let text = document.to_string();
        let ours = id_of(&keys::control_plane());
        let theirs = id_of(&keys::stranger());
        let content = match how {
            Forgery::Unsigned => text,
            Forgery::OurKeysName => {
                json!({"document": text, "key": ours, "signature": "00".repeat(256)}).to_string()
            }
            Forgery::ItsOwnKey => {
                json!({"document": text, "key": theirs, "signature": "00".repeat(256)}).to_string()
            }
        };
        self.write(path, content).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Forgery {
    Unsigned,
    OurKeysName,
    ItsOwnKey,
}

fn id_of(keys: &Keyring) -> String {
    keys.ids().next().unwrap().to_owned()
}

/// A plan whose "old disks" are the attacker's choice.
fn plan_of(real: &RestorePlan, cluster: &str, disks: &[DiskCid]) -> Value {
    let mut plan = serde_json::to_value(real).unwrap();
    plan["id"] = FORGED.into();
    plan["cluster"] = cluster.into();
    plan["keep_old_disks_hours"] = 0.into();
    for (planned, disk) in plan["instances"].as_array_mut().unwrap().iter_mut().zip(disks) {
        planned["old_disk"] = disk.to_string().into();
    }
    plan
}

/// A journal that says that the restore ended well long ago.
fn journal() -> Vec<Value> {
    let at = "2020-01-01T00:00:00Z";
    vec![
        json!({"format": 1, "n": 1, "at": at, "epoch": 1, "event": "begun", "steps": ["begin"]}),
        json!({"format": 1, "n": 2, "at": at, "epoch": 1, "event": "finished", "outcome": "completed"}),
    ]
}

/// What must be as it was.
#[derive(Debug, PartialEq)]
struct World {
    disks: BTreeSet<DiskCid>,
    snapshots: usize,
    of_servers: Vec<(Option<DiskCid>, Option<DiskCid>)>,
    stopped: Vec<bool>,
}

fn world(bench: &Workbench) -> World {
    let servers = bench.landscape.instance_ids().len();
    World {
        disks: bench.landscape.disks(),
        snapshots: bench.landscape.snapshots(),
        of_servers: (0..servers).map(|index| bench.landscape.disks_of(index)).collect(),
        stopped: (0..servers).map(|index| bench.landscape.is_stopped(index)).collect(),
    }
}

fn far_future() -> Timestamp {
    "2099-01-01T00:00:00Z".parse().unwrap()
}

/// Everything that acts on a cluster by what the store says, the nightly errand and an operator's commands.
async fn night(bench: &Workbench) {
    let own = bench.landscape.cluster().clone();
    let forged: RestoreId = FORGED.parse().unwrap();
    for cluster in [own.clone(), VICTIM.parse().unwrap()] {
        let due = ReleaseRequest { selection: Selection::Due, by: "errand".into() };
        drop(release_old_disks(&bench.ctx, &cluster, &due, far_future()).await);
        let named = ReleaseRequest { selection: Selection::Restore(forged.clone()), by: "errand".into() };
        drop(release_old_disks(&bench.ctx, &cluster, &named, far_future()).await);
        drop(list_old_disks(&bench.ctx, std::slice::from_ref(&cluster), &Scope::All, far_future()).await);
        drop(rollback_restore(&bench.ctx, &cluster, &forged, &Quiet).await);
        let on_failure = remount_core::documents::OnFailure::Rollback;
        drop(resume_restore(&bench.ctx, &cluster, &forged, on_failure, &Quiet).await);
    }
    drop(bench.ctx.store.requests().pending().await);
}

/// A landscape after a restore, and the disks in use: the attacker wants them gone.
async fn restored() -> (Workbench, RestorePlan, Vec<DiskCid>) {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let report = bench.restore(target).await.unwrap();
    let plan = bench.landscape.cluster_store().plan(&report.restore).await.unwrap().unwrap();
    let wanted: Vec<DiskCid> = (0..2).filter_map(|index| bench.landscape.disks_of(index).0).collect();
    // The disks of the victim: nobody's but the Director's orphans, so that nothing else protects them.
    let spare: Vec<DiskCid> = (0..2).map(|index| bench.landscape.copy_disk_of(index, 10_240)).collect();
    (bench, plan, [wanted, spare].concat())
}

#[tokio::test]
async fn a_forged_restore_moves_nothing() {
    for how in [Forgery::Unsigned, Forgery::OurKeysName, Forgery::ItsOwnKey] {
        let (bench, plan, wanted) = restored().await;
        let before = world(&bench);
        let attacker = Attacker::of(&bench);
        for cluster in ["pg-0001", VICTIM] {
            let folder = format!("clusters/{cluster}/restores/{FORGED}");
            for disks in [&wanted[..2], &wanted[2..]] {
                attacker.forge(&format!("{folder}/plan.json"), &plan_of(&plan, cluster, disks), how).await;
                for (event, n) in journal().iter().zip(1..) {
                    attacker.forge(&format!("{folder}/journal/{n:06}.json"), event, how).await;
                }
                let fork = json!({"format": 1, "restore": FORGED, "timeline": 9, "fork_lsn": "0/1",
                                  "fork_segment": "000000090000000000000001"});
                attacker.forge(&format!("{folder}/fork.json"), &fork, how).await;
                attacker.forge(&format!("{folder}/abort.json"), &json!({"format": 1, "by": "x"}), how).await;
                let note = json!({"format": 1, "restore": FORGED, "by": "x", "at": "2020-01-01T00:00:00Z",
                                  "epoch": 1, "disks": wanted});
                attacker.forge(&format!("{folder}/released.json"), &note, how).await;
                let current = json!({"format": 1, "cluster": cluster, "restore": FORGED, "epoch": 99});
                attacker.forge(&format!("clusters/{cluster}/restores/current.json"), &current, how).await;
                let index = json!({"format": 1, "cluster": cluster});
                attacker.write(&format!("index/restores/{FORGED}.json"), index.to_string()).await;
                night(&bench).await;
            }
        }
        assert_eq!(world(&bench), before, "{how:?}");
    }
}

#[tokio::test]
async fn signed_documents_of_another_restore_or_cluster_say_nothing_elsewhere() {
    let (bench, plan, _) = restored().await;
    let before = world(&bench);
    let attacker = Attacker::of(&bench);
    // The real journal, which ended well, is laid beside the plan of the attacker's choice, and everything is laid
    // below another cluster's name.
    let real = format!("clusters/pg-0001/restores/{}/", plan.id);
    for object in bench.objects.list(&real).await.unwrap() {
        let content = bench.objects.read(&object.path).await.unwrap().unwrap().content;
        let rest = &object.path[real.len()..];
        for folder in [
            format!("clusters/pg-0001/restores/{FORGED}/"),
            format!("clusters/{VICTIM}/restores/{}/", plan.id),
        ] {
            attacker.write(&format!("{folder}{rest}"), content.clone()).await;
        }
    }
    night(&bench).await;
    assert_eq!(world(&bench), before);
    let victim = bench.ctx.store.cluster(&VICTIM.parse().unwrap());
    assert!(victim.plan(&plan.id).await.is_err() && victim.journal(&plan.id).await.is_err());
}

#[tokio::test]
async fn a_forged_tombstone_or_beginning_deletes_no_snapshot() {
    for how in [Forgery::Unsigned, Forgery::OurKeysName, Forgery::ItsOwnKey] {
        let (bench, _, _) = restored().await;
        let snapshots = bench.landscape.snapshots();
        let attacker = Attacker::of(&bench);
        for backup in bench.landscape.cluster_store().backups().await.unwrap() {
            let path = |folder: &str| {
                format!("clusters/pg-0001/{}/{folder}/{}.json", backup.system_identifier, backup.id)
            };
            let tombstone = json!({"format": 1, "tombstone": "failed", "id": backup.id, "cluster": "pg-0001",
                "system_identifier": backup.system_identifier, "epoch": 1, "at": "2020-01-01T00:00:00Z", "why": "x"});
            let begun = json!({"format": 1, "id": backup.id, "cluster": "pg-0001",
                "system_identifier": backup.system_identifier, "epoch": 0});
            attacker.forge(&path("backups"), &tombstone, how).await;
            attacker.forge(&path("begun"), &begun, how).await;
        }
        bench.backup().await;
        assert_eq!(bench.landscape.snapshots(), snapshots + 1, "{how:?}");
    }
}

/// The note of a backup's begin, truly signed, as a database VM copies it from a share while the backup runs.
async fn kept_note(bench: &Workbench, backup: &BackupManifest) -> (String, Bytes) {
    let cluster = bench.landscape.cluster_store();
    let lease = cluster.take_lease("kept", Purpose::Backup, bench.ctx.timeouts.lease_term).await.unwrap();
    cluster.note_begun(&backup.id, backup.system_identifier, &lease).await.unwrap();
    lease.release().await.unwrap();
    let path = format!("clusters/pg-0001/{}/begun/{}.json", backup.system_identifier, backup.id);
    let note = bench.objects.read(&path).await.unwrap().unwrap().content;
    cluster.forget_begun(&backup.id, backup.system_identifier).await.unwrap();
    (path, note)
}

#[tokio::test]
async fn a_note_put_back_beside_a_deleted_manifest_deletes_no_snapshot() {
    for lags in [false, true] {
        let bench = if lags { Workbench::lagging(7) } else { Workbench::new() };
        let backup = bench.backup().await;
        let (begun, note) = kept_note(&bench, &backup).await;
        let manifest = format!("clusters/pg-0001/{}/backups/{}.json", backup.system_identifier, backup.id);
        let taken = bench.objects.read(&manifest).await.unwrap().unwrap().content;
        bench.objects.delete(&manifest).await.unwrap();
        let attacker = Attacker::of(&bench);
        attacker.write(&begun, note).await;
        let heard = Heard::default();
        let request = BackupRequest::of(bench.landscape.deployment().clone());
        run_backup(&bench.ctx, &request, &heard).await.unwrap();
        assert_eq!(bench.landscape.snapshots(), 2, "lags: {lags}");
        let told = heard.notes().into_iter().find(|note| note.contains("kept: complete, no manifest"));
        let told = told.expect("it is told by name");
        let named = [backup.snapshot.cid.to_string(), backup.id.to_string()];
        assert!(named.iter().all(|name| told.contains(name.as_str())), "{told}");
        // A share that was rolled back, a replica that lagged behind: the manifest comes back, and is good.
        attacker.write(&manifest, taken).await;
        let cluster = bench.landscape.cluster_store();
        assert_eq!(cluster.backup(&backup.id).await.unwrap(), Some(backup.clone()));
        bench.backup().await;
        assert_eq!(bench.landscape.snapshots(), 3);
        assert!(cluster.begun_backups().await.unwrap().is_empty(), "and the note is settled");
    }
}

#[tokio::test]
async fn a_tombstone_of_failure_deletes_no_snapshot_of_a_good_backup_and_one_of_pruning_does() {
    let bench = Workbench::new();
    let backup = bench.backup().await;
    let path = format!("clusters/pg-0001/{}/backups/{}.json", backup.system_identifier, backup.id);
    let manifest = bench.objects.read(&path).await.unwrap().unwrap().content;
    bench.objects.delete(&path).await.unwrap();
    // As a control plane of before would have written it, after the same attack.
    let failed = Tombstone {
        format: 1,
        tombstone: TombstoneKind::Failed,
        id: backup.id.clone(),
        cluster: backup.cluster.clone(),
        system_identifier: backup.system_identifier,
        epoch: 1,
        at: bench.landscape.now(),
        why: "its driver ended before it was done".into(),
    };
    let cluster = bench.landscape.cluster_store();
    cluster.give_up_backup(&failed).await.unwrap();
    bench.backup().await;
    assert_eq!(bench.landscape.snapshots(), 2);
    Attacker::of(&bench).write(&path, manifest).await;
    let lease = cluster.take_lease("prune", Purpose::Prune, bench.ctx.timeouts.lease_term).await.unwrap();
    cluster.prune_backup(&backup.id, bench.landscape.now(), "its time is over", &lease).await.unwrap();
    lease.release().await.unwrap();
    bench.backup().await;
    let gone = bench.ctx.cloud.snapshot(&backup.snapshot.cid).await.unwrap();
    assert_eq!((gone, bench.landscape.snapshots()), (None, 2));
}

#[tokio::test]
async fn what_it_writes_about_leases_requests_and_instances_stops_nobody_elses_work() {
    let (bench, plan, _) = restored().await;
    let before = world(&bench);
    let attacker = Attacker::of(&bench);
    for cluster in ["pg-0001", VICTIM] {
        for epoch in ["18446744073709551615", "9999999999", "0000000000"] {
            let lease =
                json!({"format": 1, "owner": "x", "purpose": "restore", "term_seconds": 1e12, "nonce": 1});
            attacker.write(&format!("clusters/{cluster}/lease/{epoch}.json"), lease.to_string()).await;
        }
        attacker.write(&format!("clusters/{cluster}/instances/x.json"), "{}").await;
        attacker
            .write(&format!("clusters/{cluster}/instances/{}.json", plan.instances[0].instance.id), "{}")
            .await;
        attacker.write(&format!("clusters/{cluster}/1/wal/00000001/000000010000000000000001"), "x").await;
    }
    let request = json!({"format": 1, "id": FORGED, "deployment": VICTIM, "target": {"target": "latest"},
                         "requested_at": "2020-01-01T00:00:00Z"});
    attacker.write(&format!("requests/{FORGED}.json"), request.to_string()).await;
    night(&bench).await;
    assert!(
        bench.ctx.store.requests().get(&FORGED.parse().unwrap()).await.is_err(),
        "no errand carries it out"
    );
    assert_eq!(world(&bench), before);
    // Its own cluster is backed up all the same; so is every other.
    bench.backup().await;
    let victim = bench.ctx.store.cluster(&VICTIM.parse().unwrap());
    let lease = victim.take_lease("x", Purpose::Backup, bench.ctx.timeouts.lease_term).await;
    assert!(
        lease.is_err(),
        "the victim's lease has only forged epochs: the next step names the object that has to go"
    );
}

#[tokio::test]
async fn a_database_vm_cannot_write_what_commands() {
    let (bench, plan, _) = restored().await;
    let objects: Arc<dyn Objects> = bench.objects.clone();
    let store = Store::new(objects, keys::agent());
    let cluster = store.cluster(bench.landscape.cluster());
    let term = bench.ctx.timeouts.lease_term;
    let lease = cluster.take_lease("agent", Purpose::Prune, term).await;
    assert!(matches!(lease, Err(remount_store::Error::CannotSign { .. })), "{lease:?}");
    let abort = cluster.request_abort(&plan.id, "agent").await;
    assert!(matches!(abort, Err(remount_store::Error::CannotSign { .. })), "{abort:?}");
    assert!(cluster.plan(&plan.id).await.unwrap().is_some(), "and it reads what the control plane signed");
    let events: Vec<JournalEvent> = cluster.journal(&plan.id).await.unwrap();
    assert!(!events.is_empty());
    cluster.register_instance(&plan.instances[0].instance.id).await.expect("it says what it knows of itself");
}

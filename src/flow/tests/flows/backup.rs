//! Backups: good ones, failed ones, and what dead drivers leave.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use remount_core::{ExitCode, Role};
use remount_flow::{BackupRequest, BackupSource, Progress, ProgressEvent, ProgressKind, Quiet, run_backup};
use remount_host::Pace;
use remount_sim::memory::{Fault, MemoryLandscape, Rule};

use crate::support::Workbench;

#[tokio::test]
async fn a_backup_has_its_manifest_and_leaves_backup_mode() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    let manifest = bench.backup().await;
    let cluster = bench.ctx.store.cluster(bench.landscape.cluster());
    assert_eq!(cluster.backup(&manifest.id).await.unwrap(), Some(manifest.clone()));
    assert!(manifest.snapshot.complete && manifest.stop_lsn > manifest.start_lsn);
    assert!(!bench.landscape.in_backup_mode());
    assert!(cluster.lease_holder().await.unwrap().is_none());
}

#[tokio::test]
async fn a_standby_is_backed_up_with_the_primarys_help() {
    let bench = Workbench::new();
    let wanted = {
        bench.landscape.commit(5).await;
        bench.landscape.rows(0).unwrap()
    };
    let request = BackupRequest {
        source: BackupSource::Standby,
        ..BackupRequest::of(bench.landscape.deployment().clone())
    };
    let manifest = run_backup(&bench.ctx, &request, &Quiet).await.unwrap();
    assert_eq!(manifest.source_role, Role::Standby);
    bench.restore(remount_core::RecoveryTarget::Backup(manifest.id)).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_backup_that_fails_anywhere_leaves_nothing() {
    let calls = [
        ("director.instances", 30),
        ("server.status", 30),
        ("cloud.disk", 30),
        ("server.begin_backup", 30),
        ("cloud.create_snapshot", 30),
        ("cloud.snapshot", 30),
        ("server.end_backup", 30),
        ("cloud.tag_snapshot", 30),
    ];
    for (call, times) in calls {
        for fault in [Fault::Refuse, Fault::LoseRequest] {
            let mut bench = Workbench::new();
            bench.retry_within(Duration::from_millis(250));
            bench.landscape.commit(5).await;
            bench.landscape.inject(Rule::once(call, fault).times(times));
            let error = bench.try_backup().await.unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unchanged, "{call} {fault:?}");
            assert!(!bench.landscape.in_backup_mode(), "{call} {fault:?}: backup mode");
            assert_eq!(bench.landscape.snapshots(), 0, "{call} {fault:?}: a snapshot is left");
            let cluster = bench.ctx.store.cluster(bench.landscape.cluster());
            assert!(cluster.backups().await.unwrap().is_empty());
            bench.landscape.heal();
            bench.backup().await;
        }
    }
}

#[tokio::test]
async fn lost_answers_do_not_fail_a_backup() {
    let calls = [
        "server.begin_backup",
        "cloud.create_snapshot",
        "cloud.snapshot",
        "server.end_backup",
        "cloud.tag_snapshot",
    ];
    for call in calls {
        let bench = Workbench::new();
        bench.landscape.commit(5).await;
        bench.landscape.inject(Rule::once(call, Fault::LoseAnswer));
        bench.backup().await;
        assert_eq!(bench.landscape.snapshots(), 1, "{call}");
        assert!(!bench.landscape.in_backup_mode(), "{call}");
    }
}

/// The agent's own lease ends backup mode: the cluster's lease is not held for a second round of tries.
#[tokio::test]
async fn an_agent_that_is_gone_is_waited_for_once() {
    struct GoneAtEnd<'a>(&'a MemoryLandscape, Mutex<Vec<(ProgressKind, Instant)>>);
    impl Progress for GoneAtEnd<'_> {
        fn event(&self, event: &ProgressEvent) {
            if (event.kind, event.step.as_str()) == (ProgressKind::Begun, "end") {
                self.0.silence_vm(0);
            }
            self.1.lock().unwrap().push((event.kind, Instant::now()));
        }
    }
    let limit = Duration::from_secs(3);
    let mut bench = Workbench::new();
    bench.retry_within(limit);
    bench.landscape.commit(5).await;
    let request = BackupRequest::of(bench.landscape.deployment().clone());
    let progress = GoneAtEnd(&bench.landscape, Mutex::default());
    assert!(run_backup(&bench.ctx, &request, &progress).await.is_err());
    let events = progress.1.into_inner().unwrap();
    let failed = events.iter().position(|(kind, _)| *kind == ProgressKind::Failed).unwrap();
    let lasted = events[failed + 1].1 - events[failed].1;
    assert!(lasted < limit / 2, "the abort was tried again, for {lasted:?}");
    assert_eq!(bench.landscape.snapshots(), 0);
}

#[tokio::test]
async fn a_driver_killed_mid_backup_leaves_nothing() {
    let mut bench = Workbench::new();
    bench.landscape.commit(5).await;
    // The snapshot never becomes captured for this driver: it is killed while it waits.
    bench.landscape.inject(Rule::once("cloud.snapshot", Fault::LoseRequest).times(u32::MAX));
    bench.retry_within(Duration::from_secs(600));
    bench.ctx.timeouts.agent_lease = Duration::from_secs(1);
    let killed = tokio::time::timeout(Duration::from_millis(200), bench.try_backup()).await;
    assert!(killed.is_err() && bench.landscape.in_backup_mode());
    assert_eq!(bench.landscape.snapshots(), 1);
    bench.landscape.heal();
    while bench.landscape.in_backup_mode() {
        tokio::time::sleep(Duration::from_millis(10)).await; // It ends by itself, after a second.
    }
    bench.lease_ends();
    bench.backup().await;
    assert_eq!(bench.landscape.snapshots(), 1, "the dead driver's snapshot is gone, the new one's is there");
}

#[tokio::test]
async fn backup_mode_is_renewed_while_a_snapshot_takes_long() {
    let mut bench = Workbench::new();
    bench.landscape.commit(5).await;
    bench.ctx.timeouts.agent_lease = Duration::from_secs(1);
    let slow = Duration::from_millis(1100);
    bench.ctx.timeouts.poll = Pace { first: slow, longest: slow };
    bench.backup().await;
}

#[tokio::test]
async fn two_backups_at_once_end_as_one() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    let (first, second) = tokio::join!(bench.try_backup(), bench.try_backup());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(bench.landscape.snapshots(), 1);
}

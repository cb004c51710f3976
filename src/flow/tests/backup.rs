//! Backups: good ones, failed ones, and what dead drivers leave.

mod support;

use std::time::Duration;

use remount_core::{ExitCode, Role};
use remount_flow::{BackupRequest, BackupSource, Quiet, run_backup};
use remount_host::Pace;
use remount_sim::memory::{Fault, Rule};

use support::Workbench;

#[tokio::test]
async fn a_backup_has_its_manifest_and_leaves_backup_mode() {
    let stage = Workbench::new();
    stage.world.commit(5).await;
    let manifest = stage.backup().await;
    let cluster = stage.ctx.store.cluster(stage.world.cluster());
    assert_eq!(cluster.backup(&manifest.id).await.unwrap(), Some(manifest.clone()));
    assert!(manifest.snapshot.complete && manifest.stop_lsn > manifest.start_lsn);
    assert!(!stage.world.in_backup_mode());
    assert!(cluster.lease_holder().await.unwrap().is_none());
}

#[tokio::test]
async fn a_standby_is_backed_up_with_the_primarys_help() {
    let stage = Workbench::new();
    let wanted = {
        stage.world.commit(5).await;
        stage.world.rows(0).unwrap()
    };
    let request = BackupRequest {
        source: BackupSource::Standby,
        ..BackupRequest::of(stage.world.deployment().clone())
    };
    let manifest = run_backup(&stage.ctx, &request, &Quiet).await.unwrap();
    assert_eq!(manifest.source_role, Role::Standby);
    stage.restore(remount_core::RecoveryTarget::Backup(manifest.id)).await.unwrap();
    stage.assert_restored(&wanted).await;
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
    ];
    for (call, times) in calls {
        for fault in [Fault::Refuse, Fault::LoseRequest] {
            let mut stage = Workbench::new();
            stage.retry_within(Duration::from_millis(250));
            stage.world.commit(5).await;
            stage.world.inject(Rule::once(call, fault).times(times));
            let error = stage.try_backup().await.unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unchanged, "{call} {fault:?}");
            assert!(!stage.world.in_backup_mode(), "{call} {fault:?}: backup mode");
            assert_eq!(stage.world.snapshots(), 0, "{call} {fault:?}: a snapshot is left");
            let cluster = stage.ctx.store.cluster(stage.world.cluster());
            assert!(cluster.backups().await.unwrap().is_empty());
            stage.world.heal();
            stage.backup().await;
        }
    }
}

#[tokio::test]
async fn lost_answers_do_not_fail_a_backup() {
    let calls = ["server.begin_backup", "cloud.create_snapshot", "cloud.snapshot", "server.end_backup"];
    for call in calls {
        let stage = Workbench::new();
        stage.world.commit(5).await;
        stage.world.inject(Rule::once(call, Fault::LoseAnswer));
        stage.backup().await;
        assert_eq!(stage.world.snapshots(), 1, "{call}");
        assert!(!stage.world.in_backup_mode(), "{call}");
    }
}

#[tokio::test]
async fn a_driver_killed_mid_backup_leaves_nothing() {
    let mut stage = Workbench::new();
    stage.world.commit(5).await;
    // The snapshot never becomes captured for this driver: it is killed while it waits.
    stage.world.inject(Rule::once("cloud.snapshot", Fault::LoseRequest).times(u32::MAX));
    stage.retry_within(Duration::from_secs(600));
    stage.ctx.timeouts.agent_lease = Duration::from_secs(1);
    let killed = tokio::time::timeout(Duration::from_millis(200), stage.try_backup()).await;
    assert!(killed.is_err() && stage.world.in_backup_mode());
    assert_eq!(stage.world.snapshots(), 1);
    stage.world.heal();
    while stage.world.in_backup_mode() {
        tokio::time::sleep(Duration::from_millis(10)).await; // It ends by itself, after a second.
    }
    stage.lease_ends();
    stage.backup().await;
    assert_eq!(stage.world.snapshots(), 1, "the dead driver's snapshot is gone, the new one's is there");
}

#[tokio::test]
async fn backup_mode_is_renewed_while_a_snapshot_takes_long() {
    let mut stage = Workbench::new();
    stage.world.commit(5).await;
    stage.ctx.timeouts.agent_lease = Duration::from_secs(1);
    let slow = Duration::from_millis(1100);
    stage.ctx.timeouts.poll = Pace { first: slow, longest: slow };
    stage.backup().await;
}

#[tokio::test]
async fn two_backups_at_once_end_as_one() {
    let stage = Workbench::new();
    stage.world.commit(5).await;
    let (first, second) = tokio::join!(stage.try_backup(), stage.try_backup());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(stage.world.snapshots(), 1);
}

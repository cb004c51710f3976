//! Restores of clusters in every state, to every kind of target.

mod support;

use std::collections::BTreeSet;

use remount_core::documents::OnFailure;
use remount_core::{DiskCid, ExitCode, RecoveryTarget};
use remount_flow::{FlowError, ProgressKind, plan_restore, run_restore};
use remount_sim::memory::{Fault, Rule};

use support::{Heard, Workbench};

const ALL_STEPS: [&str; 13] = [
    "plan",
    "preflight",
    "begin",
    "create_disks",
    "last_wal",
    "publish",
    "swap_standbys",
    "stop_primary",
    "swap_primary",
    "recover",
    "verify",
    "rejoin",
    "finish",
];

#[tokio::test]
async fn a_running_cluster_goes_back_to_the_instant_before_the_disaster() {
    let stage = Workbench::new();
    let (wanted, target) = stage.disaster().await;
    let heard = Heard::default();
    let report = run_restore(&stage.ctx, stage.request(target), OnFailure::Rollback, &heard).await.unwrap();
    stage.assert_restored(&wanted).await;
    let names: Vec<&str> = report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ALL_STEPS);
    assert_eq!(heard.steps(ProgressKind::Done), ALL_STEPS);
    assert!(report.backup.is_some() && report.warnings.is_empty(), "{:?}", report.warnings);
    let split = report.downtime;
    let sum = split.director_seconds + split.postgres_seconds + split.remount_seconds;
    assert!(report.downtime_seconds > 0.0 && (sum - report.downtime_seconds).abs() < 1e-6, "{split:?}");
}

#[tokio::test]
async fn the_old_disks_stay_as_orphans_and_only_the_new_ones_are_attached() {
    let stage = Workbench::new();
    let (_, target) = stage.disaster().await;
    let before: Vec<Option<DiskCid>> = (0..2).map(|index| stage.world.disks_of(index).0).collect();
    let report = stage.restore(target).await.unwrap();
    let orphans = stage.ctx.director.orphaned_disks().await.unwrap();
    let orphans: BTreeSet<DiskCid> = orphans.into_iter().map(|orphan| orphan.disk_cid).collect();
    let old: BTreeSet<DiskCid> = before.into_iter().flatten().collect();
    assert_eq!(orphans, old);
    assert_eq!(report.old_disks.into_iter().map(|(_, disk)| disk).collect::<BTreeSet<_>>(), old);
    assert_eq!(stage.world.disks().len(), 4);
}

#[tokio::test]
async fn latest_loses_nothing_that_was_committed_before_the_stop() {
    let stage = Workbench::new();
    stage.disaster().await;
    let wanted = stage.world.rows(0).unwrap();
    stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_transaction_is_the_last_one_that_is_there() {
    let stage = Workbench::new();
    let (wanted, _) = stage.disaster().await;
    let last = *wanted.last().unwrap();
    stage.restore(RecoveryTarget::Xid(last)).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_backup_id_restores_to_its_end() {
    let stage = Workbench::new();
    stage.world.commit(5).await;
    let wanted = stage.world.rows(0).unwrap();
    let backup = stage.backup().await;
    stage.world.commit(5).await;
    stage.restore(RecoveryTarget::Backup(backup.id)).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_stopped_cluster_is_restored_and_runs_afterwards() {
    let stage = Workbench::new();
    stage.disaster().await;
    let wanted = stage.world.rows(0).unwrap();
    stage.world.stop_all().await;
    stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_primary_whose_agent_is_silent_gets_a_new_vm() {
    let stage = Workbench::new();
    stage.disaster().await;
    // Its disk is there: the new VM starts on it, and the stop that follows archives all that was committed.
    let wanted = stage.world.rows(0).unwrap();
    stage.world.lose_vm(0);
    let report = stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&wanted).await;
    assert!(report.warnings.iter().any(|line| line.contains("does not serve")), "{:?}", report.warnings);
}

#[tokio::test]
async fn a_primary_without_a_vm_gets_one() {
    let stage = Workbench::new();
    stage.disaster().await;
    let wanted = archived_rows(&stage);
    stage.world.forget_vm(0);
    stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_whole_cluster_without_vms_is_restored() {
    let stage = Workbench::with_standbys(2);
    stage.disaster().await;
    let wanted = archived_rows(&stage);
    (0..3).for_each(|index| stage.world.forget_vm(index));
    stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_single_server_is_restored() {
    let stage = Workbench::with_standbys(0);
    let (wanted, target) = stage.disaster().await;
    stage.restore(target).await.unwrap();
    stage.assert_restored(&wanted).await;
}

/// In this world only closed segments are archived: the backup closed the last one.
fn archived_rows(stage: &Workbench) -> BTreeSet<u64> {
    stage.world.rows(0).expect("the primary runs").into_iter().take(5).collect()
}

#[tokio::test]
async fn a_restored_cluster_is_restored_again_and_to_before_the_first_restore() {
    let stage = Workbench::new();
    let (first, first_target) = stage.disaster().await;
    stage.restore(first_target.clone()).await.unwrap();
    stage.world.commit(5).await;
    let second = stage.world.rows(0).unwrap();
    stage.restore(RecoveryTarget::Latest).await.unwrap();
    stage.assert_restored(&second).await;
    assert_eq!(stage.world.timeline(0).unwrap().get(), 3);
    stage.restore(first_target).await.unwrap();
    stage.assert_restored(&first).await;
    assert_eq!(stage.world.timeline(0).unwrap().get(), 4);
}

#[tokio::test]
async fn a_dry_run_touches_nothing() {
    let stage = Workbench::new();
    let (_, target) = stage.disaster().await;
    let (old, objects) = (stage.old_state(), stage.object_names().await);
    let (plan, report) = plan_restore(&stage.ctx, &stage.request(target)).await.unwrap();
    assert_eq!(plan.instances.len(), 2);
    assert!(report.estimate_seconds > 0.0 && !report.checks.is_empty());
    stage.assert_undone(&old).await;
    assert_eq!(stage.object_names().await, objects);
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused_and_nothing_was_touched() {
    let stage = Workbench::new();
    stage.world.commit(5).await;
    let before_all = stage.world.now();
    stage.world.advance(10);
    stage.disaster().await;
    let (old, objects) = (stage.old_state(), stage.object_names().await);
    let late = stage.world.now() + jiff::SignedDuration::from_hours(1);
    for target in [RecoveryTarget::Time(before_all), RecoveryTarget::Time(late)] {
        let error = stage.restore(target).await.unwrap_err();
        assert!(matches!(error, FlowError::Refused { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unchanged);
    }
    stage.assert_undone(&old).await;
    assert_eq!(stage.object_names().await, objects);
}

#[tokio::test]
async fn a_gap_in_the_archive_is_refused_with_its_segment() {
    let stage = Workbench::new();
    stage.world.commit(5).await;
    stage.backup().await;
    stage.world.commit(5000).await;
    stage.world.stop_all().await;
    let segments: Vec<String> =
        stage.object_names().await.into_iter().filter(|n| n.contains("/wal/")).collect();
    assert!(segments.len() > 3, "{segments:?}");
    stage.ctx.store.objects().delete(&segments[segments.len() - 2]).await.unwrap();
    let old = stage.old_state();
    let error = stage.restore(RecoveryTarget::Latest).await.unwrap_err();
    assert!(error.to_string().contains("gap"), "{error}");
    stage.assert_undone(&old).await;
}

#[tokio::test]
async fn preflight_finds_all_problems_not_only_the_first() {
    let mut stage = Workbench::new();
    let (_, target) = stage.disaster().await;
    stage.ctx.own_deployment = Some(stage.world.deployment().clone());
    stage.world.inject(Rule::once("cloud.check_create_disk", Fault::Refuse).times(2));
    let error = stage.restore(target).await.unwrap_err();
    let FlowError::Refused { problems, .. } = error else { panic!("{error}") };
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[tokio::test]
async fn a_restore_waits_for_nobody_elses_lease() {
    let stage = Workbench::new();
    let (_, target) = stage.disaster().await;
    let old = stage.old_state();
    let cluster = stage.ctx.store.cluster(stage.world.cluster());
    let term = stage.ctx.timeouts.lease_term;
    let lease = cluster.take_lease("other", remount_store::Purpose::Restore, term).await.unwrap();
    let error = stage.restore(target.clone()).await.unwrap_err();
    assert!(
        matches!(&error, FlowError::Store { source: remount_store::Error::Leased { owner, .. }, .. } if owner == "other"),
        "{error}"
    );
    lease.release().await.unwrap();
    stage.assert_undone(&old).await;
    stage.restore(target).await.unwrap();
}

#[tokio::test]
async fn two_restores_at_once_end_as_one() {
    let stage = Workbench::new();
    let (wanted, target) = stage.disaster().await;
    let (first, second) = tokio::join!(stage.restore(target.clone()), stage.restore(target));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    stage.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_cancelled_restore_is_undone() {
    let stage = Workbench::new();
    let (_, target) = stage.disaster().await;
    let old = stage.old_state();
    stage.ctx.cancellation.cancel();
    let error = stage.restore(target).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone);
    stage.assert_undone(&old).await;
}

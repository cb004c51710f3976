//! Restores of clusters in every state, to every kind of target.

use std::collections::BTreeSet;

use remount_core::documents::OnFailure;
use remount_core::{DiskCid, ExitCode, RecoveryTarget};
use remount_flow::{FlowError, ProgressKind, RestoreStep, plan_restore, read_settings, run_restore};
use remount_postgres::{SettingOverride, Severity};
use remount_saga::StepName;
use remount_sim::memory::{Fault, Rule};

use crate::support::{Heard, Workbench, is_segment};

fn all_steps() -> Vec<&'static str> {
    ["plan", "preflight"].into_iter().chain(RestoreStep::ALL.map(StepName::as_str)).collect()
}

#[tokio::test]
async fn a_running_cluster_goes_back_to_the_instant_before_the_disaster() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let heard = Heard::default();
    let report = run_restore(&bench.ctx, bench.request(target), OnFailure::Rollback, &heard).await.unwrap();
    bench.assert_restored(&wanted).await;
    let names: Vec<&str> = report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, all_steps());
    assert_eq!(heard.steps(ProgressKind::Done), all_steps());
    assert!(report.backup.is_some() && report.warnings.is_empty(), "{:?}", report.warnings);
    let split = report.downtime;
    let sum = split.director_seconds + split.postgres_seconds + split.remount_seconds;
    assert!(report.downtime_seconds > 0.0 && (sum - report.downtime_seconds).abs() < 1e-6, "{split:?}");
}

#[tokio::test]
async fn the_old_disks_stay_as_orphans_and_only_the_new_ones_are_attached() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let before: Vec<Option<DiskCid>> = (0..2).map(|index| bench.landscape.disks_of(index).0).collect();
    let report = bench.restore(target).await.unwrap();
    let orphans = bench.ctx.director.orphaned_disks().await.unwrap();
    let orphans: BTreeSet<DiskCid> = orphans.into_iter().map(|orphan| orphan.disk_cid).collect();
    let old: BTreeSet<DiskCid> = before.into_iter().flatten().collect();
    assert_eq!(orphans, old);
    assert_eq!(report.old_disks.into_iter().map(|(_, disk)| disk).collect::<BTreeSet<_>>(), old);
    assert_eq!(bench.landscape.disks().len(), 4);
}

#[tokio::test]
async fn latest_loses_nothing_that_was_committed_before_the_stop() {
    let bench = Workbench::new();
    bench.disaster().await;
    let wanted = bench.landscape.rows(0).unwrap();
    bench.restore(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_transaction_is_the_last_one_that_is_there() {
    let bench = Workbench::new();
    let (wanted, _) = bench.disaster().await;
    let last = *wanted.last().unwrap();
    bench.restore(RecoveryTarget::Xid(last)).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_backup_id_restores_to_its_end() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    let wanted = bench.landscape.rows(0).unwrap();
    let backup = bench.backup().await;
    bench.landscape.commit(5).await;
    bench.restore(RecoveryTarget::Backup(backup.id)).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_stopped_cluster_is_restored_and_runs_afterwards() {
    let bench = Workbench::new();
    bench.disaster().await;
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.stop_all().await;
    bench.restore(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_primary_whose_agent_is_silent_gets_a_new_vm() {
    let bench = Workbench::new();
    bench.disaster().await;
    // Its disk is there: the new VM starts on it, and the stop that follows archives all that was committed.
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.lose_vm(0);
    let report = bench.restore(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&wanted).await;
    assert!(report.warnings.iter().any(|line| line.contains("does not serve")), "{:?}", report.warnings);
}

#[tokio::test]
async fn a_primary_without_a_vm_gets_one() {
    let bench = Workbench::new();
    bench.disaster().await;
    // Its standby has streamed it all.
    let wanted = bench.landscape.rows(1).unwrap();
    bench.landscape.forget_vm(0);
    bench.restore_accepting_loss(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_whole_cluster_without_vms_is_restored() {
    let bench = Workbench::with_standbys(2);
    bench.disaster().await;
    let wanted = archived_rows(&bench);
    (0..3).for_each(|index| bench.landscape.forget_vm(index));
    bench.restore_accepting_loss(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_single_server_is_restored() {
    let bench = Workbench::with_standbys(0);
    let (wanted, target) = bench.disaster().await;
    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
}

/// In this landscape only closed segments are archived: the backup closed the last one.
fn archived_rows(bench: &Workbench) -> BTreeSet<u64> {
    bench.landscape.rows(0).expect("the primary runs").into_iter().take(5).collect()
}

#[tokio::test]
async fn a_restored_cluster_is_restored_again_and_to_before_the_first_restore() {
    let bench = Workbench::new();
    let (first, first_target) = bench.disaster().await;
    bench.restore(first_target.clone()).await.unwrap();
    bench.landscape.commit(5).await;
    let second = bench.landscape.rows(0).unwrap();
    bench.restore(RecoveryTarget::Latest).await.unwrap();
    bench.assert_restored(&second).await;
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 3);
    bench.restore(first_target).await.unwrap();
    bench.assert_restored(&first).await;
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 4);
}

#[tokio::test]
async fn a_dry_run_touches_nothing() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let (old, objects) = (bench.old_state(), bench.object_names().await);
    let (plan, report) = plan_restore(&bench.ctx, &bench.request(target)).await.unwrap();
    assert_eq!(plan.instances.len(), 2);
    assert!(report.estimate_seconds > 0.0 && !report.checks.is_empty());
    bench.assert_undone(&old).await;
    assert_eq!(bench.object_names().await, objects);
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused_and_nothing_was_touched() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    let before_all = bench.landscape.now();
    bench.landscape.advance(10);
    bench.disaster().await;
    let (old, objects) = (bench.old_state(), bench.object_names().await);
    let late = bench.landscape.now() + jiff::SignedDuration::from_hours(1);
    for target in [RecoveryTarget::Time(before_all), RecoveryTarget::Time(late)] {
        let error = bench.restore(target).await.unwrap_err();
        assert!(matches!(error, FlowError::Refused { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unchanged);
    }
    bench.assert_undone(&old).await;
    assert_eq!(bench.object_names().await, objects);
}

#[tokio::test]
async fn a_gap_in_the_archive_is_refused_with_its_segment() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    bench.backup().await;
    bench.landscape.commit(5000).await;
    bench.landscape.stop_all().await;
    let segments: Vec<String> =
        bench.object_names().await.into_iter().filter(|name| is_segment(name)).collect();
    assert!(segments.len() > 3, "{segments:?}");
    bench.ctx.store.objects().delete(&segments[segments.len() - 2]).await.unwrap();
    let old = bench.old_state();
    let error = bench.restore(RecoveryTarget::Latest).await.unwrap_err();
    assert!(error.to_string().contains("gap"), "{error}");
    bench.assert_undone(&old).await;
}

/// Recovery would stop after the primary was stopped.
#[tokio::test]
async fn a_setting_that_was_lowered_since_is_a_problem_on_every_instance() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    bench.landscape.set_setting(0, "max_connections", "50");
    bench.landscape.set_setting(1, "max_connections", "20");
    let FlowError::Refused { problems, .. } = bench.restore(target).await.unwrap_err() else {
        panic!("not refused")
    };
    let told: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|line| line.contains("max_connections") && line.contains("demands 100")),
        "{told:?}"
    );
    bench.assert_undone(&old).await;
}

/// The primary has raised it since the backup: its WAL says so, and this standby would stop there.
#[tokio::test]
async fn a_setting_that_the_wal_since_the_backup_demands_is_a_problem() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.landscape.set_setting(0, "max_prepared_transactions", "10");
    let FlowError::Refused { problems, .. } = bench.restore(target).await.unwrap_err() else {
        panic!("not refused")
    };
    let [only] = &problems[..] else { panic!("{problems:?}") };
    assert!(only.what.contains("00000001-") && only.what.contains("demands 10"), "{only:?}");
}

#[tokio::test]
async fn an_archive_command_that_somebody_has_overridden_is_told_and_stops_a_restore_to_latest() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let found = SettingOverride {
        name: "archive_command".into(),
        effective: "/bin/true".into(),
        configured: Some("remount-wal push".into()),
        severity: Severity::Breaks,
    };
    bench.landscape.override_setting(0, found.clone());
    let (landscape, ctx) = (&bench.landscape, &bench.ctx);
    let read = read_settings(&*ctx.director, &*ctx.servers, landscape.deployment(), landscape.cluster());
    let report = read.await.unwrap();
    assert_eq!((report.answered, report.silent.len()), (2, 0), "{report:?}");
    assert_eq!(report.breaking().collect::<Vec<_>>(), [&(landscape.slug(0), found)]);
    let refused = bench.restore(RecoveryTarget::Latest).await.unwrap_err();
    let FlowError::Refused { problems, .. } = refused else { panic!("{refused}") };
    assert!(
        problems.iter().any(|problem| problem.what.contains("archive_command is `/bin/true`")),
        "{problems:?}"
    );
    let report = bench.restore(target).await.unwrap();
    assert!(
        report.warnings.iter().any(|line| line.contains("archive_command is `/bin/true`")),
        "{:?}",
        report.warnings
    );
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn preflight_finds_all_problems_not_only_the_first() {
    let mut bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.ctx.own_deployment = Some(bench.landscape.deployment().clone());
    bench.landscape.inject(Rule::once("cloud.check_create_disk", Fault::Refuse).times(2));
    let error = bench.restore(target).await.unwrap_err();
    let FlowError::Refused { problems, .. } = error else { panic!("{error}") };
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[tokio::test]
async fn a_restore_waits_for_nobody_elses_lease() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    let cluster = bench.ctx.store.cluster(bench.landscape.cluster());
    let term = bench.ctx.timeouts.lease_term;
    let lease = cluster.take_lease("other", remount_store::Purpose::Restore, term).await.unwrap();
    let error = bench.restore(target.clone()).await.unwrap_err();
    assert!(
        matches!(&error, FlowError::Store { source: remount_store::Error::Leased { owner, .. }, .. } if owner == "other"),
        "{error}"
    );
    lease.release().await.unwrap();
    bench.assert_undone(&old).await;
    bench.restore(target).await.unwrap();
}

#[tokio::test]
async fn two_restores_at_once_end_as_one() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let (first, second) = tokio::join!(bench.restore(target.clone()), bench.restore(target));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_cancelled_restore_is_undone() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    bench.ctx.cancellation.cancel();
    let error = bench.restore(target).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone);
    bench.assert_undone(&old).await;
}

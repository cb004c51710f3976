//! Restores of clusters in every state, to every kind of target.

mod stage;

use remount_core::{ExitCode, RecoveryTarget};
use remount_flow::{FlowError, StepEventKind, plan_restore, run_restore};
use remount_store::OnFailure;

use stage::{Heard, Stage};

#[tokio::test]
async fn a_running_cluster_goes_back_to_the_instant_before_the_disaster() {
    let stage = Stage::new();
    let (wanted, target) = stage.disaster().await;
    let heard = Heard::default();
    let report = run_restore(&stage.ctx, stage.request(target), OnFailure::Rollback, &heard).await.unwrap();
    stage.assert_restored(&wanted).await;
    let names: Vec<&str> = report.steps.iter().map(|step| step.name.as_str()).collect();
    let all = [
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
    assert_eq!(names, all);
    assert_eq!(heard.steps(StepEventKind::Done), all);
    assert!(report.backup.is_some() && report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(report.downtime_seconds > 0.0);
    let split = report.downtime;
    let sum = split.director_seconds + split.postgres_seconds + split.remount_seconds;
    assert!((sum - report.downtime_seconds).abs() < 1e-6, "{split:?}");
    assert_eq!(report.old_disks.len(), 2);
}

//! Every step fails; every undo runs twice; the driver dies after every write of the journal. The landscape ends
//! restored and verified, or as it was, with nothing left over.

use remount_core::ExitCode;
use remount_core::documents::{OnFailure, RestoreRequest};
use remount_flow::{
    FlowError, Quiet, RestorePhase, RestoreState, RestoreStep, resume_restore, rollback_restore, run_restore,
};
use remount_sim::memory::{Fault, Rule};

use crate::support::Workbench;
use remount_sim::memory::Death;

/// A death before and one after the n-th write of the journal.
fn deaths(n: u64) -> [Death; 2] {
    [Death::BeforeWrite(n), Death::AfterWrite(n)]
}

/// A call that fails for good during each of the steps, after so many that succeed.
fn failures(bench: &Workbench) -> Vec<(&'static str, Rule)> {
    let (primary, standby) = (bench.landscape.slug(0), bench.landscape.slug(1));
    vec![
        ("create_disks, first", Rule::once("cloud.create_disk", Fault::Refuse).about("z1")),
        ("create_disks, second", Rule::once("cloud.create_disk", Fault::Refuse).about("z2")),
        ("last_wal", Rule::once("server.switch_wal", Fault::Refuse).times(30)),
        ("swap_standbys, stop", Rule::once("director.stop", Fault::FailTask).about(&standby)),
        ("swap_standbys, stopped", Rule::once("director.stop", Fault::HalfTask).about(&standby)),
        ("swap_standbys, attach", Rule::once("director.attach", Fault::FailTask).about(&standby).times(2)),
        ("swap_standbys, half", Rule::once("director.attach", Fault::HalfTask).about(&standby).times(2)),
        ("stop_primary", Rule::once("director.stop", Fault::FailTask).about(&primary)),
        ("stop_primary, stopped", Rule::once("director.stop", Fault::HalfTask).about(&primary)),
        ("swap_primary", Rule::once("director.attach", Fault::FailTask).about(&primary).times(2)),
        ("swap_primary, half", Rule::once("director.attach", Fault::HalfTask).about(&primary).times(2)),
        ("recover", Rule::once("director.start", Fault::FailTask).about(&primary)),
        ("recover, started", Rule::once("director.start", Fault::HalfTask).about(&primary)),
        ("promote", Rule::once("server.write_probe", Fault::Refuse).about(&primary).after(1)),
    ]
}

#[tokio::test]
async fn each_step_that_fails_is_undone_with_all_before_it() {
    let count = failures(&Workbench::new()).len();
    for number in 0..count {
        let mut bench = Workbench::new();
        let (_, target) = bench.disaster().await;
        bench.retry_within(std::time::Duration::from_millis(50));
        let (name, rule) = failures(&bench).swap_remove(number);
        let old = bench.old_state();
        bench.landscape.inject(rule);
        let error = bench.restore(target).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Undone, "{name}: {error:?}");
        assert!(
            matches!(&error, FlowError::Undone { step, .. } if name.starts_with(step.as_str())),
            "{name}: {error}"
        );
        // After the promotion users may have written, and a server that never answered may have promoted itself: what
        // they wrote is kept.
        match name {
            "promote" | "recover" => bench.assert_undone_after_serving(&old).await,
            _ => bench.assert_undone(&old).await,
        }
    }
}

#[tokio::test]
async fn a_standby_that_does_not_join_never_takes_the_restored_primary_back() {
    for fault in [Fault::FailTask, Fault::HalfTask] {
        let bench = Workbench::new();
        let (wanted, target) = bench.disaster().await;
        bench.landscape.inject(Rule::once("director.start", fault).about(bench.landscape.slug(1)));
        let request = bench.request(target);
        let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
        assert!(matches!(&error, FlowError::Held { step: RestoreStep::Rejoin, .. }), "{error:?}");
        assert_eq!(bench.landscape.rows(0).as_ref(), Some(&wanted), "the primary serves what was restored");
        run_restore(&bench.ctx, request, OnFailure::Rollback, &Quiet).await.unwrap();
        bench.assert_restored(&wanted).await;
    }
}

#[tokio::test]
async fn a_stopped_cluster_is_stopped_again_when_its_restore_is_undone() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.stop_all().await;
    let old = bench.old_state();
    bench.landscape.inject(Rule::once("director.start", Fault::HalfTask));
    let error = bench.restore(remount_core::RecoveryTarget::Latest).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone, "{error:?}");
    bench.assert_undone(&old).await;
}

#[tokio::test]
async fn lost_answers_and_requests_change_nothing() {
    let calls = [
        "cloud.create_disk",
        "cloud.disk",
        "cloud.disks_tagged",
        "director.instances",
        "director.stop",
        "director.attach",
        "director.start",
        "director.task",
        "director.tasks",
        "server.status",
        "server.switch_wal",
        "server.write_probe",
        "server.promote",
        "server.finish_restore",
    ];
    for call in calls {
        for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
            for after in 0..3 {
                let mut bench = Workbench::new();
                let (wanted, target) = bench.disaster().await;
                bench.ctx.timeouts.lost_answer = std::time::Duration::from_millis(250);
                bench.landscape.inject(Rule::once(call, fault).after(after));
                let report = bench.restore(target).await;
                report.unwrap_or_else(|error| panic!("{call} {fault:?} after {after}: {error:?}"));
                bench.assert_restored(&wanted).await;
            }
        }
    }
}

/// Runs a driver until it dies there; `false` where it ended before.
async fn dies(bench: &Workbench, request: &RestoreRequest, death: Death) -> bool {
    bench.crashing.die(death);
    let driver = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet);
    let died = bench.crashing.drive(driver).await.is_none();
    bench.crashing.heal();
    bench.lease_ends();
    died
}

#[tokio::test]
async fn a_driver_that_dies_anywhere_is_followed_by_one_that_ends_the_restore() {
    for death in (1..).flat_map(deaths) {
        let bench = Workbench::new();
        let (wanted, target) = bench.disaster().await;
        let request = bench.request(target);
        if !dies(&bench, &request, death).await {
            bench.assert_restored(&wanted).await;
            assert_eq!(
                death,
                Death::BeforeWrite(27),
                "the list of steps, twelve intents, twelve outcomes, the end"
            );
            break;
        }
        let cluster = bench.landscape.cluster().clone();
        let resumed = resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await;
        let report = resumed.unwrap_or_else(|error| panic!("{death:?}: {error:?}"));
        assert_eq!(report.steps.len(), 12, "{death:?}: all steps are reported, whoever did them");
        assert!(report.backup.is_some() && report.downtime_seconds > 0.0, "{death:?}");
        bench.assert_restored(&wanted).await;
    }
}

#[tokio::test]
async fn a_driver_that_dies_anywhere_can_be_followed_by_a_rollback() {
    for death in (1..).flat_map(deaths) {
        let bench = Workbench::new();
        let (_, target) = bench.disaster().await;
        let old = bench.old_state();
        let request = bench.request(target);
        if !dies(&bench, &request, death).await {
            break;
        }
        let cluster = bench.landscape.cluster().clone();
        rollback_restore(&bench.ctx, &cluster, &request.id, &Quiet).await.unwrap();
        // The 20th write is the intent to promote: from then on users may have written.
        let promoted = match death {
            Death::BeforeWrite(n) => n > 20,
            Death::AfterWrite(n) => n >= 20,
        };
        let store = bench.landscape.cluster_store();
        let phase = RestoreState::read(&store, &request.id).await.unwrap().phase;
        assert!(!promoted || phase == RestorePhase::RolledBack, "{death:?}: {phase:?}");
        if phase == RestorePhase::RolledBack {
            bench.assert_undone_after_serving(&old).await;
        } else {
            bench.assert_undone(&old).await;
        }
    }
}

#[tokio::test]
async fn asking_again_with_the_same_request_goes_on_and_then_answers_the_same() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let request = bench.request(target);
    assert!(dies(&bench, &request, Death::AfterWrite(14)).await);
    let again = || run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet);
    let report = again().await.unwrap();
    bench.assert_restored(&wanted).await;
    let disks = bench.landscape.disks();
    let same = again().await.unwrap();
    assert_eq!((same.steps, same.backup), (report.steps, report.backup));
    assert_eq!(bench.landscape.disks(), disks);
}

#[tokio::test]
async fn a_driver_that_dies_on_the_way_back_is_followed_to_the_old_state() {
    // 20 writes lead to the intent of the step that fails; its failure and ten undone steps follow.
    for death in (21..).flat_map(deaths) {
        let mut bench = Workbench::new();
        let (_, target) = bench.disaster().await;
        bench.retry_within(std::time::Duration::from_millis(50));
        let old = bench.old_state();
        let request = bench.request(target);
        bench
            .landscape
            .inject(Rule::once("server.write_probe", Fault::Refuse).about(bench.landscape.slug(0)).after(1));
        if !dies(&bench, &request, death).await {
            assert_eq!(death, Death::BeforeWrite(43));
            bench.assert_undone_after_serving(&old).await;
            break;
        }
        let cluster = bench.landscape.cluster().clone();
        let back = rollback_restore(&bench.ctx, &cluster, &request.id, &Quiet).await;
        back.unwrap_or_else(|error| panic!("{death:?}: {error:?}"));
        // The check failed after recovery had ended: what users have written meanwhile is kept.
        bench.assert_undone_after_serving(&old).await;
    }
}

#[tokio::test]
async fn an_undo_that_fails_in_passing_is_tried_again() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    let primary = bench.landscape.slug(0);
    bench.landscape.inject(Rule::once("director.start", Fault::HalfTask).about(&primary));
    bench.landscape.inject(Rule::once("director.stop", Fault::FailTask).about(&primary).after(1));
    let error = bench.restore(target).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone, "{error:?}");
    bench.assert_undone(&old).await;
}

#[tokio::test]
async fn an_undo_that_keeps_failing_is_stuck_with_the_commands_to_finish_by_hand() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    let (primary, request) = (bench.landscape.slug(0), bench.request(target));
    bench.landscape.inject(Rule::once("director.start", Fault::HalfTask).about(&primary));
    bench.landscape.inject(Rule::once("director.stop", Fault::FailTask).about(&primary).after(1).times(9));
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Stuck);
    let FlowError::Stuck { commands, .. } = &error else { panic!("{error:?}") };
    let text = commands.join("\n");
    let old_disk = old.disks[0].0.clone().unwrap();
    assert!(text.contains(&format!("attach-disk {primary} {old_disk}")), "{text}");
    let new_disk = bench.landscape.disks_of(0).1.unwrap();
    for fact in [
        format!("{primary} (primary): "),
        format!("disk {old_disk} (old disk, as before the restore), attached to no VM"),
        format!("disk {new_disk} (new disk, from snapshot "),
    ] {
        assert!(text.contains(&fact), "`{fact}` is not in\n{text}");
    }
    // Once what was in the way is gone, the rollback can be tried again.
    bench.landscape.heal();
    let cluster = bench.landscape.cluster().clone();
    rollback_restore(&bench.ctx, &cluster, &request.id, &Quiet).await.unwrap();
    bench.assert_undone(&old).await;
}

#[tokio::test]
async fn a_held_restore_stays_as_it_is_until_a_person_says_where_to_go() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let request = bench.request(target);
    bench.landscape.inject(Rule::once("director.start", Fault::FailTask).about(bench.landscape.slug(0)));
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Hold, &Quiet).await.unwrap_err();
    assert!(matches!(&error, FlowError::Held { step: RestoreStep::Recover, .. }), "{error:?}");
    assert_eq!(error.exit_code(), ExitCode::Stuck);
    assert!(bench.landscape.rows(0).is_none(), "nothing was put back");
    assert!(bench.try_backup().await.is_err(), "a backup waits until it is decided");
    let cluster = bench.landscape.cluster().clone();
    resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn after_a_restore_that_was_undone_late_the_next_one_takes_another_timeline() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.landscape.inject(Rule::once("director.start", Fault::FailTask).about(bench.landscape.slug(1)));
    let request = bench.request(target.clone());
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert!(matches!(&error, FlowError::Held { step: RestoreStep::Rejoin, .. }), "{error:?}");
    let cluster = bench.landscape.cluster().clone();
    rollback_restore(&bench.ctx, &cluster, &request.id, &Quiet).await.unwrap();
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 1);
    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 3);
}

#[tokio::test]
async fn a_lock_that_another_task_holds_for_a_while_is_waited_for() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.landscape.inject(Rule::once("director.stop", Fault::Locked).times(3));
    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_driver_that_lost_its_lease_stops_and_undoes_nothing() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let request = bench.request(target);
    let cluster = bench.landscape.cluster().clone();
    bench.landscape.slow_tasks(1);
    let late = async {
        // While the first driver waits for a stop, its lease ends and another process takes over.
        while !bench.landscape.is_stopped(1) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bench.lease_ends();
        bench.landscape.slow_tasks(0);
        resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await
    };
    let first = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet);
    let (first, second) = tokio::join!(first, late);
    assert!(matches!(first, Err(FlowError::TakenOver { .. })), "{first:?}");
    second.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_restored_cluster_is_never_taken_back_because_tidying_up_failed() {
    let mut bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.retry_within(std::time::Duration::from_millis(50));
    let request = bench.request(target);
    bench.landscape.inject(Rule::once("server.finish_restore", Fault::Refuse));
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert!(matches!(&error, FlowError::Held { step: RestoreStep::Finish, .. }), "{error:?}");
    assert_eq!(bench.landscape.rows(0).as_ref(), Some(&wanted));
    run_restore(&bench.ctx, request, OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_backup_that_fails_after_a_restore_is_a_warning() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.landscape.inject(Rule::once("cloud.create_snapshot", Fault::Refuse));
    let report = bench.restore(target).await.unwrap();
    assert!(report.backup.is_none());
    assert!(report.warnings.iter().any(|line| line.contains("remount backup")), "{:?}", report.warnings);
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn flows_can_be_spawned() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let (ctx, request) = (bench.ctx.clone(), bench.request(target));
    let run = async move { run_restore(&ctx, request, OnFailure::Rollback, &Quiet).await };
    tokio::spawn(run).await.unwrap().unwrap();
    bench.assert_restored(&wanted).await;
}

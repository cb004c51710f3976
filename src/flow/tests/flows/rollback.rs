//! A person changes their mind: back after a success, stop in the middle, stop by a signal.

use std::sync::Mutex;

use remount_core::documents::{JournalEvent, OnFailure, RestoreRequest, What};
use remount_core::{ExitCode, OperatorError as _, RecoveryTarget};
use remount_flow::{
    AbortPoint, FlowError, Progress, ProgressEvent, ProgressKind, Quiet, RestoreStep, abort_restore,
    plan_restore, resume_restore, rollback_restore, run_restore,
};
use remount_sim::memory::{Fault, Rule};

use crate::support::Workbench;

/// Takes a restore back.
async fn back(bench: &Workbench, request: &RestoreRequest) -> Result<(), FlowError> {
    rollback_restore(&bench.ctx, &bench.landscape.cluster().clone(), &request.id, &Quiet).await
}

#[tokio::test]
async fn a_restore_to_the_wrong_instant_is_taken_back_and_done_again() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let old = bench.old_state();
    let wrong = bench.request(target.clone());
    run_restore(&bench.ctx, wrong.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
    bench.landscape.commit(3).await;

    back(&bench, &wrong).await.unwrap();
    bench.assert_undone_after_serving(&old).await;
    back(&bench, &wrong).await.expect("a second time there is nothing left to do");
    bench.assert_undone_after_serving(&old).await;

    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 3, "timeline 2 was used and left");
}

#[tokio::test]
async fn without_its_old_disks_a_restore_stays_and_nothing_is_touched() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let old = bench.old_state();
    let request = bench.request(target);
    run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    let gone = old.disks[1].0.clone().unwrap();
    bench.ctx.cloud.delete_disk(&gone).await.unwrap();
    let error = back(&bench, &request).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unchanged, "{error:?}");
    assert!(error.to_string().contains(&format!("old disk {gone}")), "{error}");
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_restore_that_another_one_stands_on_is_not_taken_back_first() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let first = bench.request(target.clone());
    run_restore(&bench.ctx, first.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    bench.landscape.advance(5);
    let second = bench.request(target);
    run_restore(&bench.ctx, second.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    let error = back(&bench, &first).await.unwrap_err();
    assert!(matches!(error, FlowError::Refused { .. }), "{error:?}");
    bench.assert_restored(&wanted).await;
    back(&bench, &second).await.unwrap();
    back(&bench, &first).await.expect("the last one first, then the one before it");
    assert_eq!(bench.landscape.timeline(0).unwrap().get(), 1);
}

/// Does something at the begin of a step.
struct At<F: Fn() + Send + Sync>(&'static str, F);

impl<F: Fn() + Send + Sync> Progress for At<F> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::Begun && event.step == self.0 {
            (self.1)();
        }
    }
}

#[tokio::test]
async fn a_driver_that_is_asked_to_stop_leaves_the_rest_to_the_next() {
    for step in ["create_disks", "swap_standbys", "stop_primary", "swap_primary", "recover", "rejoin"] {
        let mut bench = Workbench::new();
        let (wanted, target) = bench.disaster().await;
        let request = bench.request(target);
        let signal = bench.ctx.cancellation.clone();
        let at = At(step, move || signal.cancel());
        let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &at).await.unwrap_err();
        assert!(matches!(error, FlowError::Interrupted { .. }), "{step}: {error:?}");
        assert_eq!(error.exit_code(), ExitCode::Stuck);
        bench.ctx.cancellation = tokio_util::sync::CancellationToken::new();
        bench.retry_within(std::time::Duration::from_secs(2));
        let cluster = bench.landscape.cluster().clone();
        let resumed = resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await;
        resumed.unwrap_or_else(|error| panic!("{step}: {error:?}"));
        bench.assert_restored(&wanted).await;
    }
}

/// What the last process measured is its own part; the time in which nobody worked says nothing of the next restore.
#[tokio::test]
async fn the_downtime_counts_from_the_first_stop_also_across_processes() {
    let idle = std::time::Duration::from_millis(1500);
    let mut bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let request = bench.request(target);
    let signal = bench.ctx.cancellation.clone();
    let at = At("stop_primary", move || signal.cancel());
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &at).await.unwrap_err();
    assert!(matches!(error, FlowError::Interrupted { .. }), "{error:?}");
    tokio::time::sleep(idle).await;
    bench.ctx.cancellation = tokio_util::sync::CancellationToken::new();
    bench.retry_within(std::time::Duration::from_secs(2));
    let cluster = bench.landscape.cluster().clone();
    let resumed =
        resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await.unwrap();
    let split = &resumed.downtime;
    assert!(split.idle_seconds >= idle.as_secs_f64(), "{split:?}");
    assert!(resumed.downtime_seconds >= split.idle_seconds, "{resumed:?}");
    let parts = split.director_seconds + split.postgres_seconds + split.remount_seconds + split.idle_seconds;
    assert!((parts - resumed.downtime_seconds).abs() < 0.01, "{resumed:?}");

    let (_, preflight) = plan_restore(&bench.ctx, &bench.request(RecoveryTarget::Latest)).await.unwrap();
    let own = resumed.downtime_seconds - split.idle_seconds;
    assert!(preflight.estimate_basis.starts_with("the last restore"), "{preflight:?}");
    assert!(preflight.estimate_seconds < own + idle.as_secs_f64() / 2.0, "{preflight:?}");

    let whole = bench.restore(RecoveryTarget::Latest).await.unwrap();
    assert!(whole.downtime.idle_seconds < f64::EPSILON, "one process did all of it: {:?}", whole.downtime);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_in_one_level() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.silence_vm(1);
    let (_, preflight) = plan_restore(&bench.ctx, &bench.request(RecoveryTarget::Latest)).await.unwrap();
    let told = preflight.warnings.iter().find(|line| line.contains("does not answer")).unwrap();
    assert!(told.contains("does not answer: its agent at 127.0.0.2: "), "{told}");
    assert_eq!(told.matches("does not answer").count(), 1, "{told}");
}

#[tokio::test]
async fn an_aborted_restore_finishes_its_step_and_goes_back() {
    let steps = [
        (RestoreStep::SwapStandbys, RestoreStep::StopPrimary),
        (RestoreStep::StopPrimary, RestoreStep::SwapPrimary),
        (RestoreStep::Recover, RestoreStep::Verify),
    ];
    for (step, next) in steps {
        let bench = Workbench::new();
        let (_, target) = bench.disaster().await;
        let old = bench.old_state();
        let request = bench.request(target);
        bench.landscape.slow_tasks(1);
        let abort = async {
            let cluster = bench.landscape.cluster_store();
            let wanted = What::Intended { step: step.to_string() };
            let intended = |events: Vec<JournalEvent>| events.last().is_some_and(|last| last.what == wanted);
            while !intended(cluster.journal(&request.id).await.unwrap()) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            abort_restore(&cluster, &request.id, "the operator").await.unwrap()
        };
        // Aborted is aborted, also where a failure would have been held.
        let restore = run_restore(&bench.ctx, request.clone(), OnFailure::Hold, &Quiet);
        let (error, told) = tokio::join!(restore, abort);
        let error = error.unwrap_err();
        let (point, driver) = told;
        assert_eq!(point, AbortPoint { running: Some(step), before: next });
        assert!(driver.owner == "test" && driver.ends_at > driver.last_beat, "{driver:?}");
        assert_eq!(error.exit_code(), ExitCode::Undone, "{step}: {error:?}");
        assert!(error.to_string().contains(&format!("`{next}`")), "{error}");
        bench.assert_undone(&old).await;
    }
}

/// A process that died had been asked: the next one says at which step it stops, though it begins none.
#[tokio::test]
async fn the_next_process_does_what_a_dead_one_was_asked_and_names_the_step() {
    struct Heard(Mutex<Vec<ProgressEvent>>);
    impl Progress for Heard {
        fn event(&self, event: &ProgressEvent) {
            self.0.lock().unwrap().push(event.clone());
        }
    }
    let mut bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    let request = bench.request(target);
    let signal = bench.ctx.cancellation.clone();
    let at = At("swap_standbys", move || signal.cancel());
    run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &at).await.unwrap_err();
    bench.ctx.cancellation = tokio_util::sync::CancellationToken::new();
    bench.landscape.cluster_store().request_abort(&request.id, "the operator").await.unwrap();
    let heard = Heard(Mutex::default());
    let cluster = bench.landscape.cluster().clone();
    let resumed = resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &heard).await;
    assert_eq!(resumed.unwrap_err().exit_code(), ExitCode::Undone);
    let heard = heard.0.into_inner().unwrap();
    assert!(heard.iter().all(|event| event.number > 0 && !event.step.is_empty()), "{heard:#?}");
    bench.assert_undone(&old).await;
}

/// Whoever wants to go on with it is told what is true, not that it failed.
#[tokio::test]
async fn what_was_rolled_back_is_not_resumed_and_not_aborted() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let request = bench.request(target);
    run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    back(&bench, &request).await.unwrap();
    let cluster = bench.landscape.cluster().clone();
    let resumed = resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await;
    let resumed = resumed.unwrap_err();
    assert_eq!(resumed.exit_code(), ExitCode::Undone);
    let told = remount_core::report(&resumed);
    assert!(told.contains("was rolled back at 20") && told.contains("nothing is left to do"), "{told}");
    assert!(!told.contains("cause:") && !told.contains("failed"), "nothing had failed: {told}");
    let aborted = abort_restore(&bench.landscape.cluster_store(), &request.id, "me").await.unwrap_err();
    let next = aborted.next_step().unwrap();
    assert!(next.contains("nothing is left to do") && !next.contains("remount rollback"), "{next}");
}

/// A failure that was undone is its cause.
#[tokio::test]
async fn what_was_undone_after_a_failure_says_which() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let request = bench.request(target);
    bench.landscape.inject(Rule::once("director.attach", Fault::FailTask).times(1000));
    let failed = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert_eq!(failed.exit_code(), ExitCode::Undone, "{failed:?}");
    let cluster = bench.landscape.cluster().clone();
    let resumed = resume_restore(&bench.ctx, &cluster, &request.id, OnFailure::Rollback, &Quiet).await;
    let told = remount_core::report(&resumed.unwrap_err());
    assert!(told.contains("nothing is left to do") && told.contains("cause: step `swap_"), "{told}");
}

/// Who is asked to plan while a restore runs is not sent to resume it.
#[tokio::test]
async fn a_plan_says_who_restores_at_the_moment_and_where_it_is() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let request = bench.request(target);
    let planned = Mutex::new(None);
    let at_recover = async {
        let cluster = bench.landscape.cluster_store();
        let wanted = What::Intended { step: "recover".into() };
        let intended = |events: Vec<JournalEvent>| events.last().is_some_and(|last| last.what == wanted);
        while !intended(cluster.journal(&request.id).await.unwrap()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let other = bench.request(RecoveryTarget::Latest);
        *planned.lock().unwrap() = plan_restore(&bench.ctx, &other).await.err();
    };
    bench.landscape.slow_tasks(1);
    let restore = run_restore(&bench.ctx, request.clone(), OnFailure::Hold, &Quiet);
    let (restored, ()) = tokio::join!(restore, at_recover);
    restored.unwrap();
    let told = remount_core::report(&planned.into_inner().unwrap().expect("a restore runs"));
    assert!(told.contains("runs: test drives it") && told.contains("at step `recover`"), "{told}");
    assert!(told.contains("remount abort") && !told.contains("remount resume"), "{told}");
}

#[tokio::test]
async fn what_nobody_drives_cannot_be_aborted() {
    let bench = Workbench::new();
    let (_, _) = bench.disaster().await;
    let request = bench.request(RecoveryTarget::Latest);
    run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    let error = abort_restore(&bench.landscape.cluster_store(), &request.id, "me").await.unwrap_err();
    assert!(matches!(&error, FlowError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("it has ended"), "{error}");
}

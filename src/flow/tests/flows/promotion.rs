//! Nobody can write to a restored primary before its promotion; what may have been written to is never deleted; and a
//! restore that pauses at its target can be moved on, accepted and given up.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use remount_core::documents::{OnFailure, RestoreRequest, What};
use remount_core::{ExitCode, RecoveryTarget, RestoreTarget};
use remount_director::TaskId;
use remount_flow::{
    FlowError, Progress, ProgressEvent, ProgressKind, Quiet, RestorePhase, RestoreReport, RestoreState,
    Scope, accept_restore, forward_restore, give_up_restore, list_old_disks, resume_restore,
    rollback_restore, run_restore,
};
use remount_sim::memory::{Archiving, Death, Fault, MemoryLandscape, Rule};

use crate::support::Workbench;

/// A client that writes to the restored primary whenever it may.
struct Writer<'a> {
    landscape: &'a MemoryLandscape,
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl<'a> Writer<'a> {
    fn on(bench: &'a Workbench) -> Self {
        Self { landscape: &bench.landscape, acknowledged: Mutex::default() }
    }

    fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.lock().unwrap().clone()
    }
}

impl Progress for Writer<'_> {
    fn event(&self, _: &ProgressEvent) {
        self.acknowledged.lock().unwrap().extend(self.landscape.write_to_restored());
    }
}

/// The start of the restored primary works, and its task fails: seen with 1,564 commits that went with its disk.
#[tokio::test]
async fn a_start_that_fails_after_recovery_loses_nothing_that_was_acknowledged() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let (old, writer) = (bench.old_state(), Writer::on(&bench));
    bench.landscape.inject(Rule::once("director.start", Fault::HalfTask).about(bench.landscape.slug(0)));
    let error =
        run_restore(&bench.ctx, bench.request(target), OnFailure::Rollback, &writer).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone, "{error:?}");
    assert_eq!(writer.acknowledged(), BTreeSet::new(), "nobody could write");
    bench.assert_undone(&old).await;
}

/// A process beside PostgreSQL fails until the server takes writes, so that the start's task ends after the promotion.
#[tokio::test]
async fn a_start_that_ends_only_when_the_server_takes_writes_is_not_waited_for_before() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let start = Rule::once("director.start", Fault::NeedsWrites).about(bench.landscape.slug(0));
    bench.landscape.inject(start);
    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
    let tasks = bench.ctx.director.tasks(bench.landscape.deployment(), 50).await.unwrap();
    assert!(tasks.iter().all(|task| task.state.is_final()), "the start has been waited for: {tasks:?}");
}

/// Whoever promotes has not seen the start end where another process had left it open: it may have failed since.
#[tokio::test]
async fn a_process_that_was_given_up_during_a_pause_is_started_after_the_promotion() {
    for waits_for_the_end in [true, false] {
        let paused = paused_with(&[Rule::once("director.start", Fault::NeedsWrites)]).await;
        let bench = &paused.bench;
        if waits_for_the_end {
            let task = open_task(bench).await.expect("the start goes on");
            while open_task(bench).await == Some(task) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(is_failing(bench).await, "nobody has started it again");
        }
        paused.assert_stands_at(0).await;
        paused.accept().await.unwrap();
        bench.assert_restored(&paused.points[0].0).await;
        assert!(!is_failing(bench).await, "a job beside the server is down");
        assert_eq!(open_task(bench).await, None);
    }
}

/// The same in a process that goes on after a promotion: what it has not seen it makes sure of.
#[tokio::test]
async fn a_resume_makes_sure_that_the_instance_has_started() {
    let paused = paused_with(&[Rule::once("director.start", Fault::NeedsWrites)]).await;
    let (bench, id) = (&paused.bench, &paused.request.id);
    let death = Death::BeforeWrite(2); // Its intent is written, its outcome is not.
    bench.crashing.die(death);
    assert!(bench.crashing.drive(paused.accept()).await.is_none(), "it died");
    bench.crashing.heal();
    bench.lease_ends();
    let cluster = bench.landscape.cluster();
    resume_restore(&bench.ctx, cluster, id, OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&paused.points[0].0).await;
    assert!(!is_failing(bench).await, "a job beside the server is down");
}

/// Each start at a later target is open when the restore pauses there.
#[tokio::test]
async fn a_restore_moves_forward_while_a_process_beside_its_server_waits_for_writes() {
    let paused = paused_with(&[Rule::once("director.start", Fault::NeedsWrites).times(2)]).await;
    paused.forward(paused.points[1].1.clone()).await.unwrap();
    paused.assert_stands_at(1).await;
    paused.accept().await.unwrap();
    paused.bench.assert_restored(&paused.points[1].0).await;
    assert!(!is_failing(&paused.bench).await, "a job beside the server is down");
}

async fn open_task(bench: &Workbench) -> Option<TaskId> {
    let tasks = bench.ctx.director.tasks(bench.landscape.deployment(), 50).await.unwrap();
    tasks.iter().find(|task| !task.state.is_final()).map(|task| task.id)
}

async fn is_failing(bench: &Workbench) -> bool {
    let all = bench.ctx.director.instances(bench.landscape.deployment()).await.unwrap();
    let primary = all.iter().find(|instance| instance.slug == bench.landscape.slug(0)).unwrap();
    !primary.is_running()
}

/// The server moves between the look at it and its promotion.
struct MovesBeforePromotion<'a>(Writer<'a>);

impl Progress for MovesBeforePromotion<'_> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::Begun && event.step == "promote" {
            self.0.landscape.replay_on(0);
        }
        self.0.event(event);
    }
}

#[tokio::test]
async fn what_was_not_verified_is_not_promoted() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let (old, moves) = (bench.old_state(), MovesBeforePromotion(Writer::on(&bench)));
    let error =
        run_restore(&bench.ctx, bench.request(target), OnFailure::Rollback, &moves).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone, "{error:?}");
    let why = remount_core::with_causes(&error);
    assert!(why.contains("another state than the verified one is not promoted"), "{why}");
    assert_eq!(moves.0.acknowledged(), BTreeSet::new(), "nobody could write");
    bench.assert_undone_after_serving(&old).await;
}

/// Whoever has looked at a paused restore is still there: it is held, and not promoted.
#[tokio::test]
async fn a_paused_restore_that_has_moved_since_it_was_verified_is_not_promoted() {
    let paused = paused().await;
    let bench = &paused.bench;
    bench.landscape.replay_on(0);
    let held = paused.accept().await.unwrap_err();
    assert!(matches!(&held, FlowError::Held { step, .. } if step.to_string() == "promote"), "{held:?}");
    assert!(remount_core::with_causes(&held).contains("another state than the verified one"), "{held:?}");
    assert_eq!(bench.landscape.write_to_restored(), None, "nobody can write");
    let cluster = bench.landscape.cluster();
    rollback_restore(&bench.ctx, cluster, &paused.request.id, &Quiet).await.unwrap();
    bench.assert_undone_after_serving(&paused.old).await;
}

/// It was promoted by hand where it was verified, or by a call whose answer was lost: that is what is wanted.
#[tokio::test]
async fn a_server_that_was_promoted_where_it_was_verified_goes_on() {
    let paused = paused().await;
    paused.bench.landscape.leave_recovery(0).await;
    paused.accept().await.unwrap();
    paused.bench.assert_restored(&paused.points[0].0).await;
}

#[tokio::test]
async fn a_server_that_left_recovery_elsewhere_is_put_aside() {
    let paused = paused().await;
    let bench = &paused.bench;
    bench.landscape.replay_on(0);
    bench.landscape.leave_recovery(0).await;
    let row = bench.landscape.write_to_restored().expect("it takes writes");
    let held = paused.accept().await.unwrap_err();
    assert!(matches!(&held, FlowError::Held { step, .. } if step.to_string() == "promote"), "{held:?}");
    let cluster = bench.landscape.cluster();
    rollback_restore(&bench.ctx, cluster, &paused.request.id, &Quiet).await.unwrap();
    bench.assert_undone_after_serving(&paused.old).await;
    assert!(bench.landscape.is_on_a_disk(row));
}

/// PostgreSQL does not stop at a target where hot standby is not active.
#[tokio::test]
async fn a_server_that_left_recovery_by_itself_keeps_its_disk_and_says_why() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let (old, writer) = (bench.old_state(), Writer::on(&bench));
    bench.landscape.promotes_itself();
    bench.landscape.inject(Rule::once("director.start", Fault::HalfTask).about(bench.landscape.slug(0)));
    let request = bench.request(target);
    let error = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &writer).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Undone, "{error:?}");
    assert!(!writer.acknowledged().is_empty(), "somebody wrote");
    for row in writer.acknowledged() {
        assert!(bench.landscape.is_on_a_disk(row), "transaction {row} is lost");
    }
    bench.assert_undone_after_serving(&old).await;
    let clusters = [bench.landscape.cluster().clone()];
    let listed = list_old_disks(&bench.ctx, &clusters, &Scope::Present, bench.landscape.now()).await.unwrap();
    let kept: Vec<_> = listed.disks.iter().filter(|disk| disk.restore == request.id).collect();
    assert_eq!(kept.len(), 2, "{listed:?}");
    for disk in kept {
        assert!(disk.is_restored, "{disk:?}");
        let why = disk.put_aside_because.as_deref().unwrap();
        assert!(why.contains("left recovery by itself"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_left_recovery_by_itself_is_restored_all_the_same() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.landscape.promotes_itself();
    let report = bench.restore(target).await.unwrap();
    assert!(report.warnings.iter().any(|line| line.contains("left recovery by itself")), "{report:?}");
    bench.assert_restored(&wanted).await;
}

/// Three points with five rows before each, and a paused restore to the first.
struct Paused {
    bench: Workbench,
    request: RestoreRequest,
    points: Vec<(BTreeSet<u64>, RecoveryTarget)>,
    report: RestoreReport,
    old: crate::support::OldState,
}

async fn paused() -> Paused {
    paused_with(&[]).await
}

/// The rules are about the primary.
async fn paused_with(rules: &[Rule]) -> Paused {
    let mut bench = Workbench::new();
    bench.retry_within(std::time::Duration::from_millis(50));
    bench.landscape.commit(5).await;
    bench.backup().await;
    let mut points = Vec::new();
    for _ in 0..3 {
        bench.landscape.commit(5).await;
        let rows = bench.landscape.rows(0).unwrap();
        bench.landscape.advance(10);
        points.push((rows, RecoveryTarget::Time(bench.landscape.now())));
        bench.landscape.advance(10);
    }
    bench.landscape.commit(5).await;
    let old = bench.old_state();
    for rule in rules {
        bench.landscape.inject(rule.clone().about(bench.landscape.slug(0)));
    }
    let request = RestoreRequest { pause: true, ..bench.request(points[0].1.clone()) };
    let report = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    Paused { bench, request, points, report, old }
}

impl Paused {
    async fn forward(&self, to: RecoveryTarget) -> Result<RestoreReport, FlowError> {
        let cluster = self.bench.landscape.cluster();
        forward_restore(&self.bench.ctx, cluster, &self.request.id, RestoreTarget::of(to), &Quiet).await
    }

    async fn accept(&self) -> Result<RestoreReport, FlowError> {
        accept_restore(&self.bench.ctx, self.bench.landscape.cluster(), &self.request.id, &Quiet).await
    }

    async fn state(&self) -> RestoreState {
        RestoreState::read(&self.bench.landscape.cluster_store(), &self.request.id).await.unwrap()
    }

    async fn assert_stands_at(&self, point: usize) {
        assert!(self.state().await.is_paused());
        assert_eq!(self.bench.landscape.rows(0).as_ref(), Some(&self.points[point].0));
        assert_eq!(self.bench.landscape.write_to_restored(), None, "nobody can write");
        assert!(!self.bench.landscape.is_primary(0));
    }
}

#[tokio::test]
async fn a_paused_restore_waits_for_its_person_and_is_accepted() {
    let paused = paused().await;
    paused.assert_stands_at(0).await;
    let next = paused.report.paused.as_ref().unwrap().join("\n");
    for way in ["restore accept", "restore forward", "restore give-up"] {
        assert!(next.contains(&format!("remount {way} {}", paused.request.id)), "{next}");
    }
    assert!(paused.report.last_commit.is_some() && paused.report.replayed_to.is_some());
    let (bench, id) = (&paused.bench, &paused.request.id);
    let cluster = bench.landscape.cluster().clone();
    let holder = bench.landscape.cluster_store().lease_holder().await.unwrap();
    assert!(holder.is_none_or(|holder| holder.expired), "the lease is free");
    assert!(bench.try_backup().await.is_err(), "a backup waits until it is decided");
    let resumed = resume_restore(&bench.ctx, &cluster, id, OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert!(resumed.to_string().contains("it is paused"), "{resumed}");
    paused.assert_stands_at(0).await;
    let report = paused.accept().await.unwrap();
    assert!(report.paused.is_none() && report.downtime_seconds > 0.0);
    bench.assert_restored(&paused.points[0].0).await;
    let again = paused.accept().await.unwrap_err();
    assert!(again.to_string().contains("the restore is not paused"), "{again}");
}

#[tokio::test]
async fn a_paused_restore_that_is_given_up_leaves_nothing() {
    let paused = paused().await;
    let (bench, cluster) = (&paused.bench, paused.bench.landscape.cluster().clone());
    give_up_restore(&bench.ctx, &cluster, &paused.request.id, &Quiet).await.unwrap();
    bench.assert_undone(&paused.old).await;
    assert_eq!(paused.state().await.phase, RestorePhase::Undone);
}

#[tokio::test]
async fn the_target_of_a_paused_restore_moves_forward_alone() {
    let paused = paused().await;
    for back in [0, 1] {
        if back == 1 {
            paused.forward(paused.points[1].1.clone()).await.unwrap();
            paused.assert_stands_at(1).await;
        }
        let error = paused.forward(paused.points[0].1.clone()).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unchanged);
        assert!(error.to_string().contains("is not ahead"), "{error}");
        paused.assert_stands_at(back).await;
    }
    let unknown = paused.forward(RecoveryTarget::Name("somewhere".into())).await.unwrap_err();
    assert!(unknown.to_string().contains("is not known"), "{unknown}");
    paused.forward(paused.points[2].1.clone()).await.unwrap();
    paused.assert_stands_at(2).await;
    paused.accept().await.unwrap();
    paused.bench.assert_restored(&paused.points[2].0).await;
    let events = paused.state().await.events().to_vec();
    let moved = events.iter().filter(|event| matches!(event.what, What::Reopened { .. })).count();
    assert_eq!(moved, 2);
}

#[tokio::test]
async fn a_driver_that_dies_while_it_moves_the_target_leaves_a_restore_that_stands_somewhere() {
    for death in (1..).flat_map(|n| [Death::BeforeWrite(n), Death::AfterWrite(n)]) {
        let paused = paused().await;
        let bench = &paused.bench;
        bench.crashing.die(death);
        let died = bench.crashing.drive(paused.forward(paused.points[1].1.clone())).await.is_none();
        bench.crashing.heal();
        bench.lease_ends();
        if !died {
            paused.assert_stands_at(1).await;
            break;
        }
        if !paused.state().await.is_paused() {
            let cluster = bench.landscape.cluster();
            let resumed =
                resume_restore(&bench.ctx, cluster, &paused.request.id, OnFailure::Rollback, &Quiet).await;
            resumed.unwrap_or_else(|error| panic!("{death:?}: {error:?}"));
        }
        let plan = bench.landscape.cluster_store().plan(&paused.request.id).await.unwrap().unwrap();
        let point = usize::from(plan.revision == 2);
        paused.assert_stands_at(point).await;
        paused.accept().await.unwrap_or_else(|error| panic!("{death:?}: {error:?}"));
        bench.assert_restored(&paused.points[point].0).await;
    }
}

/// The Director deletes its orphans whatever Remount promises: whoever takes time to look is told how much there is.
#[tokio::test]
async fn a_pause_and_a_hold_say_when_the_director_deletes_the_old_disks() {
    let paused = paused().await;
    let state = paused.state().await;
    let since = state.swapped_since().expect("the disks are swapped");
    let told = paused.bench.ctx.old_disks.told(since);
    let of = |state: &RestoreState| match &state.events().last().unwrap().what {
        What::Paused { next, .. } | What::Held { next, .. } => next.join("\n"),
        other => panic!("{other:?}"),
    };
    assert!(
        told.contains("5 days, about 20") && of(&state).contains("the Director deletes"),
        "{}",
        of(&state)
    );
    let bench = &paused.bench;
    bench.landscape.inject(Rule::once("server.write_probe", Fault::Refuse).times(u32::MAX));
    paused.accept().await.unwrap_err();
    let held = of(&paused.state().await);
    assert!(held.contains(&told), "another process knows it from the journal: {held}");
}

/// A note of a stop is not signed, and on a shared file system anybody's: that it was in recovery deletes no disk.
#[tokio::test]
async fn a_restored_primary_that_is_down_keeps_its_disk_whatever_the_note_of_its_stop_says() {
    let paused = paused().await;
    let (bench, cluster) = (&paused.bench, paused.bench.landscape.cluster().clone());
    bench.landscape.stop_all().await;
    give_up_restore(&bench.ctx, &cluster, &paused.request.id, &Quiet).await.unwrap();
    bench.assert_undone_after_serving(&paused.old).await;
    let why = paused.state().await.put_aside_because().unwrap();
    assert!(why.contains("is not known"), "{why}");
}

#[tokio::test]
async fn a_note_that_says_that_it_left_recovery_keeps_its_disk() {
    let paused = paused().await;
    let (bench, cluster) = (&paused.bench, paused.bench.landscape.cluster().clone());
    bench.landscape.leave_recovery(0).await;
    let rows = bench.landscape.write_to_restored().expect("it takes writes");
    bench.landscape.stop_all().await;
    give_up_restore(&bench.ctx, &cluster, &paused.request.id, &Quiet).await.unwrap();
    bench.assert_undone_after_serving(&paused.old).await;
    assert!(bench.landscape.is_on_a_disk(rows));
    let why = paused.state().await.put_aside_because().unwrap();
    assert!(why.contains("left recovery by itself"), "{why}");
}

/// Users read the indexes from the promotion on: that the standbys do not come is no reason to leave them wrong.
#[tokio::test]
async fn indexes_are_rebuilt_before_the_standbys_come() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    let mut request = bench.request(target);
    request.options.reindex = true;
    bench
        .landscape
        .inject(Rule::once("director.start", Fault::FailTask).about(bench.landscape.slug(1)).times(u32::MAX));
    let held = run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap_err();
    assert!(matches!(&held, FlowError::Held { step, .. } if step.to_string() == "rejoin"), "{held:?}");
    assert!(bench.landscape.rebuilds_indexes());
    bench.landscape.heal();
    let cluster = bench.landscape.cluster();
    resume_restore(&bench.ctx, cluster, &request.id, OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
}

/// Commits go on until the old primary dies, after its last segment was asked for.
struct LastCommits<'a>(&'a Workbench, Archiving, Mutex<BTreeSet<u64>>);

impl Progress for LastCommits<'_> {
    fn event(&self, event: &ProgressEvent) {
        let landscape = &self.0.landscape;
        match (event.kind, event.step.as_str()) {
            (ProgressKind::Begun, "swap_standbys") => {
                landscape.set_archiving(0, self.1);
                landscape.commit_unarchived(3);
                *self.2.lock().unwrap() = landscape.rows(0).unwrap();
                landscape.crash_server(0);
            }
            (ProgressKind::Begun, "recover") => landscape.set_archiving(0, Archiving::Works),
            _ => {}
        }
    }
}

async fn paused_with_last_commits(archiving: Archiving) -> (Workbench, RestoreRequest, BTreeSet<u64>) {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let request = RestoreRequest { pause: true, ..bench.request(target) };
    let all = {
        let progress = LastCommits(&bench, archiving, Mutex::default());
        run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &progress).await.unwrap();
        progress.2.into_inner().unwrap()
    };
    (bench, request, all)
}

#[tokio::test]
async fn a_paused_restore_that_is_moved_to_latest_has_the_last_records_of_the_old_primary() {
    let (bench, request, all) = paused_with_last_commits(Archiving::Works).await;
    let (cluster, latest) = (bench.landscape.cluster().clone(), RestoreTarget::of(RecoveryTarget::Latest));
    forward_restore(&bench.ctx, &cluster, &request.id, latest, &Quiet).await.unwrap();
    accept_restore(&bench.ctx, &cluster, &request.id, &Quiet).await.unwrap();
    bench.assert_restored(&all).await;
}

#[tokio::test]
async fn a_paused_restore_is_not_moved_to_latest_where_something_is_missing() {
    for archiving in [Archiving::TakesNoWal, Archiving::NoStore] {
        let (bench, request, _) = paused_with_last_commits(archiving).await;
        let (cluster, latest) =
            (bench.landscape.cluster().clone(), RestoreTarget::of(RecoveryTarget::Latest));
        let refused = forward_restore(&bench.ctx, &cluster, &request.id, latest, &Quiet).await.unwrap_err();
        assert_eq!(refused.exit_code(), ExitCode::Unchanged);
        let text = remount_core::report(&refused);
        assert!(text.contains("give-up") && text.contains("--accept-loss unarchived-wal"), "{text}");
        let state = RestoreState::read(&bench.landscape.cluster_store(), &request.id).await.unwrap();
        assert!(state.is_paused());
    }
}

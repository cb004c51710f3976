//! Commits whose WAL is not in the archive: none is lost without an operator's word.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use remount_core::documents::{AcceptedLoss, OnFailure, RestoreRequest};
use remount_core::{ExitCode, RecoveryTarget};
use remount_director::StopKind;
use remount_flow::{
    FlowError, OldDiskState, Progress, ProgressEvent, ProgressKind, Quiet, RestoreReport, Scope,
    list_old_disks, plan_restore, rollback_restore, run_restore,
};
use remount_sim::memory::Archiving;
use remount_store::Objects as _;

use crate::support::{Workbench, wait};

/// Does something at the begin of a step.
struct At<F: Fn() + Send + Sync>(&'static str, F);

impl<F: Fn() + Send + Sync> Progress for At<F> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::Begun && event.step == self.0 {
            (self.1)();
        }
    }
}

fn latest(bench: &Workbench) -> RestoreRequest {
    bench.request(RecoveryTarget::Latest)
}

fn accepted(bench: &Workbench) -> RestoreRequest {
    RestoreRequest { accept_loss: vec![AcceptedLoss::UnarchivedWal], ..latest(bench) }
}

async fn run(
    bench: &Workbench,
    request: RestoreRequest,
    progress: &dyn Progress,
) -> Result<RestoreReport, FlowError> {
    run_restore(&bench.ctx, request, OnFailure::Rollback, progress).await
}

fn warned(report: &RestoreReport, words: &str) -> bool {
    report.warnings.iter().any(|line| line.contains(words))
}

/// Archiving of the primary breaks between `last_wal` and the stop, and commits go on.
async fn outage(
    bench: &Workbench,
    request: RestoreRequest,
    archiving: Archiving,
) -> Result<RestoreReport, FlowError> {
    struct Outage<'a>(&'a Workbench, Archiving);
    impl Progress for Outage<'_> {
        fn event(&self, event: &ProgressEvent) {
            let landscape = &self.0.landscape;
            match (event.kind, event.step.as_str()) {
                (ProgressKind::Begun, "swap_standbys") => {
                    landscape.set_archiving(0, self.1);
                    landscape.commit_unarchived(7);
                }
                (ProgressKind::Begun, "recover") => landscape.set_archiving(0, Archiving::Works),
                _ => {}
            }
        }
    }
    run(bench, request, &Outage(bench, archiving)).await
}

#[tokio::test]
async fn latest_after_an_outage_is_undone_and_nothing_is_lost() {
    for archiving in [Archiving::TakesNoWal, Archiving::NoStore] {
        let bench = Workbench::new();
        bench.disaster().await;
        let before = bench.landscape.rows(0).unwrap();
        let error = outage(&bench, latest(&bench), archiving).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Undone, "{archiving:?}: {error:?}");
        let text = remount_core::report(&error);
        assert!(text.contains("stop_primary") && text.contains("--accept-loss unarchived-wal"), "{text}");
        let after = bench.landscape.rows(0).expect("it serves again");
        assert_eq!(
            after.difference(&before).count(),
            7,
            "{archiving:?}: what was committed meanwhile is there"
        );
    }
}

#[tokio::test]
async fn an_accepted_loss_is_told_and_its_disk_stays_until_it_is_named() {
    let bench = Workbench::new();
    bench.disaster().await;
    let wanted = bench.landscape.rows(0).unwrap();
    let request = accepted(&bench);
    let report = outage(&bench, request.clone(), Archiving::TakesNoWal).await.unwrap();
    assert!(warned(&report, "accepted"), "{:?}", report.warnings);
    bench.assert_restored(&wanted).await;
    let later = bench.landscape.now() + jiff::SignedDuration::from_hours(24 * 30);
    let clusters = [bench.landscape.cluster().clone()];
    let listed = list_old_disks(&bench.ctx, &clusters, &Scope::Present, later).await.unwrap().disks;
    let of_primary = listed.iter().find(|disk| disk.instance == bench.landscape.slug(0)).unwrap();
    assert_eq!(of_primary.state, OldDiskState::HoldsWal, "{listed:?}");
    assert!(of_primary.holds.as_ref().unwrap().contains("not archived"), "{of_primary:?}");
}

#[tokio::test]
async fn a_crashed_primary_loses_nothing() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.commit_unarchived(3);
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.crash_server(0);
    run(&bench, latest(&bench), &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_primary_without_a_vm_needs_a_word_and_its_standby_gives_what_it_has() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.commit_unarchived(3);
    let wanted: BTreeSet<u64> = bench.landscape.rows(1).unwrap();
    let disk = bench.landscape.disks_of(0).0.unwrap();
    bench.landscape.forget_vm(0);
    let refused = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap_err();
    let text = remount_core::report(&refused);
    assert!(matches!(refused, FlowError::Refused { .. }), "{refused:?}");
    for part in ["segment", "last commit", "standby", disk.as_str(), "--accept-loss unarchived-wal"] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    run(&bench, accepted(&bench), &Quiet).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_time_is_reached_by_what_a_standby_archives() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    bench.landscape.commit_unarchived(3);
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.advance(10);
    let instant = bench.landscape.now();
    bench.landscape.advance(10);
    bench.landscape.commit_unarchived(3);
    // The restored primary archives again.
    let landscape = bench.landscape.clone();
    let at = At("recover", move || landscape.set_archiving(0, Archiving::Works));
    let report = run(&bench, bench.request(RecoveryTarget::Time(instant)), &at).await.unwrap();
    assert!(warned(&report, "cannot archive"), "{:?}", report.warnings);
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_primary_that_was_stopped_with_something_left_is_not_restored_over() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    bench.landscape.commit_unarchived(3);
    bench.landscape.stop_all().await;
    let refused = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap_err();
    assert!(remount_core::report(&refused).contains("not archived"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_is_neither_checkpointed_nor_lost() {
    let bench = Workbench::new();
    let (wanted, target) = bench.disaster().await;
    bench.landscape.fill_disk(0);
    let (_, preflight) = plan_restore(&bench.ctx, &bench.request(target.clone())).await.unwrap();
    assert!(preflight.warnings.iter().any(|line| line.contains("disk is full")), "{:?}", preflight.warnings);
    let all = bench.landscape.rows(0).unwrap();
    let report = run(&bench, latest(&bench), &Quiet).await.unwrap();
    assert!(warned(&report, "disk is full"), "{:?}", report.warnings);
    bench.assert_restored(&all).await;
    bench.restore(target).await.unwrap();
    bench.assert_restored(&wanted).await;
}

#[tokio::test]
async fn a_full_disk_takes_no_backup() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    bench.landscape.fill_disk(0);
    let error = bench.try_backup().await.unwrap_err();
    assert!(remount_core::report(&error).contains("too full"), "{error}");
    assert!(bench.landscape.rows(0).is_some(), "it serves");
}

#[tokio::test]
async fn as_it_was_is_said_only_of_what_is_as_it_was() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let landscape = bench.landscape.clone();
    // The server dies by itself before anything of it was touched, and the disks cannot be made.
    let at = At("create_disks", move || {
        landscape.crash_server(0);
        landscape.use_up_quota(remount_sim::memory::Quota::UsedUp);
    });
    let error = run(&bench, bench.request(target), &at).await.unwrap_err();
    let text = remount_core::report(&error);
    assert!(text.contains("not as it was") && text.contains("does not serve"), "{text}");
    assert_eq!(error.exit_code(), ExitCode::Stuck);
}

/// An instance keeps its id when its disk is swapped.
#[tokio::test]
async fn the_note_of_a_disk_that_was_put_aside_says_nothing_of_the_one_that_is_back() {
    let bench = Workbench::new();
    bench.landscape.commit(5).await;
    let backup = bench.backup().await;
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    bench.landscape.commit_unarchived(3);
    bench.landscape.stop_all().await;
    bench.landscape.set_archiving(0, Archiving::Works);
    let first = bench.request(RecoveryTarget::Backup(backup.id));
    run(&bench, first.clone(), &Quiet).await.unwrap();
    // The stop of the restored server leaves a clean note under the same id.
    let cluster = bench.landscape.cluster().clone();
    rollback_restore(&bench.ctx, &cluster, &first.id, &Quiet).await.unwrap();
    let refused = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap_err();
    assert!(matches!(refused, FlowError::Refused { .. }), "{refused:?}");
}

/// Nothing is archived any more when the restore is planned, and nobody else has it.
#[tokio::test]
async fn what_cannot_be_archived_is_given_up_where_that_was_accepted() {
    let bench = Workbench::with_standbys(0);
    bench.disaster().await;
    bench.backup().await;
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    bench.landscape.commit_unarchived(3);
    let landscape = bench.landscape.clone();
    let heal = At("recover", move || landscape.set_archiving(0, Archiving::Works));
    let report = run(&bench, accepted(&bench), &heal).await.unwrap();
    assert!(warned(&report, "accepted"), "{:?}", report.warnings);
    bench.assert_restored(&wanted).await;
}

/// The records of the last segment come behind a segment that nobody has: replay never gets to them.
#[tokio::test]
async fn a_tail_behind_a_gap_is_given_up_with_it() {
    let bench = Workbench::with_standbys(0);
    bench.disaster().await;
    bench.backup().await;
    let wanted = bench.landscape.rows(0).unwrap();
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    bench.landscape.commit_unarchived(3);
    bench.landscape.stop_all().await;
    let store = bench.landscape.cluster_store();
    let id = bench.landscape.slug(0).id;
    let mut note = store.stop_note(&id).await.unwrap().unwrap();
    let size = remount_core::SegmentSize::new(1 << 20).unwrap();
    let next = note.unarchived.last().unwrap().parse::<remount_core::WalSegment>().unwrap().next(size);
    let end = remount_core::Lsn(next.start(size).0 + 1024);
    note.tail = Some(remount_core::documents::WalTail { segment: next, end, sha256: "00".repeat(32) });
    store.write_stop_note(&note).await.unwrap();
    let landscape = bench.landscape.clone();
    let heal = At("recover", move || landscape.set_archiving(0, Archiving::Works));
    run(&bench, accepted(&bench), &heal).await.unwrap();
    bench.assert_restored(&wanted).await;
}

/// The note says how far the old primary's records go. An archive that ends before is not all of it.
#[tokio::test]
async fn latest_is_not_reached_before_the_end_that_the_note_names() {
    let bench = Workbench::new();
    bench.disaster().await;
    struct Loses<'a>(&'a Workbench);
    impl Progress for Loses<'_> {
        fn event(&self, event: &ProgressEvent) {
            match (event.kind, event.step.as_str()) {
                (ProgressKind::Begun, "swap_standbys") => drop(self.0.landscape.commit_unarchived(3)),
                (ProgressKind::Begun, "swap_primary") => {
                    let names = self.0.object_names().now_or_never().unwrap();
                    let last = names.iter().filter(|name| crate::support::is_segment(name)).max().unwrap();
                    self.0.objects.delete(last).now_or_never().unwrap().unwrap();
                }
                _ => {}
            }
        }
    }
    let error = run(&bench, latest(&bench), &Loses(&bench)).await.unwrap_err();
    let text = remount_core::report(&error);
    assert!(text.contains("replay stopped at"), "{text}");
}

/// A cluster that was rolled back to timeline 1 while the archive has a timeline 2: what it has written since is in no
/// segment of the archive.
async fn rolled_back(standbys: usize) -> Workbench {
    let bench = Workbench::with_standbys(standbys);
    let (_, target) = bench.disaster().await;
    let first = bench.request(target);
    run(&bench, first.clone(), &Quiet).await.unwrap();
    bench.landscape.set_archiving(0, Archiving::TakesNoWal);
    let cluster = bench.landscape.cluster().clone();
    rollback_restore(&bench.ctx, &cluster, &first.id, &Quiet).await.unwrap();
    bench.landscape.commit_unarchived(3);
    bench.landscape.set_archiving(0, Archiving::Works);
    bench
}

#[tokio::test]
async fn what_was_written_on_another_timeline_than_the_planned_one_is_not_lost_silently() {
    for accepts in [false, true] {
        let bench = rolled_back(0).await;
        bench.landscape.crash_server(0);
        let request = if accepts { accepted(&bench) } else { latest(&bench) };
        let error = run(&bench, request, &Quiet).await.unwrap_err();
        let text = remount_core::report(&error);
        assert!(text.contains("stop_primary") && text.contains("--timeline 1"), "{accepts}: {text}");
    }
}

#[tokio::test]
async fn a_standby_tells_that_the_youngest_timeline_is_not_the_clusters() {
    let bench = rolled_back(1).await;
    bench.landscape.crash_server(0);
    let refused = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap_err();
    assert!(remount_core::report(&refused).contains("--timeline 1"), "{refused:?}");
}

#[tokio::test]
async fn the_note_of_a_stopped_primary_names_its_timeline() {
    let bench = rolled_back(0).await;
    let all = bench.landscape.rows(0).unwrap();
    bench.landscape.stop_all().await;
    let (plan, _) = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap();
    assert_eq!(plan.path.history.timeline.get(), 1);
    run(&bench, latest(&bench), &Quiet).await.unwrap();
    bench.assert_restored(&all).await;
}

/// A start needs no store, and without one it deletes no note.
#[tokio::test]
async fn the_note_of_an_earlier_stop_says_nothing_of_what_was_written_since() {
    let bench = Workbench::with_standbys(0);
    bench.disaster().await;
    let slug = bench.landscape.slug(0);
    let (director, deployment) = (&bench.ctx.director, bench.landscape.deployment());
    let ended = async |task| {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        wait(&**director, task, limit).await.unwrap();
    };
    ended(director.stop(deployment, &slug, StopKind::Soft, "stop-1").await.unwrap()).await;
    plan_restore(&bench.ctx, &latest(&bench)).await.expect("nothing is missing after the first stop");

    bench.landscape.set_archiving(0, Archiving::NoStore);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // A Director counts seconds.
    ended(director.start(deployment, &slug, "start").await.unwrap()).await;
    bench.landscape.commit_unarchived(7);
    ended(director.stop(deployment, &slug, StopKind::Soft, "stop-2").await.unwrap()).await;
    bench.landscape.set_archiving(0, Archiving::Works);
    let refused = plan_restore(&bench.ctx, &latest(&bench)).await.unwrap_err();
    let text = remount_core::report(&refused);
    assert!(text.contains("may be of an earlier stop") && text.contains("--accept-loss"), "{text}");
    plan_restore(&bench.ctx, &accepted(&bench)).await.expect("the loss is accepted");
}

/// It was asked for before the other one, and stored until an errand came to it.
#[tokio::test]
async fn a_held_restore_is_found_behind_a_finished_one_whose_id_is_newer() {
    let bench = Workbench::new();
    bench.disaster().await;
    let stored = RestoreRequest { id: "20200101T000000Z-aaaa".parse().unwrap(), ..latest(&bench) };
    run(&bench, latest(&bench), &Quiet).await.unwrap();
    bench.backup().await;
    let fails = At("swap_standbys", || {
        bench.landscape.set_archiving(0, Archiving::TakesNoWal);
        bench.landscape.commit_unarchived(7);
    });
    run_restore(&bench.ctx, stored.clone(), OnFailure::Hold, &fails).await.unwrap_err();
    bench.landscape.set_archiving(0, Archiving::Works);
    let backup = bench.try_backup().await.unwrap_err();
    let restore = run(&bench, latest(&bench), &Quiet).await.unwrap_err();
    for refused in [backup, restore] {
        let text = remount_core::report(&refused);
        assert!(text.contains(&format!("{}", stored.id)) && text.contains("never ended"), "{text}");
    }
}

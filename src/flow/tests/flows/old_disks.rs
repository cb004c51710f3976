//! What becomes of the disks that a restore has put aside.

use jiff::Timestamp;
use remount_cloud::Tags;
use remount_core::documents::{OnFailure, RestoreRequest};
use remount_core::{DiskCid, ExitCode, RecoveryTarget};
use remount_director::StopKind;
use remount_flow::{
    Clocks, FlowError, OldDisk, OldDiskRetention, OldDiskState, Quiet, ReleaseOutcome, ReleaseRequest,
    ReleasedDisk, Scope, Selection, list_old_disks, preview_release, release_old_disks, rollback_restore,
    run_restore,
};
use remount_sim::memory::{Fault, Rule};
use remount_store::Purpose;

use crate::support::Workbench;

const HOUR: u64 = 3600;

/// A driver's clock: it decides nothing in the end, so it may be wrong.
fn far_future() -> Timestamp {
    "2099-01-01T00:00:00Z".parse().unwrap()
}

impl Workbench {
    /// A restore that ended well, with its old disks: primary's first.
    async fn restored(&self) -> (RestoreRequest, Vec<DiskCid>) {
        let (wanted, target) = self.disaster().await;
        let old = self.old_state();
        let request = self.request(target);
        run_restore(&self.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
        self.assert_restored(&wanted).await;
        (request, old.disks.into_iter().filter_map(|(recorded, _)| recorded).collect())
    }

    async fn list(&self, scope: Scope) -> Vec<OldDisk> {
        let clusters = [self.landscape.cluster().clone()];
        let now = Clocks { store: self.store_time().await, ours: far_future() };
        let found = list_old_disks(&self.ctx, &clusters, &scope, now).await.unwrap();
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        found.disks
    }

    async fn states(&self, scope: Scope) -> Vec<OldDiskState> {
        self.list(scope).await.iter().map(|disk| disk.state).collect()
    }

    async fn store_time(&self) -> Timestamp {
        let cluster = self.ctx.store.cluster(self.landscape.cluster());
        let lease = cluster.take_lease("clock", Purpose::Prune, self.ctx.timeouts.lease_term).await.unwrap();
        let now = cluster.lease_holder().await.unwrap().unwrap().since;
        lease.release().await.unwrap();
        now
    }

    async fn release(&self, selection: Selection) -> Result<Vec<ReleasedDisk>, FlowError> {
        let request = ReleaseRequest { selection, by: "root@ops".into() };
        release_old_disks(&self.ctx, &self.landscape.cluster().clone(), &request, far_future()).await
    }

    fn hours_pass(&self, hours: u64) {
        self.objects.advance(std::time::Duration::from_secs(hours * HOUR));
    }

    fn all_there(&self, disks: &[DiskCid]) -> bool {
        disks.iter().all(|disk| self.landscape.disks().contains(disk))
    }

    async fn no_longer_there(&self, disks: &[DiskCid]) -> bool {
        let orphans = self.ctx.director.orphaned_disks().await.unwrap();
        let known = |disk: &DiskCid| {
            self.landscape.disks().contains(disk) || orphans.iter().any(|orphan| orphan.disk_cid == *disk)
        };
        !disks.iter().any(known)
    }
}

fn outcomes(released: &[ReleasedDisk]) -> Vec<ReleaseOutcome> {
    released.iter().map(|disk| disk.outcome).collect()
}

#[tokio::test]
async fn after_a_restore_the_old_disks_are_listed_with_their_times() {
    let bench = Workbench::new();
    assert!(bench.list(Scope::All).await.is_empty(), "nothing was restored yet");
    let (request, old) = bench.restored().await;
    let listed = bench.list(Scope::Present).await;
    assert_eq!(listed.iter().map(|disk| disk.disk.clone()).collect::<Vec<_>>(), old);
    for disk in &listed {
        assert_eq!((&disk.restore, disk.state), (&request.id, OldDiskState::Kept));
        assert_eq!(disk.size_mib, Some(10_240));
        assert!(disk.out_of_use_since.is_some() && disk.released.is_none());
        let deletes = disk.director_deletes_at.unwrap();
        let left = deletes.duration_since(bench.landscape.now()).as_hours();
        assert!((119..=120).contains(&left), "{left} h: five days from the swap");
        let kept = disk.kept_until.unwrap().duration_since(bench.store_time().await);
        assert!((23..=24).contains(&kept.as_hours()), "{kept}");
    }
    bench.hours_pass(25);
    assert_eq!(bench.states(Scope::Present).await, [OldDiskState::Due; 2]);
}

#[tokio::test]
async fn a_clock_that_runs_ahead_releases_nothing_that_is_kept() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    assert_eq!(bench.release(Selection::Due).await.unwrap(), [], "24 hours are not over");
    assert!(bench.all_there(&old));
    let released = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2], "by name it is a choice");
    assert!(bench.no_longer_there(&old).await);
}

/// On a shared file system a database VM can set the time of any object: of the journal's last event into the past, of
/// the lease into the future.
#[tokio::test]
async fn times_that_somebody_has_set_release_nothing() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    bench.hours_pass(24 * 365);
    let due = ReleaseRequest { selection: Selection::Due, by: "errand".into() };
    let cluster = bench.landscape.cluster().clone();
    let signed = bench.landscape.cluster_store().journal(&request.id).await.unwrap().last().unwrap().at;
    let hours = |n: i64| signed + jiff::SignedDuration::from_hours(n);
    assert_eq!(release_old_disks(&bench.ctx, &cluster, &due, hours(23)).await.unwrap(), []);
    assert!(bench.all_there(&old), "what is signed says that it ended a moment ago");
    assert_eq!(release_old_disks(&bench.ctx, &cluster, &due, hours(25)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_disk_that_must_stay_does_not_keep_the_others() {
    let bench = Workbench::new();
    let (_, old) = bench.restored().await;
    bench.hours_pass(25);
    bench.landscape.orphan_is_of(&old[0], "pg-0002");
    let error = bench.release(Selection::Due).await.unwrap_err();
    let told = remount_core::report(&error);
    assert!(told.contains(old[0].as_str()) && told.contains("1 of 2"), "{told}");
    assert!(bench.all_there(&old[..1]) && !bench.all_there(&old[1..]));
    let bench = Workbench::new();
    let (_, old) = bench.restored().await;
    bench.hours_pass(25);
    for disk in &old {
        bench.landscape.orphan_is_of(disk, "pg-0002");
    }
    let error = bench.release(Selection::Due).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unchanged);
    let told = remount_core::report(&error);
    assert!(old.iter().all(|disk| told.contains(disk.as_str())), "each is told: {told}");
    assert!(bench.all_there(&old));
}

#[tokio::test]
async fn what_is_due_goes_and_who_asked_stays_on_record() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    let in_use: Vec<_> = (0..2).map(|index| bench.landscape.disks_of(index)).collect();
    bench.hours_pass(25);
    let released = bench.release(Selection::Due).await.unwrap();
    assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2]);
    assert!(bench.no_longer_there(&old).await);
    assert_eq!((0..2).map(|index| bench.landscape.disks_of(index)).collect::<Vec<_>>(), in_use);
    let note = bench.landscape.cluster_store().release_note(&request.id).await.unwrap().unwrap();
    assert_eq!((note.by.as_str(), note.disks), ("root@ops", old));
    assert_eq!(bench.list(Scope::Present).await, []);
    assert_eq!(bench.states(Scope::All).await, [OldDiskState::Gone; 2]);
    assert_eq!(bench.release(Selection::Due).await.unwrap(), []);
    let again = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&again), [ReleaseOutcome::AlreadyGone; 2], "a second release says so");
}

#[tokio::test]
async fn a_dry_run_touches_nothing() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    let names = bench.object_names().await;
    let wish = ReleaseRequest { selection: Selection::Restore(request.id), by: "x".into() };
    let would =
        preview_release(&bench.ctx, &bench.landscape.cluster().clone(), &wish, far_future()).await.unwrap();
    assert_eq!(would.len(), 2);
    assert!(bench.all_there(&old));
    assert_eq!(bench.object_names().await, names);
}

#[tokio::test]
async fn a_held_restore_keeps_its_way_back() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    let old: Vec<DiskCid> = bench.old_state().disks.into_iter().filter_map(|(disk, _)| disk).collect();
    // The restored primary cannot be written to.
    bench.landscape.inject(Rule::once("server.write_probe", Fault::Refuse).times(u32::MAX));
    let request = bench.request(target);
    let held = run_restore(&bench.ctx, request.clone(), OnFailure::Hold, &Quiet).await.unwrap_err();
    assert!(matches!(held, FlowError::Held { .. }), "{held:?}");
    bench.landscape.heal();
    bench.hours_pass(1000);
    assert_eq!(bench.states(Scope::Present).await, [OldDiskState::Needed; 2]);
    assert_eq!(bench.release(Selection::Due).await.unwrap(), []);
    let refused = bench.release(Selection::Restore(request.id.clone())).await.unwrap_err();
    assert!(matches!(refused, FlowError::Refused { .. }), "{refused:?}");
    assert_eq!(refused.exit_code(), ExitCode::Unchanged);
    assert!(refused.to_string().contains("has not ended well"), "{refused}");
    assert!(bench.all_there(&old));
    rollback_restore(&bench.ctx, &bench.landscape.cluster().clone(), &request.id, &Quiet).await.unwrap();
    assert_eq!(bench.list(Scope::All).await, [], "it was undone before it served: nothing was put aside");
}

#[tokio::test]
async fn a_disk_that_is_in_use_again_is_left_alone() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    bench.hours_pass(25);
    // Somebody puts the primary's back by hand.
    let director = &bench.ctx.director;
    let (slug, deployment) = (bench.landscape.slug(0), bench.landscape.deployment().clone());
    let deadline = std::time::Instant::now() + bench.ctx.timeouts.attach;
    let stop = director.stop(&deployment, &slug, StopKind::Soft, "by-hand").await.unwrap();
    crate::support::wait(&**director, stop, deadline).await.unwrap();
    let attach = director.attach_disk(&deployment, &slug, &old[0]).await.unwrap();
    crate::support::wait(&**director, attach, deadline).await.unwrap();
    assert_eq!(bench.states(Scope::Present).await, [OldDiskState::Attached, OldDiskState::Due]);
    assert_eq!(bench.release(Selection::Due).await.unwrap(), []);
    let refused = bench.release(Selection::Restore(request.id.clone())).await.unwrap_err();
    assert!(refused.to_string().contains("is in use"), "{refused}");
    assert!(bench.all_there(&old));
    assert!(bench.landscape.cluster_store().release_note(&request.id).await.unwrap().is_none());
}

#[tokio::test]
async fn after_a_way_back_the_restored_disks_stay_until_they_are_named() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    let restored: Vec<DiskCid> = (0..2).filter_map(|index| bench.landscape.disks_of(index).0).collect();
    bench.hours_pass(25);
    rollback_restore(&bench.ctx, &bench.landscape.cluster().clone(), &request.id, &Quiet).await.unwrap();
    let listed = bench.list(Scope::Present).await;
    assert_eq!(listed.iter().map(|disk| disk.disk.clone()).collect::<Vec<_>>(), restored);
    for disk in &listed {
        assert_eq!((disk.state, disk.is_restored), (OldDiskState::PutAside, true));
        assert!(disk.out_of_use_since.is_some() && disk.director_deletes_at.is_some());
        assert_eq!(disk.kept_until, None, "no time lets them go");
    }
    bench.hours_pass(24 * 365);
    assert_eq!(bench.release(Selection::Due).await.unwrap(), [], "what users wrote is there alone");
    assert!(bench.all_there(&restored));
    let released = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2]);
    assert!(bench.no_longer_there(&restored).await && bench.all_there(&old));
    assert_eq!((0..2).filter_map(|index| bench.landscape.disks_of(index).0).collect::<Vec<_>>(), old);
}

#[tokio::test]
async fn how_long_is_what_was_promised_when_the_restore_began() {
    let mut bench = Workbench::new();
    bench.ctx.old_disks.keep_hours = 72;
    let (_, old) = bench.restored().await;
    // Another program of another configuration looks.
    bench.ctx.old_disks = OldDiskRetention::default();
    bench.hours_pass(71);
    assert_eq!(bench.release(Selection::Due).await.unwrap(), []);
    assert!(bench.all_there(&old));
    bench.hours_pass(2);
    assert_eq!(bench.release(Selection::Due).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_disk_belongs_to_the_newest_restore_that_replaced_it() {
    let bench = Workbench::new();
    let (first, old) = bench.restored().await;
    rollback_restore(&bench.ctx, &bench.landscape.cluster().clone(), &first.id, &Quiet).await.unwrap();
    bench.landscape.advance(5);
    let second = bench.request(RecoveryTarget::Latest);
    run_restore(&bench.ctx, second.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    let listed = bench.list(Scope::Present).await;
    let wanted = |disk: &OldDisk| {
        if disk.is_restored { OldDiskState::PutAside } else { OldDiskState::Kept }
    };
    assert!(listed.iter().all(|disk| disk.state == wanted(disk)), "{listed:?}");
    let (back, replaced): (Vec<_>, Vec<_>) = listed.iter().partition(|disk| disk.is_restored);
    assert!(back.len() == 2 && back.iter().all(|disk| disk.restore == first.id));
    assert!(replaced.len() == 2 && replaced.iter().all(|disk| disk.restore == second.id));
    let released = bench.release(Selection::Restore(first.id)).await.unwrap();
    assert!(released.iter().all(|disk| !old.contains(&disk.disk)), "{released:?}");
    assert!(bench.all_there(&old));
}

#[tokio::test]
async fn releasing_the_first_of_two_restores_leaves_the_second_ones_disks() {
    let bench = Workbench::new();
    let (first, old) = bench.restored().await;
    let between: Vec<DiskCid> = (0..2).filter_map(|index| bench.landscape.disks_of(index).0).collect();
    bench.landscape.advance(5);
    let second = bench.request(RecoveryTarget::Latest);
    run_restore(&bench.ctx, second.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
    assert_eq!(bench.list(Scope::Present).await.len(), 4);
    bench.release(Selection::Restore(first.id)).await.unwrap();
    assert!(bench.no_longer_there(&old).await && bench.all_there(&between));
    rollback_restore(&bench.ctx, &bench.landscape.cluster().clone(), &second.id, &Quiet).await.unwrap();
}

#[tokio::test]
async fn a_failed_deletion_is_gone_on_with() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    // The intent is written, the first disk goes, the second does not.
    let fails = Rule::once("director.delete_orphaned_disk", Fault::FailTask).about(&old[1]);
    bench.landscape.inject(fails);
    let error = bench.release(Selection::Restore(request.id.clone())).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Stuck, "{error:?}");
    assert!(error.to_string().contains("1 of 2"), "{error}");
    assert!(!bench.all_there(&old[..1]) && bench.all_there(&old[1..]));
    let left = bench.list(Scope::Present).await;
    assert_eq!(left.len(), 1);
    assert!(left[0].released.is_some(), "the list says that it was given up");
    let again = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&again), [ReleaseOutcome::AlreadyGone, ReleaseOutcome::Deleted]);
    assert!(bench.no_longer_there(&old).await);
}

#[tokio::test]
async fn a_driver_that_dies_between_intent_and_deletion_is_replaced() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    bench.landscape.slow_tasks(3600);
    let cancelled = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        bench.release(Selection::Restore(request.id.clone())),
    );
    assert!(cancelled.await.is_err(), "the driver died while the Director was at it");
    assert!(bench.landscape.cluster_store().release_note(&request.id).await.unwrap().is_some());
    assert!(bench.all_there(&old), "nothing was deleted yet");
    bench.landscape.slow_tasks(0);
    let leased = bench.release(Selection::Restore(request.id.clone())).await.unwrap_err();
    let told = remount_core::report(&leased);
    assert!(
        told.contains("is in use") && told.contains("is leased to"),
        "{told}: its lease is respected until it ends"
    );
    bench.lease_ends();
    let released = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2]);
    assert!(bench.no_longer_there(&old).await);
}

#[tokio::test]
async fn a_lost_answer_or_request_is_no_failure() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let bench = Workbench::new();
        let (request, old) = bench.restored().await;
        bench.landscape.inject(Rule::once("director.delete_orphaned_disk", fault));
        let released = bench.release(Selection::Restore(request.id)).await.unwrap();
        assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2], "{fault:?}");
        assert!(bench.no_longer_there(&old).await);
    }
}

#[tokio::test]
async fn a_task_that_fails_after_its_work_is_no_failure() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    bench.landscape.inject(Rule::once("director.delete_orphaned_disk", Fault::HalfTask));
    let released = bench.release(Selection::Restore(request.id)).await.unwrap();
    assert_eq!(outcomes(&released), [ReleaseOutcome::Deleted; 2]);
    assert!(bench.no_longer_there(&old).await);
}

#[tokio::test]
async fn a_disk_that_the_director_has_forgotten_is_deleted_in_the_cloud() {
    let bench = Workbench::new();
    let (request, old) = bench.restored().await;
    bench.landscape.forget_orphan(&old[0]);
    let listed = bench.list(Scope::Present).await;
    assert_eq!((listed[0].director_deletes_at, listed[0].state), (None, OldDiskState::Kept));
    bench.landscape.inject(Rule::once("cloud.delete_disk", Fault::LoseAnswer));
    bench.release(Selection::Restore(request.id)).await.unwrap();
    assert!(bench.no_longer_there(&old).await);
}

#[tokio::test]
async fn no_lease_is_taken_where_nothing_is_due() {
    let bench = Workbench::new();
    let cluster = bench.landscape.cluster_store();
    let before = cluster.take_lease("x", Purpose::Backup, bench.ctx.timeouts.lease_term).await.unwrap();
    assert_eq!(bench.release(Selection::Due).await.unwrap(), [], "though a backup runs");
    before.release().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_somebody_elses_by_anybodys_word_is_left_alone() {
    let other = |key: &str, value: &str| Tags::from([(key.into(), value.into()), ("x".into(), "y".into())]);
    for words in ["director", "tag of bosh", "tag of remount", "nobody"] {
        let bench = Workbench::new();
        let (request, old) = bench.restored().await;
        match words {
            "director" => bench.landscape.orphan_is_of(&old[0], "pg-0002"),
            "tag of bosh" => {
                let mut tags = other("deployment", "pg-0002");
                tags.insert("instance_id".into(), bench.landscape.slug(0).id.to_string());
                bench.landscape.retag(&old[0], tags);
            }
            "tag of remount" => bench.landscape.retag(&old[0], other("remount-cluster", "pg-0002")),
            _ => {
                bench.landscape.retag(&old[0], Tags::new());
                bench.landscape.forget_orphan(&old[0]);
            }
        }
        let refused = bench.release(Selection::Restore(request.id)).await.unwrap_err();
        let told = remount_core::report(&refused);
        assert!(told.contains("pg-0002") || told.contains("nobody says whose"), "{words}: {told}");
        assert!(bench.all_there(&old[..1]), "{words}");
    }
}

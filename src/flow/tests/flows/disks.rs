//! The new disks are what the old ones were, in clouds that name and show things as real ones do.

use std::time::Duration;

use remount_core::documents::{OnFailure, RestoreRequest};
use remount_core::{DiskCid, ExitCode, RecoveryTarget};
use remount_flow::{
    FlowError, Quiet, ReleaseRequest, Selection, release_old_disks, rollback_restore, run_restore,
};
use remount_host::Pace;
use remount_sim::memory::{Fault, Rule};

use crate::support::Workbench;

/// How many seeds of a lagging cloud each flow is tried with.
const SEEDS: u64 = 40;

fn disk_of(bench: &Workbench, index: usize) -> DiskCid {
    bench.landscape.disks_of(index).0.unwrap()
}

#[tokio::test]
async fn a_manifest_tells_of_every_disk_what_it_is_and_both_names_of_its_zone() {
    let bench = Workbench::new();
    let manifest = bench.backup().await;
    let shape = |index| bench.landscape.shape_of(&disk_of(&bench, index)).unwrap();
    assert_eq!(manifest.disk.shape, shape(0));
    assert_eq!(
        (manifest.disk.az.as_deref(), manifest.disk.shape.zone.as_deref()),
        (Some("z1"), Some("memory-z1"))
    );
    assert_eq!(manifest.disk.shape.attributes.named().len(), 7);
    let other = &manifest.other_disks[..];
    assert_eq!(other.len(), 1);
    assert_eq!(
        (&other[0].instance, &other[0].shape, other[0].az.as_deref()),
        (&bench.landscape.slug(1), &shape(1), Some("z2"))
    );
}

#[tokio::test]
async fn a_new_disk_is_what_the_old_one_was_whether_it_exists_or_not() {
    for lost in [vec![], vec![0], vec![1], vec![0, 1]] {
        let bench = Workbench::new();
        let (wanted, target) = bench.disaster().await;
        let shapes = [0, 1].map(|index| bench.landscape.shape_of(&disk_of(&bench, index)).unwrap());
        for index in &lost {
            bench.landscape.stop_server(*index).await;
            let disk = disk_of(&bench, *index);
            bench.landscape.forget_vm(*index);
            bench.landscape.lose_disk(&disk);
        }
        bench.restore(target).await.unwrap_or_else(|error| panic!("without {lost:?}: {error:?}"));
        bench.assert_restored(&wanted).await;
        for (index, shape) in shapes.iter().enumerate() {
            let now = bench.landscape.shape_of(&disk_of(&bench, index)).unwrap();
            assert_eq!(now, *shape, "the disk of server {index}, without {lost:?}");
        }
    }
}

#[tokio::test]
async fn where_nothing_tells_the_clouds_zone_the_directors_is_not_taken_for_it() {
    let bench = Workbench::new();
    // The backup is taken while the standby has no disk, and nothing else was ever seen in its zone.
    let lost = disk_of(&bench, 1);
    bench.landscape.stop_server(1).await;
    bench.landscape.forget_vm(1);
    bench.landscape.lose_disk(&lost);
    let (_, target) = bench.disaster().await;
    let old = bench.old_state();
    let error = bench.restore(target).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unchanged);
    let FlowError::Refused { problems, .. } = &error else { panic!("{error:?}") };
    let what = &problems[0].what;
    assert!(what.contains("zone") && what.contains("z2") && problems.len() == 1, "{problems:?}");
    assert_eq!(bench.old_state(), old);
}

#[tokio::test]
async fn cids_of_several_parts_and_a_lagging_cloud_change_nothing() {
    for seed in 0..SEEDS {
        let bench = Workbench::lagging(seed);
        let (wanted, target) = bench.disaster().await;
        let old: Vec<DiskCid> = (0..2).map(|index| disk_of(&bench, index)).collect();
        let report = bench.restore(target).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        bench.assert_restored(&wanted).await;
        bench.assert_tidy().await;
        // Nobody deletes an old disk in the second after its restore.
        bench.landscape.settle();
        let selection = Selection::Restore(report.restore.clone());
        let release = ReleaseRequest { selection, by: "test".into() };
        let (cluster, now) = (bench.landscape.cluster().clone(), bench.landscape.now());
        let released = release_old_disks(&bench.ctx, &cluster, &release, now).await;
        let released = released.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_eq!(released.len(), old.len());
        assert_eq!(bench.landscape.disks().len(), 2, "seed {seed}: the old disks are gone");
    }
}

#[tokio::test]
async fn an_attach_that_broke_in_the_middle_is_seen_through_a_lagging_cloud() {
    for seed in 0..SEEDS {
        let bench = Workbench::lagging(seed);
        let (_, target) = bench.disaster().await;
        let old = bench.old_state();
        let slug = bench.landscape.slug(0);
        bench.landscape.inject(Rule::once("director.attach", Fault::HalfTask).about(&slug).times(2));
        let error = bench.restore(target).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Undone, "seed {seed}: {error:?}");
        bench.assert_undone(&old).await;
        bench.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_disk_whose_making_was_not_answered_is_not_leaked_by_a_lagging_cloud() {
    for seed in 0..SEEDS {
        let bench = Workbench::lagging(seed);
        let (_, target) = bench.disaster().await;
        let old = bench.old_state();
        bench.landscape.inject(Rule::once("cloud.create_disk", Fault::LoseAnswer));
        bench.landscape.inject(Rule::once("cloud.create_disk", Fault::Refuse).times(9));
        let error = bench.restore(target).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Undone, "seed {seed}: {error:?}");
        bench.assert_undone(&old).await;
    }
}

#[tokio::test]
async fn a_rollback_finds_its_disks_in_a_lagging_cloud() {
    for seed in 0..SEEDS {
        let bench = Workbench::lagging(seed);
        let (_, target) = bench.disaster().await;
        let old = bench.old_state();
        let request: RestoreRequest = bench.request(RecoveryTarget::clone(&target));
        run_restore(&bench.ctx, request.clone(), OnFailure::Rollback, &Quiet).await.unwrap();
        let cluster = bench.landscape.cluster().clone();
        rollback_restore(&bench.ctx, &cluster, &request.id, &Quiet)
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        bench.assert_undone_after_serving(&old).await;
    }
}

#[tokio::test]
async fn a_failed_backup_leaves_no_snapshot_in_a_lagging_cloud() {
    for seed in 0..SEEDS {
        let bench = Workbench::lagging(seed);
        bench.landscape.commit(5).await;
        bench.landscape.inject(Rule::once("server.end_backup", Fault::Refuse).times(9));
        bench.try_backup().await.unwrap_err();
        bench.landscape.heal();
        assert_eq!(bench.landscape.snapshots(), 0, "seed {seed}");
    }
}

/// A process that sleeps through the cloud's time has looked once: what it saw may be the past.
#[tokio::test]
async fn a_slow_machine_takes_no_lag_for_a_loss() {
    for seed in 0..SEEDS {
        let mut bench = Workbench::lagging(seed);
        bench.landscape.settles_within(Duration::from_millis(1));
        let slow = Duration::from_millis(2);
        bench.ctx.timeouts.poll = Pace { first: slow, longest: slow };
        let (wanted, target) = bench.disaster().await;
        bench.restore(target).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        bench.assert_restored(&wanted).await;
    }
}

/// What is never shown is told, by its name, and not waited for without an end.
#[tokio::test]
async fn a_lag_that_never_ends_is_reported() {
    let bench = Workbench::new();
    let (_, target) = bench.disaster().await;
    bench.landscape.lag_for_ever();
    bench.landscape.settles_within(Duration::from_millis(20));
    let backup = remount_core::report(&bench.try_backup().await.unwrap_err());
    assert!(backup.contains("the cloud gave up on snapshot"), "{backup}");
    let restore = remount_core::report(&bench.restore(target).await.unwrap_err());
    assert!(restore.contains("the cloud gave up on disk"), "{restore}");
}

//! Targets that do not name a state of the present line, and WAL that cannot be read: refused before anything stops.

use bytes::Bytes;
use remount_core::documents::{OnFailure, VerifyWal};
use remount_core::{ExitCode, OperatorError as _, RecoveryTarget, TimelineId};
use remount_flow::{FlowError, plan_restore, run_restore};
use remount_saga::Quiet;
use remount_store::Objects as _;

use crate::support::{Workbench, is_segment};

async fn refused(bench: &Workbench, target: RecoveryTarget) -> FlowError {
    let old = bench.old_state();
    let error = bench.restore(target).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unchanged, "{error}");
    bench.assert_undone(&old).await;
    error
}

#[tokio::test]
async fn a_time_that_the_cluster_lived_through_before_it_went_back_is_refused_until_its_timeline_is_named() {
    let bench = Workbench::new();
    let (first, earlier) = bench.disaster().await;
    let later_rows = bench.landscape.rows(0).unwrap();
    bench.landscape.advance(10);
    let later = RecoveryTarget::Time(bench.landscape.now());
    bench.landscape.advance(10);
    bench.restore(earlier).await.unwrap();
    bench.assert_restored(&first).await;
    let error = refused(&bench, later.clone()).await;
    assert!(error.to_string().contains("the cluster was on timeline 1 then"), "{error}");
    assert!(error.next_step().unwrap().contains("--timeline 1"), "{error:?}");

    let mut request = bench.request(later);
    request.target.timeline = Some(TimelineId::FIRST);
    run_restore(&bench.ctx, request, OnFailure::Rollback, &Quiet).await.unwrap();
    bench.assert_restored(&later_rows).await;
}

#[tokio::test]
async fn a_transaction_is_restored_from_a_backup_before_it_though_there_is_a_newer_one() {
    let bench = Workbench::new();
    let (_, _) = bench.disaster().await;
    let wanted = bench.landscape.rows(0).unwrap();
    let last = *wanted.last().unwrap();
    bench.landscape.commit(3).await;
    bench.backup().await;
    bench.landscape.commit(3).await;
    let report = bench.restore(RecoveryTarget::Xid(last)).await.unwrap();
    bench.assert_restored(&wanted).await;
    let backups = bench.ctx.store.cluster(bench.landscape.cluster()).survey_backups().await.unwrap().good;
    let first = backups.iter().min_by_key(|backup| backup.stop_lsn).unwrap();
    assert_eq!(report.plan.path.backup, first.id);
}

#[tokio::test]
async fn a_transaction_or_a_restore_point_that_never_was_stops_nothing() {
    let bench = Workbench::new();
    bench.disaster().await;
    for target in [RecoveryTarget::Xid(4_000_000), RecoveryTarget::Name("never made".into())] {
        let error = refused(&bench, target).await;
        assert!(error.to_string().contains("is not in the archive"), "{error}");
        assert!(error.next_step().unwrap().contains("--accept-unverified"), "{error:?}");
    }
    let mut request = bench.request(RecoveryTarget::Xid(4_000_000));
    request.target.accept_unverified = true;
    assert!(plan_restore(&bench.ctx, &request).await.is_ok(), "it was accepted");
}

/// Changes a byte behind the header of the last archived segment.
async fn damage(bench: &Workbench) -> String {
    let names = bench.object_names().await;
    let path = names.iter().rfind(|path| is_segment(path)).unwrap();
    let object = bench.objects.read(path).await.unwrap().unwrap();
    let mut content = object.content.to_vec();
    let last = content.len() - 1;
    content[last] ^= 1;
    bench.objects.delete(path).await.unwrap();
    bench.objects.create(path, Bytes::from(content), &object.metadata).await.unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn damaged_wal_is_found_before_anything_is_stopped() {
    let bench = Workbench::new();
    bench.disaster().await;
    bench.backup().await;
    let target = RecoveryTarget::Latest;
    let segment = damage(&bench).await;
    let error = refused(&bench, target.clone()).await;
    assert!(error.to_string().contains(&format!("WAL segment {segment}")), "{error}");
    for (verify, fine) in [(VerifyWal::All, false), (VerifyWal::None, true)] {
        let mut request = bench.request(target.clone());
        request.options.verify = verify;
        assert_eq!(plan_restore(&bench.ctx, &request).await.is_ok(), fine, "{verify:?}");
    }
}

/// "Does not exist" would send whoever knows that it does to look for a typing error.
#[tokio::test]
async fn a_backup_whose_manifest_is_damaged_is_told_as_such() {
    let bench = Workbench::new();
    bench.disaster().await;
    let named = bench.backup().await.id;
    bench.backup().await;
    let listed = bench.objects.list("clusters/").await.unwrap();
    let path = listed
        .into_iter()
        .map(|info| info.path)
        .find(|path| path.ends_with(&format!("backups/{named}.json")));
    let path = path.unwrap();
    let manifest = bench.objects.read(&path).await.unwrap().unwrap().content;
    let changed =
        String::from_utf8(manifest.to_vec()).unwrap().replace("postgres_version", "postgres_versiom");
    bench.objects.replace(&path, Bytes::from(changed)).await.unwrap();
    let error = refused(&bench, RecoveryTarget::Backup(named.clone())).await;
    let told = remount_core::report(&error);
    assert!(told.contains(&format!("the manifest of backup {named} is damaged")), "{told}");
    assert!(told.contains("signature") && !told.contains("does not exist"), "{told}");
}

//! Makes the plan of what a survey found. The rules are the core's; here their input is gathered.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use remount_core::documents::RestoreRequest;
use remount_core::documents::{
    BackupManifest, DiskShape, FORMAT, PlannedInstance, RecoveryPath, RestorePlan,
};
use remount_core::{
    ArchiveListing, MoreWal, RestoreTarget, Role, SystemIdentifier, WalSegment, plan_recovery,
};
use remount_director::Instance;
use remount_store::{ClusterStore, WalArchive};

use super::context::RestoreContext;
use super::new_disk;
use super::survey::Survey;
use super::target_search::{self, Question};
use crate::error::RUN_AGAIN;
use crate::{FlowContext, FlowError, Problem, Result};

/// Reads the archive; what is going to be added to it is known already.
///
/// # Errors
/// The store does not answer.
pub async fn archive(
    store: &ClusterStore,
    system: SystemIdentifier,
    more_to_come: MoreWal,
    question: &Question<'_>,
) -> Result<ArchiveListing> {
    let size = question.backups.iter().find(|backup| backup.system_identifier == system);
    let wal = store.wal(system);
    let wal = size.map_or(wal.clone(), |backup| wal.with_segments_of(backup.segment_size));
    let found = wal.listing().await.map_err(FlowError::store("list the archive"))?;
    let mut listing = ArchiveListing {
        system_identifier: system,
        segments: found.segments,
        histories: found.histories,
        commit_times: BTreeMap::new(),
        spans: Vec::new(),
        unknown_parts: Vec::new(),
        search: None,
        more_to_come,
    };
    let dates = listing.worth_dating().into_iter().map(|segment| date(&wal, segment));
    listing.commit_times = try_join_all(dates).await?.into_iter().flatten().collect();
    target_search::fill_in(&wal, &mut listing, question).await?;
    Ok(listing)
}

async fn date(wal: &WalArchive, segment: WalSegment) -> Result<Option<(WalSegment, Timestamp)>> {
    let commit = wal
        .last_commit(&segment)
        .await
        .map_err(FlowError::store(format!("read the last commit of segment {segment}")))?;
    Ok(commit.map(|commit| (segment, commit)))
}

/// Looks whether the archive, as it is now and with nothing to come, carries the plan.
///
/// # Errors
/// It does not; or the store does not answer.
pub async fn confirm(restore: &RestoreContext<'_>) -> Result<()> {
    let path = &restore.plan.path;
    let backups = restore.cluster.survey_backups().await.map_err(FlowError::store("read the backups"))?.good;
    let question = Question { backups: &backups, target: &restore.plan.target };
    let archive = archive(&restore.cluster, path.system_identifier, MoreWal::Nothing, &question).await?;
    let target = RestoreTarget { timeline: Some(path.history.timeline), ..restore.plan.target.clone() };
    match plan_recovery(&backups, &archive, &target) {
        Ok(found) if found.backup == path.backup && found.history == path.history => Ok(()),
        Ok(found) => {
            let what = format!(
                "the archive now leads to backup {} on timeline {} instead of backup {} on timeline {}",
                found.backup, found.history.timeline, path.backup, path.history.timeline
            );
            Err(FlowError::check(what, RUN_AGAIN))
        }
        Err(error) => {
            let Problem { what, next } = Problem::of(&error);
            Err(FlowError::Check { what, next })
        }
    }
}

/// The plan. What is not known of a disk that has to be made is added to `problems`: such a plan is never begun.
pub fn plan(
    ctx: &FlowContext,
    survey: &Survey,
    request: &RestoreRequest,
    backup: &BackupManifest,
    path: RecoveryPath,
    problems: &mut Vec<Problem>,
) -> RestorePlan {
    let mut planned = |instance: &Instance| planned_instance(survey, backup, instance, problems);
    let instances = survey.instances.iter().map(&mut planned).collect();
    RestorePlan {
        format: FORMAT,
        id: request.id.clone(),
        cluster: survey.cluster.clone(),
        deployment: request.deployment.clone(),
        group: request.group.clone(),
        created_at: Timestamp::now(),
        requested_by: request.requested_by.clone(),
        target: request.target.clone(),
        path,
        backup_label: backup.backup_label.clone(),
        tablespace_map: backup.tablespace_map.clone(),
        instances,
        pause: request.pause,
        revision: 1,
        estimate_seconds: 0.0,
        keep_old_disks_hours: ctx.old_disks.keep_hours,
        options: request.options,
        segments_verified: 0,
        accept_loss: request.accept_loss.clone(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn planned_instance(
    survey: &Survey,
    backup: &BackupManifest,
    instance: &Instance,
    problems: &mut Vec<Problem>,
) -> PlannedInstance {
    let new_disk = new_disk::shape(survey, backup, instance).unwrap_or_else(|problem| {
        problems.push(problem);
        DiskShape { zone: None, ..backup.disk.shape.clone() }
    });
    let role = if instance.slug == survey.primary { Role::Primary } else { Role::Standby };
    PlannedInstance {
        instance: instance.slug.clone(),
        role,
        old_disk: instance.disks.first().cloned(),
        new_disk,
        was_running: instance.desired == "started" && instance.is_running(),
    }
}

//! Makes the plan of what a survey found. The rules are the core's; here their input is gathered.

use jiff::Timestamp;
use remount_core::{
    BackupManifest, FORMAT, Lsn, PlannedInstance, RecoveryPath, RecoveryTarget, RestorePlan, RestoreTarget,
    Role, SystemIdentifier, TimelineHistory, WalSegment,
};
use remount_director::Instance;
use remount_postgres::ServerStatus;
use remount_store::{ClusterStore, RestoreRequest, WalListing};

use super::cx::Restore;
use super::survey::Survey;
use crate::wait::retrying;
use crate::{FlowContext, FlowError, Problem, Result};

/// The archive as planning sees it.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// What it holds; for a running primary also what step `last_wal` will have archived.
    pub listing: WalListing,
    /// The segments that are not archived yet, and the clock of the primary that will archive them.
    pub promised: Option<(WalSegment, Timestamp)>,
}

/// Reads the archive, and adds what a running primary is going to archive.
pub async fn archive(
    ctx: &FlowContext,
    store: &ClusterStore,
    system: SystemIdentifier,
    running: Option<&ServerStatus>,
) -> Result<Archive> {
    let wal = store.wal(system);
    let mut listing =
        retrying(ctx.timeouts.retry, || wal.listing()).await.map_err(FlowError::store("list the archive"))?;
    let promised = running.map(|status| promise(&mut listing, status));
    Ok(Archive { listing, promised })
}

/// A running primary archives all up to where it writes: from its newest archived segment on, never a gap
/// before that.
fn promise(listing: &mut WalListing, status: &ServerStatus) -> (WalSegment, Timestamp) {
    let size = status.segment_size;
    let current = WalSegment::containing(status.timeline, status.lsn, size);
    let on_timeline = listing.segments.range(..current).next_back();
    let from = on_timeline.filter(|segment| segment.timeline == status.timeline).copied();
    let mut next = from.map_or(current, |segment| segment.next(size));
    while next <= current {
        listing.segments.insert(next);
        next = next.next(size);
    }
    (current, status.now)
}

/// Looks whether the archive, as it is now, still carries the plan.
///
/// # Errors
/// It does not; or the store does not answer.
pub async fn confirm(cx: &Restore<'_>) -> Result<()> {
    let path = &cx.plan.path;
    let backups = retrying(cx.ctx.timeouts.retry, || cx.cluster.survey_backups())
        .await
        .map_err(FlowError::store("read the backups"))?
        .good;
    let archive = archive(cx.ctx, &cx.cluster, path.system_identifier, None).await?;
    let wal = cx.cluster.wal(path.system_identifier);
    let target = RestoreTarget { timeline: Some(path.history.timeline), ..cx.plan.target.clone() };
    let found = recovery_path(&backups, &archive, &wal, path.system_identifier, &target).await?;
    match found {
        Ok(found) if found.backup == path.backup && found.history == path.history => Ok(()),
        Ok(found) => {
            let what = format!("the archive now leads to backup {} instead of {}", found.backup, path.backup);
            Err(FlowError::check(what, "run the command again: it plans anew"))
        }
        Err(problem) => Err(FlowError::Check { what: problem.what, next: problem.next }),
    }
}

/// The plan.
pub fn plan(
    survey: &Survey,
    request: &RestoreRequest,
    backup: &BackupManifest,
    path: RecoveryPath,
) -> RestorePlan {
    let planned = |instance: &Instance| planned_instance(survey, backup, instance);
    RestorePlan {
        format: FORMAT,
        id: request.id.clone(),
        cluster: survey.cluster.clone(),
        deployment: request.deployment.clone(),
        created_at: Timestamp::now(),
        requested_by: request.requested_by.clone(),
        target: request.target.clone(),
        path,
        backup_label: backup.backup_label.clone(),
        tablespace_map: backup.tablespace_map.clone(),
        instances: survey.instances.iter().map(planned).collect(),
        estimate_seconds: 0.0,
        tool_version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn planned_instance(survey: &Survey, backup: &BackupManifest, instance: &Instance) -> PlannedInstance {
    let old_disk = instance.disks.first().cloned();
    let old = old_disk.as_ref().and_then(|cid| survey.disks.get(cid));
    let role = if instance.slug == survey.primary { Role::Primary } else { Role::Standby };
    PlannedInstance {
        instance: instance.slug.clone(),
        role,
        az: old.map_or_else(|| instance.az.clone(), |disk| disk.az.clone()),
        disk_size_mib: old.map_or(0, |disk| disk.size_mib).max(backup.disk_size_mib),
        disk_type: old.map_or_else(|| backup.disk_type.clone(), |disk| disk.disk_type.clone()),
        old_disk,
        was_running: instance.desired == "started" && instance.is_running(),
    }
}

/// Which backup to begin from and which WAL to replay.
///
/// # Errors
/// The store does not answer. That there is no way to the target is an answer.
pub async fn recovery_path(
    backups: &[BackupManifest],
    archive: &Archive,
    wal: &remount_store::WalArchive,
    system: SystemIdentifier,
    wanted: &RestoreTarget,
) -> Result<Result<RecoveryPath, Problem>> {
    // LOCAL STAND-IN until the core's plan_recovery is merged.
    let listing = &archive.listing;
    let newest = listing.segments.iter().map(|s| s.timeline).chain(listing.histories.keys().copied()).max();
    let timeline = wanted.timeline.or(newest).unwrap_or(remount_core::TimelineId::FIRST);
    let history = listing.histories.get(&timeline).cloned().unwrap_or_else(TimelineHistory::first);
    let usable = |backup: &&BackupManifest| {
        backup.system_identifier == system
            && history.includes(backup.timeline)
            && history.left(backup.timeline).is_none_or(|left| backup.stop_lsn <= left)
            && match &wanted.target {
                RecoveryTarget::Time(time) => backup.stopped_at <= *time,
                RecoveryTarget::Lsn(lsn) => backup.stop_lsn <= *lsn,
                RecoveryTarget::Backup(id) => backup.id == *id,
                _ => true,
            }
    };
    let Some(backup) = backups.iter().filter(usable).max_by_key(|backup| backup.stop_lsn) else {
        return Ok(Err(Problem::new("no backup lies before the target", "choose a later target")));
    };
    let size = backup.segment_size;
    let first = backup.start_lsn.0 / u64::from(size.bytes());
    let last_needed = match &wanted.target {
        RecoveryTarget::Lsn(lsn) => Some(*lsn),
        RecoveryTarget::Backup(_) => Some(Lsn(backup.stop_lsn.0.saturating_sub(1))),
        _ => None,
    };
    let mut number = first;
    let mut last = None;
    let mut covered = false;
    loop {
        let segment = history.expected(number, size);
        if !listing.segments.contains(&segment) {
            break;
        }
        last = Some(segment);
        if let RecoveryTarget::Time(time) = &wanted.target {
            let commit = match &archive.promised {
                Some((promised, now)) if segment >= *promised => Some(*now),
                _ => wal.last_commit(&segment).await.map_err(FlowError::store("read a commit time"))?,
            };
            covered |= commit.is_some_and(|commit| commit >= *time);
        }
        if covered || last_needed.is_some_and(|lsn| lsn < segment.end(size)) {
            covered = true;
            break;
        }
        number += 1;
    }
    let bounded =
        matches!(wanted.target, RecoveryTarget::Time(_) | RecoveryTarget::Lsn(_) | RecoveryTarget::Backup(_));
    let Some(last) = last.filter(|_| covered || !bounded) else {
        return Ok(Err(Problem::new("the target is beyond the archive", "choose an earlier target")));
    };
    let new_timeline = (newest.unwrap_or(timeline)).next().unwrap_or(timeline);
    Ok(Ok(RecoveryPath {
        backup: backup.id.clone(),
        snapshot: backup.snapshot.cid.clone(),
        system_identifier: system,
        segment_size: size,
        history: history.clone(),
        new_timeline,
        start_lsn: backup.start_lsn,
        consistent_lsn: backup.stop_lsn,
        minimum_lsn: backup.stop_lsn,
        segments: (history.expected(first, size), last),
    }))
}

//! The backup that a restore begins from.

use super::{Aim, PlanError};
use crate::documents::BackupManifest;
use crate::{ArchiveListing, BackupId, Lsn, RecoveryTarget, RestoreTarget, TimelineHistory};

/// Where a backup lies, seen from a timeline history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackupPosition {
    /// Whole on the history: it can serve.
    OnHistory,
    /// Its timeline left, or began, while it was taken.
    ForkInside(Lsn),
    /// On a timeline that the history does not have, or on a part that was left.
    Elsewhere,
}

/// Where the backup lies, seen from the history.
pub(super) fn position(backup: &BackupManifest, history: &TimelineHistory) -> BackupPosition {
    if !history.includes(backup.timeline) {
        return BackupPosition::Elsewhere;
    }
    let begun = history.forks.iter().rfind(|fork| fork.parent < backup.timeline).map(|fork| fork.lsn);
    match (begun, history.left(backup.timeline)) {
        (Some(begun), _) if backup.start_lsn < begun => BackupPosition::ForkInside(begun),
        (_, Some(left)) if backup.start_lsn >= left => BackupPosition::Elsewhere,
        (_, Some(left)) if backup.stop_lsn > left => BackupPosition::ForkInside(left),
        _ => BackupPosition::OnHistory,
    }
}

/// The backup that the target names, as its end or as its beginning.
pub(super) fn named(target: &RestoreTarget) -> Option<&BackupId> {
    match &target.target {
        RecoveryTarget::Backup(id) => Some(id),
        _ => target.from_backup.as_ref(),
    }
}

/// The backups with the archive's system identifier: at least one.
pub(super) fn of_this_cluster<'a>(
    manifests: &'a [BackupManifest],
    archive: &ArchiveListing,
    target: &RestoreTarget,
) -> Result<Vec<&'a BackupManifest>, PlanError> {
    let ours = |backup: &&BackupManifest| backup.system_identifier == archive.system_identifier;
    let other_cluster = |backup: &BackupManifest| PlanError::OtherCluster {
        archive: archive.system_identifier,
        backup: backup.id.clone(),
        found: backup.system_identifier,
    };
    if let Some(id) = named(target) {
        let found = manifests.iter().find(|backup| backup.id == *id);
        let backup = found.ok_or_else(|| PlanError::UnknownBackup(id.clone()))?;
        if !ours(&backup) {
            return Err(other_cluster(backup));
        }
    }
    let backups: Vec<_> = manifests.iter().filter(ours).collect();
    match manifests.iter().max_by_key(|backup| backup.stopped_at) {
        _ if !backups.is_empty() => Ok(backups),
        Some(newest) => Err(other_cluster(newest)),
        None => Err(PlanError::NoBackup(archive.system_identifier)),
    }
}

/// The newest backup on the history that ends before the target, or the named one.
pub(super) fn choose<'a>(
    backups: &[&'a BackupManifest],
    archive: &ArchiveListing,
    history: &TimelineHistory,
    aim: &Aim<'_>,
) -> Result<&'a BackupManifest, PlanError> {
    let target = aim.target;
    if let Some(id) = named(target) {
        return choose_named(backups, history, aim, id);
    }
    let (on_history, beside): (Vec<&BackupManifest>, Vec<_>) =
        backups.iter().partition(|backup| position(backup, history) == BackupPosition::OnHistory);
    if let Some(backup) = newest(on_history.iter().copied().filter(|backup| ends_before(backup, aim))) {
        return Ok(backup);
    }
    let could_have_served = beside.into_iter().filter(|backup| ends_before(backup, aim));
    if let Some(backup) = newest(could_have_served) {
        return Err(misplaced(backup, history));
    }
    let first = on_history.into_iter().min_by_key(|backup| (backup.stop_lsn, &backup.id));
    let first = first.or_else(|| backups.iter().copied().min_by_key(|backup| backup.stopped_at));
    Err(first.map_or(PlanError::NoBackup(archive.system_identifier), |first| PlanError::BeforeFirstBackup {
        target: target.target.clone(),
        first: first.id.clone(),
        stop_lsn: first.stop_lsn,
        stopped_at: first.stopped_at,
    }))
}

fn choose_named<'a>(
    backups: &[&'a BackupManifest],
    history: &TimelineHistory,
    aim: &Aim<'_>,
    id: &BackupId,
) -> Result<&'a BackupManifest, PlanError> {
    let found = backups.iter().copied().find(|backup| backup.id == *id);
    let backup = found.ok_or_else(|| PlanError::UnknownBackup(id.clone()))?;
    if position(backup, history) != BackupPosition::OnHistory {
        return Err(misplaced(backup, history));
    }
    if ends_before(backup, aim) {
        return Ok(backup);
    }
    Err(PlanError::BeforeNamedBackup {
        target: aim.target.target.clone(),
        backup: id.clone(),
        stop_lsn: backup.stop_lsn,
        stopped_at: backup.stopped_at,
    })
}

/// The youngest. All of them end before the target, so the last to begin needs the least WAL: where it
/// meets a gap, every other does too. Ids break a tie, so that the answer is always the same.
fn newest<'a>(backups: impl Iterator<Item = &'a BackupManifest>) -> Option<&'a BackupManifest> {
    backups.max_by_key(|backup| (backup.start_lsn, backup.stop_lsn, &backup.id))
}

/// Whether the backup is consistent at the target. Where an unverified one lies is not known.
fn ends_before(backup: &BackupManifest, aim: &Aim<'_>) -> bool {
    match &aim.target.target {
        RecoveryTarget::Time(time) => backup.stopped_at <= *time,
        RecoveryTarget::Lsn(lsn) => backup.stop_lsn <= *lsn,
        RecoveryTarget::Backup(id) => backup.id == *id,
        RecoveryTarget::Latest => true,
        RecoveryTarget::Xid(_) | RecoveryTarget::Name(_) => {
            aim.mark.is_none_or(|mark| backup.stop_lsn <= mark.begins)
        }
    }
}

fn misplaced(backup: &BackupManifest, history: &TimelineHistory) -> PlanError {
    match position(backup, history) {
        BackupPosition::ForkInside(fork) => PlanError::ForkInsideBackup {
            backup: backup.id.clone(),
            start_lsn: backup.start_lsn,
            stop_lsn: backup.stop_lsn,
            timeline: backup.timeline,
            fork,
        },
        BackupPosition::OnHistory | BackupPosition::Elsewhere => PlanError::AbandonedBackup {
            backup: backup.id.clone(),
            timeline: backup.timeline,
            wanted: history.timeline,
        },
    }
}

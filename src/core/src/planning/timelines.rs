//! The timeline history: which one a restore follows, and which number comes after it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::PlanError;
use super::base::{self, BackupPosition};
use crate::documents::BackupManifest;
use crate::{
    ArchiveListing, RecoveryTarget, RestoreTarget, SegmentSize, TimelineHistory, TimelineId, WalSegment,
    Witness,
};

/// The history on which the target lies. `backups` is not empty.
pub(super) fn resolve(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    target: &RestoreTarget,
) -> Result<TimelineHistory, PlanError> {
    if let Some(timeline) = target.timeline {
        refuse_an_unknown_timeline(backups, archive, timeline)?;
        return history(archive, timeline);
    }
    if let RecoveryTarget::Backup(id) = &target.target {
        let backup = backups.iter().find(|backup| backup.id == *id);
        let backup = backup.ok_or_else(|| PlanError::UnknownBackup(id.clone()))?;
        return history(archive, backup.timeline);
    }
    if let Some(primary) = archive.primary() {
        return history(archive, primary.timeline);
    }
    if let Some(last) = archive.last_written().filter(|last| last.witness == Witness::Primary) {
        return history(archive, last.timeline);
    }
    let newest = history(archive, newest(backups, archive))?;
    if let Some(last) = archive.last_written().filter(|last| !newest.holds(last.timeline, last.end)) {
        let followed = history(archive, last.timeline)?;
        refuse_an_unclear_timeline(backups, archive, &followed)?;
        return Ok(followed);
    }
    refuse_an_unclear_timeline(backups, archive, &newest)?;
    Ok(newest)
}

/// The archive of one that was lost may have its history file lost with it: what anything tells of is known.
fn refuse_an_unknown_timeline(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    wanted: TimelineId,
) -> Result<(), PlanError> {
    let histories = archive.histories.iter();
    let of_histories = histories
        .flat_map(|(own, history)| history.forks.iter().map(|fork| fork.parent).chain(std::iter::once(*own)));
    let known: BTreeSet<TimelineId> = (archive.segments.iter().map(|segment| segment.timeline))
        .chain(of_histories)
        .chain(backups.iter().map(|backup| backup.timeline))
        .chain(archive.primary().map(|primary| primary.timeline))
        .collect();
    // A cluster begins on the first, whatever is left of it.
    if wanted == TimelineId::FIRST || known.contains(&wanted) {
        return Ok(());
    }
    Err(PlanError::UnknownTimeline { wanted, known: known.into_iter().collect() })
}

/// The youngest timeline of which anything is known. Backups count: where a timeline's WAL and history
/// are lost but a backup of it exists, an older timeline is not the answer.
fn newest(backups: &[&BackupManifest], archive: &ArchiveListing) -> TimelineId {
    let histories = archive.histories.keys().copied();
    let segments = archive.segments.last().map(|segment| segment.timeline);
    let of_backups = backups.iter().map(|backup| backup.timeline);
    histories.chain(segments).chain(of_backups).max().unwrap_or(TimelineId::FIRST)
}

/// The archived history of a timeline. Every ancestor's has to be there too: standbys ask for them.
fn history(archive: &ArchiveListing, wanted: TimelineId) -> Result<TimelineHistory, PlanError> {
    let archived = |timeline| match archive.histories.get(&timeline) {
        Some(history) => Ok(history.clone()),
        None if timeline == TimelineId::FIRST => Ok(TimelineHistory::first()),
        None => Err(PlanError::MissingHistory { missing: timeline, wanted }),
    };
    let history = archived(wanted)?;
    for fork in &history.forks {
        archived(fork.parent)?;
    }
    Ok(history)
}

/// With no running primary to ask, the newest timeline is the cluster's unless another one lived longer:
/// a restore that was rolled back leaves a young timeline behind while the cluster goes on on the old one.
/// Following it would lose everything since, so where the signs contradict the operator decides.
fn refuse_an_unclear_timeline(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    history: &TimelineHistory,
) -> Result<(), PlanError> {
    let newest = history.timeline;
    let signs = signs_of_life(backups, archive, history);
    let Some(&newest_at) = signs.get(&newest) else {
        return Ok(());
    };
    match signs.iter().max_by_key(|(_, at)| **at) {
        Some((&other, &other_at)) if other_at > newest_at => {
            Err(PlanError::TimelineUnclear { newest, newest_at, other, other_at })
        }
        _ => Ok(()),
    }
}

/// The last commit or backup known of the history (under its youngest timeline), and of each timeline's
/// parts beside it.
fn signs_of_life(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    history: &TimelineHistory,
) -> BTreeMap<TimelineId, Timestamp> {
    let mut signs: BTreeMap<TimelineId, Timestamp> = BTreeMap::new();
    let mut note = |timeline, on_history, at: Timestamp| {
        let timeline = if on_history { history.timeline } else { timeline };
        signs.entry(timeline).and_modify(|last| *last = at.max(*last)).or_insert(at);
    };
    let size = backups.first().map_or(SegmentSize::DEFAULT, |backup| backup.segment_size);
    for (segment, at) in archive.commit_times.iter().filter(|(segment, _)| segment.fits(size)) {
        // The parent's own copy of the fork segment holds both: what the history has, and what it left.
        let on_history = history.expected(segment.number(size), size) == *segment;
        note(segment.timeline, on_history, *at);
    }
    for backup in backups {
        note(
            backup.timeline,
            base::position(backup, history) == BackupPosition::OnHistory,
            backup.stopped_at,
        );
    }
    signs
}

/// The number that the promotion will take.
///
/// # Source
/// `findNewestTimeLine` of PostgreSQL: it asks the archive for the history file of each number above the
/// target timeline in turn and takes the first that is missing.
pub(super) fn next_timeline(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    followed: TimelineId,
) -> Result<TimelineId, PlanError> {
    let mut last = followed;
    let free = loop {
        let Some(next) = last.next() else {
            return Err(PlanError::TimelineTaken { timeline: last });
        };
        if !archive.histories.contains_key(&next) {
            break next;
        }
        last = next;
    };
    if was_used(backups, archive, free) { Err(PlanError::TimelineTaken { timeline: free }) } else { Ok(free) }
}

/// Whether anything but its history file tells of the timeline.
fn was_used(backups: &[&BackupManifest], archive: &ArchiveListing, timeline: TimelineId) -> bool {
    let mut segments = archive.segments.iter().map(|segment: &WalSegment| segment.timeline);
    segments.any(|other| other == timeline)
        || backups.iter().any(|backup| backup.timeline == timeline)
        || archive.histories.values().any(|history| history.left(timeline).is_some())
}

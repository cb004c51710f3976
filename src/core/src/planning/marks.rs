//! Where a transaction or a restore point lies, by what a search of the archive has found.

use super::PlanError;
use super::base;
use crate::documents::BackupManifest;
use crate::{
    ArchiveListing, Lsn, MarkKind, RecoveryTarget, RestoreTarget, TargetSearch, TimelineHistory, WalMark,
};

/// The record at which replay will stop; none for targets that are no record, and for one that nobody has found and
/// the operator accepts all the same.
pub(super) fn locate(
    backups: &[&BackupManifest],
    archive: &ArchiveListing,
    history: &TimelineHistory,
    target: &RestoreTarget,
) -> Result<Option<WalMark>, PlanError> {
    if !matches!(target.target, RecoveryTarget::Xid(_) | RecoveryTarget::Name(_)) {
        return Ok(None);
    }
    let nobody_looked = TargetSearch::default();
    let search = archive.search.as_ref().unwrap_or(&nobody_looked);
    let (mut here, beside): (Vec<WalMark>, Vec<_>) =
        search.found.iter().copied().partition(|mark| is_on(archive, history, mark));
    here.sort_by_key(|mark| mark.begins);
    here.dedup_by_key(|mark| mark.begins); // A child's first segment begins with a copy of its parent's.
    let ends: Vec<WalMark> = here.iter().copied().filter(|mark| mark.kind.ends_replay()).collect();
    if let Some(mark) = choose(&ends, backups, target)? {
        return Ok(Some(mark));
    }
    let part = here.iter().chain(&beside).find_map(|mark| match mark.kind {
        MarkKind::PartOf(whole) => Some(whole),
        _ => None,
    });
    if let (RecoveryTarget::Xid(xid), Some(whole)) = (&target.target, part) {
        return Err(PlanError::PartOfTransaction { xid: *xid, whole });
    }
    if let Some(mark) = beside.iter().find(|mark| mark.kind.ends_replay()) {
        let (target, wanted) = (target.target.clone(), history.timeline);
        return Err(PlanError::AbandonedTarget { target, wanted, holder: mark.segment.timeline });
    }
    if target.accept_unverified {
        return Ok(None);
    }
    Err(PlanError::Unverified {
        target: target.target.clone(),
        prepared: here.iter().find(|mark| mark.kind == MarkKind::Prepared).map(|mark| mark.begins),
        searched: search.searched,
        unread: search.unread,
        running: archive.primary().is_some(),
    })
}

/// The record that is meant. A transaction's number may have come round, and the last one is meant; a restore point's
/// name may have been given twice, and PostgreSQL stops at the first that it meets.
fn choose(
    ends: &[WalMark],
    backups: &[&BackupManifest],
    target: &RestoreTarget,
) -> Result<Option<WalMark>, PlanError> {
    let RecoveryTarget::Name(_) = &target.target else { return Ok(ends.last().copied()) };
    let from = base::named(target).and_then(|id| backups.iter().find(|backup| backup.id == *id));
    if let Some(from) = from {
        let met = ends.iter().find(|mark| mark.begins >= from.stop_lsn);
        return Ok(met.or(ends.first()).copied());
    }
    match ends {
        [] | [_] => Ok(ends.first().copied()),
        several => Err(PlanError::SeveralPoints {
            target: target.target.clone(),
            places: several.iter().map(|mark| (mark.begins, mark.time)).collect(),
        }),
    }
}

/// Whether the record is one of the history: it has the same owner there as on the timeline that archived it.
fn is_on(archive: &ArchiveListing, history: &TimelineHistory, mark: &WalMark) -> bool {
    let own = archive.histories.get(&mark.segment.timeline);
    let owner = own.map_or(mark.segment.timeline, |own| own.owner_of(mark.begins));
    history.owner_of(mark.begins) == owner
}

/// Where replay stands when it stops for the record.
pub(super) fn stands_at(mark: &WalMark, target: &RestoreTarget, page_header_bytes: u64) -> Lsn {
    if target.exclusive { Lsn(mark.begins.0.saturating_sub(page_header_bytes)) } else { mark.ends }
}

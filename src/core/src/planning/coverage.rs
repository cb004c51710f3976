//! Whether the WAL from the backup to the target is there, and how far replay has to get.

use jiff::Timestamp;

use super::wal::Wal;
use super::{Aim, PlanError, base, marks};
use crate::documents::BackupManifest;
use crate::{ArchiveListing, Lsn, RecoveryTarget, RestoreTarget, TimelineHistory, WalMark, WalSegment};

/// A page of WAL begins with a header of up to this many bytes. A target may point behind it, at the
/// first record, while the replay that stops before that record ends in front of it.
const PAGE_HEADER_BYTES: u64 = 40;

/// Backends stamp a commit before they write it, so the times in the WAL do not rise strictly. Commits
/// closer than this to the target time prove nothing about how far replay gets.
const COMMIT_ORDER_SECONDS: i64 = 60;

/// What replay has to do to reach the target.
#[derive(Debug)]
pub(super) struct Reached {
    /// The timeline history that recovery follows.
    pub(super) history: TimelineHistory,
    /// The first and the last segment needed.
    pub(super) segments: (WalSegment, WalSegment),
    /// Replay has to reach at least this position.
    pub(super) minimum_lsn: Lsn,
}

/// A time that has not come cannot be restored: PostgreSQL would replay everything and then fail.
pub(super) fn refuse_the_future(archive: &ArchiveListing, target: &RestoreTarget) -> Result<(), PlanError> {
    match (&target.target, archive.primary()) {
        (RecoveryTarget::Time(time), Some(primary)) if *time > primary.now => {
            Err(PlanError::InFuture { target: target.target.clone(), now: primary.now })
        }
        _ => Ok(()),
    }
}

/// Follows the history from the backup to the target.
pub(super) fn cover(
    backups: &[&BackupManifest],
    backup: &BackupManifest,
    archive: &ArchiveListing,
    history: TimelineHistory,
    aim: &Aim<'_>,
) -> Result<Reached, PlanError> {
    let target = aim.target;
    let wal = Wal::from(backups, backup, archive, &history);
    let search = Search { backups, wal, target };
    if search.wal.missing <= search.wal.stop {
        return Err(search.gap());
    }
    match &target.target {
        RecoveryTarget::Backup(_) => Ok(search.reached(search.wal.stop, backup.stop_lsn)),
        RecoveryTarget::Lsn(lsn) => search.lsn(*lsn),
        RecoveryTarget::Time(time) => search.time(*time),
        RecoveryTarget::Latest => search.latest(),
        RecoveryTarget::Xid(_) | RecoveryTarget::Name(_) => {
            if let Some(mark) = &aim.mark {
                return search.mark(mark);
            }
            Ok(search.reached_on_whole_history(search.to_the_end()?, backup.stop_lsn))
        }
    }
}

/// One search for one target, along one history from one backup.
struct Search<'a> {
    backups: &'a [&'a BackupManifest],
    wal: Wal<'a>,
    target: &'a RestoreTarget,
}

impl Search<'_> {
    fn lsn(&self, lsn: Lsn) -> Result<Reached, PlanError> {
        let number = self.wal.number(lsn);
        let minimum = if self.target.exclusive { lsn.0.saturating_sub(PAGE_HEADER_BYTES) } else { lsn.0 };
        if number < self.wal.missing {
            return Ok(self.reached(number, Lsn(minimum)));
        }
        let written = self.wal.will_be_archived(number).is_some_and(|primary| lsn <= primary.lsn);
        if written && self.wal.will_be_archived(self.wal.missing).is_some() {
            return Ok(self.reached(number, Lsn(minimum)));
        }
        if written || number <= self.wal.end.unwrap_or(0).max(self.wal.proven) {
            return Err(self.gap());
        }
        let elsewhere = self.wal.beside().filter(|segment| segment.number(self.wal.size) == number);
        Err(self.not_on_history(elsewhere.last()))
    }

    /// A record was read in the archive, so that only a gap before it can be in the way.
    fn mark(&self, mark: &WalMark) -> Result<Reached, PlanError> {
        let last = self.wal.number(Lsn(mark.ends.0.saturating_sub(1)));
        if last >= self.wal.missing {
            return Err(self.gap());
        }
        Ok(self.reached(last, marks::stands_at(mark, self.target, PAGE_HEADER_BYTES)))
    }

    fn time(&self, time: Timestamp) -> Result<Reached, PlanError> {
        let minimum = self.replayed_at(time);
        let later = |commit: Timestamp| self.stops_at(commit, time);
        if let Some(last) =
            (self.wal.first..self.wal.missing).find(|n| self.wal.commit(*n).is_some_and(later))
        {
            return Ok(self.reached(last.max(self.wal.stop), minimum));
        }
        let last = self.to_the_end()?;
        if self.wal.primary_on_history().is_some() {
            return Ok(self.reached_on_whole_history(last, minimum));
        }
        let times = &self.wal.archive.commit_times;
        let elsewhere = self.wal.beside().filter(|segment| times.get(segment).copied().is_some_and(later));
        Err(self.not_on_history(elsewhere.last()))
    }

    fn latest(&self) -> Result<Reached, PlanError> {
        let archived = self.to_the_end()?;
        Ok(match self.wal.primary_on_history() {
            // Everything it has flushed will be archived before it is stopped.
            Some(primary) => {
                let last = self.wal.number(Lsn(primary.lsn.0.saturating_sub(1)));
                self.reached_on_whole_history(last.max(archived), primary.lsn)
            }
            None => self.reached_on_whole_history(archived, self.wal.expected(archived).start(self.wal.size)),
        })
    }

    /// The last segment of the history, where none before it is missing.
    fn to_the_end(&self) -> Result<u64, PlanError> {
        let end = self.wal.end_of_history();
        if self.wal.missing > end {
            return Ok(end);
        }
        // Where the primary is on another timeline, this history's own first segment will never come.
        let primary = self.wal.primary_on_history();
        match primary.and_then(|_| self.wal.will_be_archived(self.wal.missing)) {
            Some(_) => Ok(self.wal.missing.saturating_sub(1)),
            None => Err(self.gap()),
        }
    }

    /// Replay up to the segment `last`. The history ends with that segment's timeline: a history in which
    /// the new timeline leaves its parent before the parent began would puzzle every later reader.
    fn reached(&self, last: u64, minimum: Lsn) -> Reached {
        let mut reached = self.reached_on_whole_history(last, minimum);
        reached.history = reached.history.up_to(reached.segments.1.timeline);
        reached
    }

    fn reached_on_whole_history(&self, last: u64, minimum: Lsn) -> Reached {
        Reached {
            history: self.wal.history.clone(),
            segments: (self.wal.expected(self.wal.first), self.wal.expected(last)),
            minimum_lsn: minimum.max(self.wal.backup.stop_lsn),
        }
    }

    /// Whether PostgreSQL stops before a commit of this time.
    fn stops_at(&self, commit: Timestamp, time: Timestamp) -> bool {
        commit > time || self.target.exclusive && commit == time
    }

    /// The end of the last segment that replay to `time` surely passes.
    fn replayed_at(&self, time: Timestamp) -> Lsn {
        let surely_passed = |commit: &Timestamp| commit.as_second() < time.as_second() - COMMIT_ORDER_SECONDS;
        let dated = (self.wal.first..self.wal.missing).filter_map(|n| Some((n, self.wal.commit(n)?)));
        let passed = dated.take_while(|(_, commit)| surely_passed(commit)).last();
        passed.map_or(self.wal.backup.stop_lsn, |(n, _)| self.wal.expected(n).end(self.wal.size))
    }

    fn not_on_history(&self, holder: Option<&WalSegment>) -> PlanError {
        let (target, wanted) = (self.target.target.clone(), self.wal.history.timeline);
        match holder {
            Some(segment) => PlanError::AbandonedTarget { target, wanted, holder: segment.timeline },
            None => PlanError::BeyondEnd {
                target,
                wanted,
                end: self.wal.end_lsn(),
                commit: self.wal.last_commit(),
            },
        }
    }

    fn gap(&self) -> PlanError {
        let missing = self.wal.expected(self.wal.missing);
        let on_history: Vec<&BackupManifest> = self
            .backups
            .iter()
            .copied()
            .filter(|backup| base::position(backup, self.wal.history) == base::BackupPosition::OnHistory)
            .collect();
        let reachable = |backup: &&BackupManifest| {
            Wal::from(self.backups, backup, self.wal.archive, self.wal.history).reachable()
        };
        let ends_before = |backup: &&&BackupManifest| backup.stop_lsn <= missing.start(self.wal.size);
        let begins_after = |backup: &&&BackupManifest| self.wal.number(backup.start_lsn) > self.wal.missing;
        let before = on_history.iter().filter(ends_before).max_by_key(|backup| backup.stop_lsn);
        let after = on_history.iter().filter(begins_after).min_by_key(|backup| backup.stop_lsn);
        PlanError::Gap {
            missing,
            before: before.and_then(reachable).map(Box::new),
            after: after.and_then(reachable).map(Box::new),
            retry: self.wal.may_be_filled(),
        }
    }
}

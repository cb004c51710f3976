//! The WAL along one timeline history, from one backup on.

use jiff::Timestamp;

use super::Reachable;
use super::base::{self, BackupPosition};
use crate::documents::BackupManifest;
use crate::{ArchiveListing, Lsn, Retry, RunningPrimary, SegmentSize, TimelineHistory, WalSegment};

/// What is archived of one history, from one backup on. Numbers are those of segments.
pub(super) struct Wal<'a> {
    pub(super) backup: &'a BackupManifest,
    pub(super) archive: &'a ArchiveListing,
    pub(super) history: &'a TimelineHistory,
    pub(super) size: SegmentSize,
    /// The segment where replay begins.
    pub(super) first: u64,
    /// The segment where the backup ends.
    pub(super) stop: u64,
    /// The last segment in which any backup of the history ends. A backup is written down when that segment is
    /// archived: up to here WAL existed, and what is missing of it will not come again.
    pub(super) proven: u64,
    /// The first segment from `first` on that the archive has not.
    pub(super) missing: u64,
    /// The last segment of the history that it has.
    pub(super) end: Option<u64>,
}

impl<'a> Wal<'a> {
    pub(super) fn from(
        backups: &[&BackupManifest],
        backup: &'a BackupManifest,
        archive: &'a ArchiveListing,
        history: &'a TimelineHistory,
    ) -> Self {
        let size = backup.segment_size;
        let number = |lsn: u64| lsn / u64::from(size.bytes());
        let last = |backup: &BackupManifest| number(backup.stop_lsn.0.saturating_sub(1));
        let first = number(backup.start_lsn.0);
        let stop = last(backup).max(first);
        let on_history =
            backups.iter().filter(|other| base::position(other, history) == BackupPosition::OnHistory);
        let proven = on_history.map(|other| last(other)).max().unwrap_or(stop).max(stop);
        let mut wal = Self { backup, archive, history, size, first, stop, proven, missing: first, end: None };
        wal.missing = wal.first_missing();
        wal.end = wal.archive.segments.iter().filter(|s| wal.is_on_history(s)).map(|s| s.number(size)).max();
        wal
    }

    /// Every step but the last finds a segment of the archive, so it takes no more than there are.
    fn first_missing(&self) -> u64 {
        let limit = self.first.saturating_add(self.archive.segments.len() as u64);
        let absent = |n: &u64| !self.archive.segments.contains(&self.expected(*n));
        (self.first..limit).find(absent).unwrap_or(limit)
    }

    pub(super) fn number(&self, lsn: Lsn) -> u64 {
        lsn.0 / u64::from(self.size.bytes())
    }

    /// The one segment that is to be read for this number.
    pub(super) fn expected(&self, number: u64) -> WalSegment {
        self.history.expected(number, self.size)
    }

    fn is_on_history(&self, segment: &WalSegment) -> bool {
        segment.fits(self.size) && self.expected(segment.number(self.size)) == *segment
    }

    /// The archived segments that are not to be read on this history: those of other branches.
    pub(super) fn beside(&self) -> impl Iterator<Item = &'a WalSegment> {
        let of_other_branches =
            |segment: &&WalSegment| segment.fits(self.size) && !self.is_on_history(segment);
        self.archive.segments.iter().filter(of_other_branches)
    }

    /// The last commit of a segment of the history, where known.
    pub(super) fn commit(&self, number: u64) -> Option<Timestamp> {
        self.archive.commit_times.get(&self.expected(number)).copied()
    }

    /// The last commit known between the backup and the first gap.
    pub(super) fn last_commit(&self) -> Option<Timestamp> {
        (self.first..self.missing).filter_map(|n| self.commit(n)).max()
    }

    /// The segment that the history reaches at least: a timeline without any of its own segments would have
    /// recovery end before the fork, and a promotion there would contradict its history.
    pub(super) fn end_of_history(&self) -> u64 {
        let birth = self.history.forks.last().map_or(0, |fork| self.number(fork.lsn));
        self.end.unwrap_or(0).max(birth).max(self.proven)
    }

    /// The primary that writes this history, where it runs.
    pub(super) fn primary_on_history(&self) -> Option<&'a RunningPrimary> {
        self.archive.primary().filter(|primary| primary.timeline == self.history.timeline)
    }

    /// The primary that still has to archive this segment: one after all that ever was archived of its
    /// history and of its timeline.
    pub(super) fn will_be_archived(&self, number: u64) -> Option<&'a RunningPrimary> {
        let primary = self.archive.primary()?;
        let this = WalSegment::numbered(primary.timeline, number, self.size);
        let later = self.archive.segments.range(this..).next();
        let to_come = number > self.proven
            && self.end.is_none_or(|end| number > end)
            && later.is_none_or(|segment| segment.timeline != primary.timeline);
        (to_come && self.expected(number).timeline == primary.timeline).then_some(primary)
    }

    /// Segments are archived in parallel: on a running primary's timeline a gap may close by itself.
    pub(super) fn may_be_filled(&self) -> Retry {
        let timeline = self.expected(self.missing).timeline;
        let archiving = self.archive.primary().is_some_and(|primary| primary.timeline == timeline);
        if archiving { Retry::Later } else { Retry::Never }
    }

    /// Where the history ends: where the primary has got to, or the end of what is archived.
    pub(super) fn end_lsn(&self) -> Lsn {
        let archived = self.expected(self.missing.saturating_sub(1)).end(self.size);
        self.primary_on_history().map_or(archived, |primary| primary.lsn)
    }

    /// What the backup and the WAL after it can reach; none where it cannot become consistent.
    pub(super) fn reachable(&self) -> Option<Reachable> {
        (self.missing > self.stop).then(|| Reachable {
            backup: self.backup.id.clone(),
            from: self.backup.stop_lsn,
            from_time: self.backup.stopped_at,
            to: self.expected(self.missing).start(self.size),
            to_time: self.last_commit(),
        })
    }
}

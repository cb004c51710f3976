//! What a WAL archive holds, as far as planning a restore has to know.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{Lsn, SystemIdentifier, TimelineHistory, TimelineId, WalSegment};

/// The archive of one cluster and system identifier at one moment, and whether more is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveListing {
    /// The system identifier whose archive it is.
    pub system_identifier: SystemIdentifier,
    /// Every whole segment (a `.partial` file is none).
    pub segments: BTreeSet<WalSegment>,
    /// The histories that were archived; timeline 1 has none.
    pub histories: BTreeMap<TimelineId, TimelineHistory>,
    /// The time of the last commit or abort in a segment, where it is known. A segment without an
    /// entry holds none, or was not read; [`Self::worth_dating`] says where looking helps.
    pub commit_times: BTreeMap<WalSegment, Timestamp>,
    /// The commits known of the parts that forks divide timelines into ([`Self::parts`]). Needed for a target
    /// time where there is more than one timeline.
    pub spans: Vec<CommitSpan>,
    /// The parts of which nobody could find out when the cluster lived there. One that is neither here nor among the spans
    /// has no commit in the archive.
    pub unknown_parts: Vec<TimelinePart>,
    /// What a search for the transaction or the restore point that is the target has found. None: nobody looked.
    pub search: Option<TargetSearch>,
    /// Whether more will be archived before the restore begins.
    pub more_to_come: MoreWal,
}

/// A part of a timeline: from its beginning, or from where another timeline left it, to the next such fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelinePart {
    /// The timeline.
    pub timeline: TimelineId,
    /// The first position of the part.
    pub from: Lsn,
    /// Where the next part begins; none for the last one.
    pub to: Option<Lsn>,
}

/// When the cluster lived on a part of a timeline, by its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitSpan {
    /// The part.
    pub part: TimelinePart,
    /// The first commit that is known of it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// What a search of the archive for a transaction or a restore point has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSearch {
    /// Every place where it is named, in no order.
    pub found: Vec<WalMark>,
    /// The segments that were looked at.
    pub searched: usize,
    /// Those that could not be, within the bounds of a search.
    pub unread: usize,
}

/// A record that names a transaction or a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalMark {
    /// The segment in which it begins.
    pub segment: WalSegment,
    /// Where it begins.
    pub begins: Lsn,
    /// Where it ends.
    pub ends: Lsn,
    /// Its own time.
    pub time: Timestamp,
    /// What it says.
    pub kind: MarkKind,
}

/// What a record says of the transaction or restore point that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// The transaction has committed: replay can stop here.
    Commit,
    /// It was rolled back: replay can stop here, too.
    Abort,
    /// It was part of this transaction, at whose end it ended. Replay never stops for a part.
    PartOf(u32),
    /// It was prepared for a two-phase commit; replay stops at its end, not here.
    Prepared,
    /// The restore point was made.
    RestorePoint,
}

impl MarkKind {
    /// Whether replay stops at such a record.
    #[must_use]
    pub const fn ends_replay(self) -> bool {
        matches!(self, Self::Commit | Self::Abort | Self::RestorePoint)
    }
}

/// Whether an archive grows until the restore begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreWal {
    /// The primary runs: before it is stopped, all that it has written will be archived.
    ClusterRuns(RunningPrimary),
    /// Nobody will add anything.
    Nothing,
    /// Nobody will add anything for certain, and somebody says what the cluster wrote last.
    Ended(LastWritten),
}

/// What a cluster has written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWritten {
    /// On this timeline.
    pub timeline: TimelineId,
    /// Up to here, where that is known.
    pub end: Option<Lsn>,
    /// Who says so.
    pub witness: Witness,
}

/// Who says what a cluster has written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The primary, or the note of its stop.
    Primary,
    /// A standby: it may have stayed behind on a timeline that the primary has left.
    Standby,
}

/// What the running primary says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningPrimary {
    /// Its clock.
    pub now: Timestamp,
    /// The timeline it writes on. This, not the newest in the archive, is the timeline of the living
    /// cluster: a restore that was rolled back leaves a younger timeline behind that no server is on.
    pub timeline: TimelineId,
    /// Flushed up to here.
    pub lsn: Lsn,
}

impl ArchiveListing {
    /// How many segments at the end of each timeline are worth dating.
    pub const DATED_PER_TIMELINE: usize = 8;

    /// The segments whose last commit is worth finding out before a target time is planned, the last of
    /// each timeline first: they show how far each timeline reaches. Those with a time are left out.
    #[must_use]
    pub fn worth_dating(&self) -> Vec<WalSegment> {
        let mut taken: BTreeMap<TimelineId, usize> = BTreeMap::new();
        let mut wanted = Vec::new();
        for segment in self.segments.iter().rev() {
            let count = taken.entry(segment.timeline).or_default();
            *count += 1;
            if *count <= Self::DATED_PER_TIMELINE && !self.commit_times.contains_key(segment) {
                wanted.push(*segment);
            }
        }
        wanted
    }

    /// The parts into which the forks of the archived histories divide the timelines, the newest timelines
    /// first. Empty where there is no fork: then no time can be on another branch.
    #[must_use]
    pub fn parts(&self) -> Vec<TimelinePart> {
        if self.histories.is_empty() {
            return Vec::new();
        }
        let mut cuts: BTreeMap<TimelineId, BTreeSet<Lsn>> = BTreeMap::new();
        cuts.entry(TimelineId::FIRST).or_default().insert(Lsn(0));
        for (timeline, history) in &self.histories {
            cuts.entry(*timeline).or_default().extend(history.forks.last().map(|fork| fork.lsn));
            for fork in &history.forks {
                cuts.entry(fork.parent).or_default().insert(fork.lsn);
            }
        }
        let mut parts = Vec::new();
        for (timeline, mut cuts) in cuts.into_iter().rev() {
            let own = self.histories.get(&timeline).map(|history| history.forks.last().map(|fork| fork.lsn));
            let begins = match own {
                Some(begins) => begins.unwrap_or_default(),
                None if timeline == TimelineId::FIRST => Lsn(0),
                // Without its history nobody knows where a timeline begins.
                None => continue,
            };
            cuts.retain(|cut| begins <= *cut);
            let ends = cuts.iter().skip(1).map(|lsn| Some(*lsn)).chain([None]);
            parts.extend(cuts.iter().zip(ends).map(|(from, to)| TimelinePart { timeline, from: *from, to }));
        }
        parts
    }

    /// What somebody says that the cluster has written last, where no primary is to add to it.
    #[must_use]
    pub const fn last_written(&self) -> Option<&LastWritten> {
        match &self.more_to_come {
            MoreWal::Ended(last) => Some(last),
            MoreWal::Nothing | MoreWal::ClusterRuns(_) => None,
        }
    }

    /// The running primary, where one runs.
    #[must_use]
    pub const fn primary(&self) -> Option<&RunningPrimary> {
        match &self.more_to_come {
            MoreWal::ClusterRuns(primary) => Some(primary),
            MoreWal::Nothing | MoreWal::Ended(_) => None,
        }
    }
}

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
    /// Whether more will be archived before the restore begins.
    pub more_to_come: MoreWal,
}

/// Whether an archive grows until the restore begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreWal {
    /// The primary runs: before it is stopped, all that it has written will be archived.
    ClusterRuns(RunningPrimary),
    /// Nobody will add anything.
    Nothing,
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

    /// The running primary, where one runs.
    #[must_use]
    pub const fn primary(&self) -> Option<&RunningPrimary> {
        match &self.more_to_come {
            MoreWal::ClusterRuns(primary) => Some(primary),
            MoreWal::Nothing => None,
        }
    }
}

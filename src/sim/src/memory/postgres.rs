//! PostgreSQL reduced to its log: commits at positions, on timelines, in segments.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use remount_core::documents::RestorePlan;
use remount_core::{Lsn, SegmentSize, SystemIdentifier, TimelineId, WalSegment};
use remount_store::Metadata;
use serde::{Deserialize, Serialize};

use super::MemoryLandscape;
use super::state::State;

/// The only system identifier here.
pub const SYSTEM: SystemIdentifier = SystemIdentifier(7_300_000_000_000_000_001);
/// The bytes that a record takes.
const RECORD_BYTES: u64 = 1024;

/// 1 MiB.
pub fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).expect("a segment size")
}

/// A data directory.
#[derive(Clone, Debug)]
pub struct Data {
    pub timeline: TimelineId,
    pub records: Vec<Record>,
    /// The end of the log.
    pub lsn: Lsn,
    /// All before is archived on this timeline.
    pub archived: Lsn,
    /// What `pg_stat_archiver` counts as archived last.
    pub last_archived: Option<WalSegment>,
    /// It is in recovery: a standby, or a restored primary that is not promoted yet.
    pub standby: bool,
    /// The recovery of a restored primary, until it is promoted.
    pub recovering: Option<Recovering>,
    /// Where the recovery stopped that promoted it.
    pub replayed_to: Option<Lsn>,
}

/// A restored primary that stands at its target.
#[derive(Clone, Debug)]
pub struct Recovering {
    /// By which plan; the newest version that it was told of.
    pub plan: RestorePlan,
    /// It was told of a later target since it started.
    pub needs_restart: bool,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub lsn: Lsn,
    pub at: Timestamp,
    pub what: What,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A transaction that the ledger shows.
    Row(u64),
    /// A commit that it does not.
    Empty,
    /// No commit.
    Other,
}

impl Record {
    pub const fn end(&self) -> Lsn {
        Lsn(self.lsn.0 + RECORD_BYTES)
    }
}

impl Data {
    /// A new cluster, or a copy of it: its log has a checkpoint and nothing else.
    pub fn new(standby: bool, at: Timestamp) -> Self {
        let begin = Lsn(u64::from(size().bytes()));
        let mut data = Self {
            timeline: TimelineId::FIRST,
            records: Vec::new(),
            lsn: begin,
            archived: begin,
            last_archived: None,
            standby,
            recovering: None,
            replayed_to: None,
        };
        data.write(at, What::Other);
        data
    }

    /// Writes a record; answers where it ends.
    pub fn write(&mut self, at: Timestamp, what: What) -> Lsn {
        let record = Record { lsn: self.lsn, at, what };
        self.lsn = record.end();
        self.records.push(record);
        self.lsn
    }

    /// Where the last record begins: the redo position of a backup, whose checkpoint is at or behind it.
    pub fn redo(&self) -> Lsn {
        self.records.last().map_or(self.lsn, |record| record.lsn)
    }

    /// Closes the current segment; answers it. An empty one is not closed: the one before it was.
    pub fn switch(&mut self) -> WalSegment {
        let current = WalSegment::containing(self.timeline, Lsn(self.lsn.0.saturating_sub(1)), size());
        self.lsn = current.end(size());
        current
    }

    /// When the last transaction was committed.
    pub fn last_commit(&self) -> Option<Timestamp> {
        let commits = self.records.iter().filter(|record| record.what != What::Other);
        commits.map(|record| record.at).next_back()
    }

    pub fn rows(&self) -> BTreeSet<u64> {
        let row = |record: &Record| if let What::Row(id) = record.what { Some(id) } else { None };
        self.records.iter().filter_map(row).collect()
    }

    /// The segments that are closed and not archived, with their records.
    fn to_archive(&self) -> Vec<(WalSegment, Vec<Record>)> {
        let mut segments = Vec::new();
        let mut segment = WalSegment::containing(self.timeline, self.archived, size());
        while segment.end(size()) <= self.lsn {
            let inside =
                |record: &&Record| segment.start(size()) <= record.lsn && record.lsn < segment.end(size());
            segments.push((segment, self.records.iter().filter(inside).cloned().collect()));
            segment = segment.next(size());
        }
        segments
    }
}

impl State {
    /// The server that runs as primary.
    pub fn primary(&self) -> Option<usize> {
        (0..self.instances.len()).find(|index| self.running_data(*index).is_some_and(|data| !data.standby))
    }

    /// Writes on a server; answers where the record ends.
    pub fn write(&mut self, index: usize, what: What) -> Option<Lsn> {
        self.now += SignedDuration::from_millis(1);
        let now = self.now;
        let lsn = self.running_data_mut(index)?.write(now, what);
        self.stream();
        Some(lsn)
    }

    /// Commits on the primary.
    pub fn commit(&mut self, count: u64) -> Vec<u64> {
        let Some(primary) = self.primary() else { return Vec::new() };
        let ids: Vec<u64> = (self.next_row..self.next_row + count).collect();
        self.next_row += count;
        for id in &ids {
            self.write(primary, What::Row(*id));
        }
        ids
    }

    /// The running standbys of the primary's line get what it has.
    pub fn stream(&mut self) {
        let Some(primary) = self.primary() else { return };
        let Some(source) = self.running_data(primary).cloned() else { return };
        for index in 0..self.instances.len() {
            if index != primary
                && self.can_stream(index, &source)
                && let Some(data) = self.running_data_mut(index)
            {
                (data.records, data.lsn) = (source.records.clone(), source.lsn);
            }
        }
    }

    /// Whether a standby streams.
    pub fn streams(&self, index: usize) -> bool {
        let source = self.primary().and_then(|primary| self.running_data(primary));
        source.is_some_and(|source| self.can_stream(index, source))
    }

    fn can_stream(&self, index: usize, source: &Data) -> bool {
        self.running_data(index).is_some_and(|data| {
            data.standby && data.timeline == source.timeline && source.records.starts_with(&data.records)
        })
    }

    pub fn rows(&self, index: usize) -> Option<BTreeSet<u64>> {
        self.running_data(index).map(Data::rows)
    }
}

impl MemoryLandscape {
    /// Archives what the primary has closed. A store that does not answer leaves it for the next time.
    pub(crate) async fn archive(&self) {
        let Some(primary) = self.state().primary() else { return };
        self.archive_of(primary).await;
    }

    pub(crate) async fn archive_of(&self, index: usize) {
        let closed = self.state().running_data(index).map(Data::to_archive).unwrap_or_default();
        for (segment, records) in closed {
            let content = serde_json::to_vec(&records).expect("records are JSON");
            let mut metadata = Metadata::from([
                ("raw-bytes".to_owned(), size().bytes().to_string()),
                ("raw-sha256".to_owned(), "0".repeat(64)),
            ]);
            let commits = records.iter().filter(|record| record.what != What::Other);
            if let Some(at) = commits.map(|record| record.at).max() {
                metadata.insert("last-commit".to_owned(), at.to_string());
            }
            let path = self.segment_path(segment);
            match self.store().objects().create(&path, content.into(), &metadata).await {
                Ok(_) => {
                    if let Some(data) = self.state().running_data_mut(index) {
                        (data.archived, data.last_archived) = (segment.end(size()), Some(segment));
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// The records of an archived segment.
    pub(crate) async fn fetch(&self, segment: WalSegment) -> Result<Option<Vec<Record>>, String> {
        let object = self.store().objects().read(&self.segment_path(segment)).await;
        let Some(object) = object.map_err(|error| error.to_string())? else { return Ok(None) };
        serde_json::from_slice(&object.content).map(Some).map_err(|error| error.to_string())
    }

    /// Whether a segment is in the archive.
    pub async fn is_archived(&self, segment: &WalSegment) -> bool {
        self.fetch(*segment).await.is_ok_and(|found| found.is_some())
    }

    fn segment_path(&self, segment: WalSegment) -> String {
        format!("clusters/{}/{SYSTEM}/wal/{}/{segment}.raw", self.inner.cluster, segment.timeline.hex())
    }
}

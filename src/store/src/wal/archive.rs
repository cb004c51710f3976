//! Push, fetch and list.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use remount_core::{
    ClusterName, Lsn, SegmentSize, SystemIdentifier, TimelineHistory, TimelineId, WalSegment,
};

use crate::store::CLUSTERS;
use crate::wal::object::{Facts, UnpackError, Unpacked, unpack};
use crate::wal::{ArchiveFile, Codec, SegmentHeader, commits};
use crate::{Created, Damage, Error, Objects, Result, SegmentFault, documents};

/// The WAL of one cluster and system identifier. Its objects are immutable.
#[derive(Clone, Debug)]
pub struct WalArchive {
    objects: Arc<dyn Objects>,
    system_identifier: SystemIdentifier,
    folder: String,
    expected: Codec,
}

/// How to push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushOptions {
    /// How segments are compressed.
    pub codec: Codec,
    /// The size of the cluster's segments.
    pub segment_size: SegmentSize,
}

/// What became of a push. Either way the file is durable in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was written.
    New {
        /// Its size in the store.
        stored_bytes: u64,
    },
    /// It was there before, with the same content.
    AlreadyThere,
}

/// What the archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalListing {
    /// Every whole segment.
    pub segments: BTreeSet<WalSegment>,
    /// Every timeline's history that was archived; timeline 1 has none.
    pub histories: BTreeMap<TimelineId, TimelineHistory>,
}

impl WalArchive {
    pub(crate) fn new(
        objects: Arc<dyn Objects>,
        cluster: &ClusterName,
        system_identifier: SystemIdentifier,
    ) -> Self {
        let folder = format!("{CLUSTERS}{cluster}/{system_identifier}/wal/");
        Self { objects, system_identifier, folder, expected: Codec::default() }
    }

    /// Looks for segments under this codec first. The others are looked for too, where it has none.
    #[must_use]
    pub fn expecting(mut self, codec: Codec) -> Self {
        self.expected = codec;
        self
    }

    /// Archives a file, checked against its name first.
    ///
    /// # Errors
    /// [`Error::Unfit`]: it is not what its name says; [`Error::Conflict`]: the archive holds other
    /// content under this name. Nothing was written in either case.
    ///
    /// # Idempotence
    /// The same content again is success.
    pub async fn push(&self, file: &ArchiveFile, content: Bytes, options: PushOptions) -> Result<Pushed> {
        let unfit = |fault| Error::Unfit { file: file.to_string(), fault };
        let facts = match file {
            ArchiveFile::Segment(segment)
            | ArchiveFile::Partial(segment)
            | ArchiveFile::Tail { segment, .. } => {
                let (owner, size) = (self.system_identifier, options.segment_size);
                let header = SegmentHeader::check(&content, *segment, owner, size).map_err(unfit)?;
                self.check_parent(file, *segment, &header).await?;
                Facts::of(&content, commits::last_commit(&header, &content))
            }
            ArchiveFile::History(timeline) => {
                parse_history(*timeline, &content).map_err(unfit)?;
                Facts::of(&content, None)
            }
            ArchiveFile::Backup { .. } => {
                check_backup_history(&content).map_err(unfit)?;
                Facts::of(&content, None)
            }
        };
        let codec = codec_for(file, options.codec);
        if self.lies_under_another_codec(file, codec, &facts).await? {
            return Ok(Pushed::AlreadyThere);
        }
        self.write(&self.path(file, codec), codec, &content, &facts).await
    }

    /// The file, verified; none only where the store answers that it has none.
    ///
    /// # Errors
    /// [`Error::Damaged`]: it is not what was pushed.
    pub async fn fetch(&self, file: &ArchiveFile) -> Result<Option<Bytes>> {
        let mut content = Vec::new();
        let found = self.fetch_into(file, &mut content).await?;
        Ok(found.then(|| content.into()))
    }

    /// Writes the file to `target`; `false` only where the store answers that it has none.
    ///
    /// # Errors
    /// [`Error::Damaged`]: it is not what was pushed; [`Error::Target`]: `target` did not take it. What `target`
    /// has got then must not be used.
    pub async fn fetch_into(&self, file: &ArchiveFile, target: &mut (dyn Write + Send)) -> Result<bool> {
        for codec in self.codecs(file) {
            let path = self.path(file, codec);
            let Some(object) = self.objects.read(&path).await? else { continue };
            let damaged = |damage| Error::Damaged { path: path.clone(), damage };
            let first_bytes = if is_compressed(file) { SegmentHeader::BYTES } else { usize::MAX };
            let unpacked = unpack(&object, codec, first_bytes, target).map_err(|error| match error {
                UnpackError::Damage(damage) => damaged(damage),
                UnpackError::Target(source) => Error::Target { file: file.to_string(), source },
            })?;
            self.check_content(file, &unpacked).map_err(|fault| damaged(Damage::Content(fault)))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether the segment is in the archive.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn contains(&self, segment: &WalSegment) -> Result<bool> {
        Ok(self.facts_of(&ArchiveFile::Segment(*segment)).await?.is_some())
    }

    /// The history of a timeline; that of timeline 1 is known without a request.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it cannot be read.
    pub async fn history(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>> {
        if timeline == TimelineId::FIRST {
            return Ok(Some(TimelineHistory::first()));
        }
        let file = ArchiveFile::History(timeline);
        let Some(content) = self.fetch(&file).await? else {
            return Ok(None);
        };
        let path = self.path(&file, Codec::Raw);
        let parsed = parse_history(timeline, &content);
        parsed.map(Some).map_err(|fault| Error::Damaged { path, damage: Damage::Content(fault) })
    }

    /// Everything the archive holds.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a history cannot be read.
    pub async fn listing(&self) -> Result<WalListing> {
        let mut listing = WalListing::default();
        for info in self.objects.list(&self.folder).await? {
            let name = info.path.rsplit('/').next().unwrap_or_default();
            let stem = Codec::ALL.iter().find_map(|codec| name.strip_suffix(&format!(".{}", codec.suffix())));
            match stem.unwrap_or(name).parse() {
                Ok(ArchiveFile::Segment(segment)) if stem.is_some() => {
                    listing.segments.insert(segment);
                }
                Ok(ArchiveFile::History(timeline)) => {
                    let history = self.history(timeline).await?;
                    listing.histories.extend(history.map(|history| (timeline, history)));
                }
                _ => {}
            }
        }
        Ok(listing)
    }

    /// The time of the last commit or abort in the segment; none where it holds none, is not archived
    /// or its records could not be read.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the object has lost its metadata.
    pub async fn last_commit(&self, segment: &WalSegment) -> Result<Option<Timestamp>> {
        let facts = self.facts_of(&ArchiveFile::Segment(*segment)).await?;
        Ok(facts.and_then(|facts| facts.last_commit))
    }

    async fn write(&self, path: &str, codec: Codec, content: &Bytes, facts: &Facts) -> Result<Pushed> {
        let packed = codec.compress(content).map_err(|error| {
            documents::fault(path, format!("it cannot be compressed ({}): {error}", codec.suffix()))
        })?;
        let stored_bytes = packed.len() as u64;
        match self.objects.create(path, packed, &facts.to_metadata()).await? {
            Created::New => Ok(Pushed::New { stored_bytes }),
            Created::Existed if self.is_same(path, facts).await? => Ok(Pushed::AlreadyThere),
            Created::Existed => Err(Error::Unanswered {
                action: format!("create {path}"),
                source: "it was there, and then it was not".into(),
            }),
        }
    }

    /// The codec is part of the name, so the conditional create does not see what was pushed before the
    /// codec was changed.
    async fn lies_under_another_codec(
        &self,
        file: &ArchiveFile,
        codec: Codec,
        facts: &Facts,
    ) -> Result<bool> {
        let others = self.codecs(file).into_iter().filter(|other| *other != codec);
        let checks = others.map(|other| async move { self.is_same(&self.path(file, other), facts).await });
        Ok(try_join_all(checks).await?.contains(&true))
    }

    /// Whether the object holds this content; `false` where there is none.
    async fn is_same(&self, path: &str, facts: &Facts) -> Result<bool> {
        let Some((_, metadata)) = self.objects.stat(path).await? else {
            return Ok(false);
        };
        let damaged = |damage| Error::Damaged { path: path.to_owned(), damage };
        let same = Facts::from_metadata(&metadata).map_err(damaged)?.same_content(facts);
        if same { Ok(true) } else { Err(Error::Conflict { path: path.to_owned() }) }
    }

    async fn facts_of(&self, file: &ArchiveFile) -> Result<Option<Facts>> {
        for codec in self.codecs(file) {
            let path = self.path(file, codec);
            if let Some((_, metadata)) = self.objects.stat(&path).await? {
                let facts = Facts::from_metadata(&metadata);
                return facts.map(Some).map_err(|damage| Error::Damaged { path, damage });
            }
        }
        Ok(None)
    }

    /// A segment that begins on a parent's timeline is the first of its own, and its history says so.
    /// The history is archived before it; where it is not there yet, the system identifier has to do.
    async fn check_parent(&self, file: &ArchiveFile, name: WalSegment, header: &SegmentHeader) -> Result<()> {
        if header.timeline == name.timeline {
            return Ok(());
        }
        let Some(history) = self.history(name.timeline).await? else {
            return Ok(());
        };
        let end = name.end(header.segment_size);
        let left_inside = |lsn: Lsn| name.start(header.segment_size) <= lsn && lsn < end;
        if history.left(header.timeline).is_some_and(left_inside) {
            return Ok(());
        }
        let (actual, expected) = (header.timeline.get(), name.timeline.get());
        Err(Error::Unfit { file: file.to_string(), fault: SegmentFault::Timeline { actual, expected } })
    }

    /// What an object says of itself has to fit its name, too: it may have been copied.
    fn check_content(&self, file: &ArchiveFile, unpacked: &Unpacked) -> Result<(), SegmentFault> {
        let first = &unpacked.first[..];
        match file {
            ArchiveFile::Segment(segment)
            | ArchiveFile::Partial(segment)
            | ArchiveFile::Tail { segment, .. } => {
                let header = SegmentHeader::parse(first)?;
                let (actual_bytes, expected_bytes) =
                    (unpacked.raw_bytes, u64::from(header.segment_size.bytes()));
                if actual_bytes != expected_bytes {
                    return Err(SegmentFault::Size { actual_bytes, expected_bytes });
                }
                header.belongs(*segment, self.system_identifier, header.segment_size)
            }
            ArchiveFile::History(timeline) => parse_history(*timeline, first).map(|_| ()),
            ArchiveFile::Backup { .. } => check_backup_history(first),
        }
    }

    /// The codecs under which the file may lie, the expected one first.
    fn codecs(&self, file: &ArchiveFile) -> Vec<Codec> {
        if !is_compressed(file) {
            return vec![Codec::Raw];
        }
        let others = Codec::ALL.into_iter().filter(|codec| *codec != self.expected);
        [self.expected].into_iter().chain(others).collect()
    }

    fn path(&self, file: &ArchiveFile, codec: Codec) -> String {
        let folder = format!("{}{}", self.folder, file.timeline().hex());
        if is_compressed(file) {
            format!("{folder}/{file}.{}", codec.suffix())
        } else {
            format!("{folder}/{file}")
        }
    }
}

/// The small text files stay readable for people.
const fn is_compressed(file: &ArchiveFile) -> bool {
    matches!(file, ArchiveFile::Segment(_) | ArchiveFile::Partial(_) | ArchiveFile::Tail { .. })
}

const fn codec_for(file: &ArchiveFile, wanted: Codec) -> Codec {
    if is_compressed(file) { wanted } else { Codec::Raw }
}

fn parse_history(timeline: TimelineId, content: &[u8]) -> Result<TimelineHistory, SegmentFault> {
    let wrong = |detail: String| SegmentFault::History(detail);
    let text = std::str::from_utf8(content).map_err(|error| wrong(error.to_string()))?;
    let history = TimelineHistory::parse(timeline, text).map_err(|error| wrong(error.to_string()))?;
    if history.forks.is_empty() { Err(wrong("it names no parent".into())) } else { Ok(history) }
}

fn check_backup_history(content: &[u8]) -> Result<(), SegmentFault> {
    if content.starts_with(b"START WAL LOCATION: ") { Ok(()) } else { Err(SegmentFault::BackupHistory) }
}

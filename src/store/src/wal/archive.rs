//! Push, fetch and list.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use log::warn;
use remount_core::{
    ClusterName, Lsn, SegmentSize, SystemIdentifier, TimelineHistory, TimelineId, WalSegment,
};

use crate::store::CLUSTERS;
use crate::wal::object::{Facts, HEADER_BYTES, LONGEST_FILE, Limits, UnpackError, Unpacked, unpack};
use crate::wal::summary::SegmentSummary;
use crate::wal::{ArchiveFile, Codec, SegmentHeader};
use crate::{Created, Damage, Error, Metadata, Objects, Result, SegmentFault, documents};

/// The WAL of one cluster and system identifier. Its objects are immutable.
#[derive(Clone, Debug)]
pub struct WalArchive {
    objects: Arc<dyn Objects>,
    system_identifier: SystemIdentifier,
    folder: String,
    /// No segment is longer.
    segment_bytes: u64,
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
        Self { objects, system_identifier, folder, segment_bytes: LONGEST_FILE }
    }

    /// The same, where the size of its segments is known: what is longer is damaged, and is not read.
    #[must_use]
    pub fn with_segments_of(self, size: SegmentSize) -> Self {
        Self { segment_bytes: u64::from(size.bytes()), ..self }
    }

    /// Archives a file, checked against its name first. One create decides, whatever codec the file was pushed with
    /// before. A by-product that differs from what is archived gets a name of its own: nothing reads a second `.partial`,
    /// and it must not stop the archiving of what counts. A history that differs is refused as a segment is: somebody else
    /// writes this timeline, and it is the first file by which that shows.
    ///
    /// # Errors
    /// [`Error::Unfit`]: it is not what its name says; [`Error::Conflict`]: the archive holds another segment or history
    /// under this name. Nothing was written in either case.
    ///
    /// # Idempotence
    /// The same content again is success.
    pub async fn push(&self, file: &ArchiveFile, content: Bytes, options: PushOptions) -> Result<Pushed> {
        let unfit = |fault| Error::Unfit { file: file.to_string(), fault };
        let mut summary = None;
        let last_commit = match file {
            ArchiveFile::Segment(segment)
            | ArchiveFile::Partial(segment)
            | ArchiveFile::Tail { segment, .. } => {
                let (owner, size) = (self.system_identifier, options.segment_size);
                let header = SegmentHeader::check(&content, *segment, owner, size).map_err(unfit)?;
                self.check_parent(file, *segment, &header).await?;
                summary.insert(SegmentSummary::of(&header, &content)).last_commit
            }
            ArchiveFile::History(timeline) => {
                parse_history(*timeline, &content).map_err(unfit)?;
                None
            }
            ArchiveFile::Backup { .. } => {
                check_backup_history(&content).map_err(unfit)?;
                None
            }
        };
        let facts = Facts::of(&content, codec_for(file, options.codec), last_commit);
        let path = self.path(file);
        let object = facts.pack(&content).map_err(|error| {
            documents::fault(&path, format!("it cannot be compressed ({}): {error}", facts.codec))
        })?;
        let pushed = match self.create(&path, object.clone(), &facts).await {
            Err(error @ (Error::Conflict { .. } | Error::Damaged { .. })) if is_by_product(file) => {
                let own = format!("{path}.{}", hex::encode(&facts.raw_sha256[..OWN_NAME_BYTES]));
                warn!(object = own.as_str(), error:% = remount_core::with_causes(&error); "a by-product differs from the archived one");
                self.create(&own, object, &facts).await
            }
            created => created,
        }?;
        if let (Pushed::New { .. }, ArchiveFile::Segment(segment), Some(summary)) = (pushed, file, summary) {
            self.keep_summary(segment, &summary).await;
        }
        Ok(pushed)
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
        let path = self.path(file);
        let most_bytes = self.most_bytes(file);
        let object = match self.objects.read_within(&path, stored_bytes_of(most_bytes)).await {
            // The database VM that writes here may be somebody else's by now.
            Err(Error::Document { .. }) => {
                return Err(Error::Damaged { path, damage: Damage::TooLong { most_bytes } });
            }
            read => read?,
        };
        let Some(object) = object else {
            return Ok(false);
        };
        let damaged = |damage| Error::Damaged { path: path.clone(), damage };
        let first_bytes = if is_compressed(file) { SegmentHeader::BYTES } else { usize::MAX };
        let limits = Limits { raw_bytes: most_bytes, may_be_compressed: is_compressed(file) };
        let unpacked = unpack(&object.content, first_bytes, limits, target).map_err(|error| match error {
            UnpackError::Damage(damage) => damaged(damage),
            UnpackError::Target(source) => Error::Target { file: file.to_string(), source },
        })?;
        self.check_content(file, &unpacked).map_err(|fault| damaged(Damage::Content(fault)))?;
        Ok(true)
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
        let path = self.path(&file);
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
            match name.parse() {
                Ok(ArchiveFile::Segment(segment)) => {
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

    /// The by-products that differed from one that was archived before them, each under its own name: two servers have
    /// written one timeline, or a server twice.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn second_by_products(&self) -> Result<Vec<String>> {
        let listed = self.objects.list(&self.folder).await?;
        let names = listed.iter().filter_map(|info| info.path.rsplit('/').next());
        Ok(names.filter(|name| is_second(name)).map(str::to_owned).collect())
    }

    /// The time of the last commit or abort in the segment; none where it holds none, is not archived
    /// or its records could not be read.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the object's header cannot be read.
    pub async fn last_commit(&self, segment: &WalSegment) -> Result<Option<Timestamp>> {
        let facts = self.facts_of(&ArchiveFile::Segment(*segment)).await?;
        Ok(facts.and_then(|facts| facts.last_commit))
    }

    async fn create(&self, path: &str, object: Bytes, facts: &Facts) -> Result<Pushed> {
        let stored_bytes = object.len() as u64;
        if self.objects.create(path, object, &Metadata::new()).await? == Created::New {
            return Ok(Pushed::New { stored_bytes });
        }
        match self.facts_at(path).await? {
            Some(there) if there.same_content(facts) => Ok(Pushed::AlreadyThere),
            Some(_) => Err(Error::Conflict { path: path.to_owned() }),
            None => Err(Error::Unanswered {
                action: format!("create {path}"),
                source: "it was there, and then it was not".into(),
            }),
        }
    }

    async fn facts_of(&self, file: &ArchiveFile) -> Result<Option<Facts>> {
        Ok(self.located_facts(file).await?.map(|(_, facts)| facts))
    }

    /// The facts of a file, and where it lies.
    pub(crate) async fn located_facts(&self, file: &ArchiveFile) -> Result<Option<(String, Facts)>> {
        let path = self.path(file);
        Ok(self.facts_at(&path).await?.map(|facts| (path, facts)))
    }

    async fn facts_at(&self, path: &str) -> Result<Option<Facts>> {
        let start = self.objects.read_start(path, HEADER_BYTES as u64).await?;
        let damaged = |damage| Error::Damaged { path: path.to_owned(), damage };
        start.map(|start| Facts::parse(&start).map_err(damaged)).transpose()
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

    /// How long a file of this name can be.
    fn most_bytes(&self, file: &ArchiveFile) -> u64 {
        if is_compressed(file) { self.segment_bytes } else { LONGEST_TEXT }
    }

    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    /// Where it is noted what a segment says.
    pub(crate) fn summary_path(&self, segment: &WalSegment) -> String {
        format!("{}.summary", self.path(&ArchiveFile::Segment(*segment)))
    }

    fn path(&self, file: &ArchiveFile) -> String {
        format!("{}{}/{file}", self.folder, file.timeline().hex())
    }
}

/// No history of a timeline or a backup is longer.
const LONGEST_TEXT: u64 = 1 << 20;

/// How long the object of such a file can be: its header, and content that does not compress.
const fn stored_bytes_of(raw_bytes: u64) -> u64 {
    raw_bytes + raw_bytes / 64 + HEADER_BYTES as u64 + (64 << 10)
}

/// So much of a by-product's SHA-256 is in the name of its own.
const OWN_NAME_BYTES: usize = 8;

/// What PostgreSQL archives beside its WAL, and recovery never asks for.
const fn is_by_product(file: &ArchiveFile) -> bool {
    !matches!(file, ArchiveFile::Segment(_) | ArchiveFile::History(_))
}

/// Whether an object has a name of its own, because it differed from the by-product that was archived before it.
fn is_second(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(file, own)| {
        own.len() == 2 * OWN_NAME_BYTES
            && own.bytes().all(|byte| byte.is_ascii_hexdigit())
            && file.parse::<ArchiveFile>().is_ok_and(|file| is_by_product(&file))
    })
}

/// The small text files stay readable for people, after their header.
const fn is_compressed(file: &ArchiveFile) -> bool {
    matches!(file, ArchiveFile::Segment(_) | ArchiveFile::Partial(_) | ArchiveFile::Tail { .. })
}

const fn codec_for(file: &ArchiveFile, wanted: Codec) -> Codec {
    if is_compressed(file) { wanted } else { Codec::Raw }
}

fn parse_history(timeline: TimelineId, content: &[u8]) -> Result<TimelineHistory, SegmentFault> {
    let wrong = |detail: String| SegmentFault::History(detail);
    // The reasons in it are PostgreSQL's words, or a restore point's name in the database's encoding.
    let text = &String::from_utf8_lossy(content);
    let history = TimelineHistory::parse(timeline, text).map_err(|error| wrong(error.to_string()))?;
    if history.forks.is_empty() { Err(wrong("it names no parent".into())) } else { Ok(history) }
}

fn check_backup_history(content: &[u8]) -> Result<(), SegmentFault> {
    if content.starts_with(b"START WAL LOCATION: ") { Ok(()) } else { Err(SegmentFault::BackupHistory) }
}

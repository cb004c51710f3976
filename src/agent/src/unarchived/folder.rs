//! `pg_wal`: which segments are there, and what PostgreSQL notes of their archiving.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use remount_core::{SegmentSize, TimelineId, WalSegment};
use remount_store::SegmentHeader;

use crate::error::{Result, system};

/// How much of a file is enough to know the size of segments.
const HEADER_BYTES: u64 = 64;

/// What was found in `pg_wal`.
pub struct WalFolder {
    path: PathBuf,
    pub size: SegmentSize,
    /// The newest timeline that has each segment, by the segment's number.
    segments: BTreeMap<u64, WalSegment>,
    /// Names that wait for PostgreSQL's archiver.
    pub ready: BTreeSet<String>,
    /// Names that it has done with.
    done: BTreeSet<String>,
}

impl WalFolder {
    /// Reads the folder of a data directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(data_directory: &Path) -> Result<Self> {
        let path = data_directory.join("pg_wal");
        let read = || -> io::Result<Self> {
            let names: Vec<WalSegment> = names(&path)?.iter().filter_map(|name| name.parse().ok()).collect();
            let size = segment_size(&path, &names)?;
            let mut segments: BTreeMap<u64, WalSegment> = BTreeMap::new();
            for segment in names {
                let newest = segments.entry(segment.number(size)).or_insert(segment);
                *newest = (*newest).max(segment);
            }
            let status = names_of_status(&path)?;
            let ending = |ending: &str| {
                status.iter().filter_map(|name| name.strip_suffix(ending)).map(str::to_owned).collect()
            };
            Ok(Self { path: path.clone(), size, segments, ready: ending(".ready"), done: ending(".done") })
        };
        read().map_err(system(format!("read {}", path.display())))
    }

    /// The segment with this number, on the newest timeline that has it here.
    pub fn newest(&self, number: u64) -> Option<WalSegment> {
        self.segments.get(&number).copied()
    }

    /// The newest timeline of segments at or after this number, which is the one that was written last.
    pub fn timeline(&self, from: u64) -> Option<TimelineId> {
        self.segments.range(from..).map(|(_, segment)| segment.timeline).max()
    }

    /// The number of the last segment of this timeline that is full for certain: PostgreSQL notes it for its archiver
    /// when it has written the last byte.
    pub fn last_noted(&self, timeline: TimelineId) -> Option<u64> {
        let noted = self.ready.iter().chain(&self.done).filter_map(|name| name.parse::<WalSegment>().ok());
        noted.filter(|segment| segment.timeline == timeline).map(|segment| segment.number(self.size)).max()
    }

    /// Whether PostgreSQL's archiver has done with a file.
    pub fn is_done(&self, name: &str) -> bool {
        self.done.contains(name)
    }

    /// The content of a file; none where there is no such file.
    ///
    /// # Errors
    /// The file system's.
    pub fn content(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of the segment with this number; none where there is none.
    ///
    /// # Errors
    /// The file system's.
    pub fn segment(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(segment) = self.newest(number) else { return Ok(None) };
        self.content(&segment.to_string())
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// A folder that is not there notes nothing.
fn names_of_status(wal: &Path) -> io::Result<Vec<String>> {
    match names(&wal.join("archive_status")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// As any header says; files that were never written to have none.
fn segment_size(folder: &Path, segments: &[WalSegment]) -> io::Result<SegmentSize> {
    for segment in segments {
        let mut first = Vec::new();
        fs::File::open(folder.join(segment.to_string()))?.take(HEADER_BYTES).read_to_end(&mut first)?;
        if let Ok(header) = SegmentHeader::parse(&first) {
            return Ok(header.segment_size);
        }
    }
    Ok(SegmentSize::DEFAULT)
}

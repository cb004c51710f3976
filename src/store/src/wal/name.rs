//! The names of the files that PostgreSQL archives.

use std::fmt;
use std::str::FromStr;

use remount_core::{TimelineId, WalSegment};

/// A file that PostgreSQL archives or asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchiveFile {
    /// A whole segment, as `000000010000000000000003`.
    Segment(WalSegment),
    /// The last, unfinished segment of a timeline that was left, as `000000010000000000000003.partial`.
    Partial(WalSegment),
    /// The history of a timeline, as `00000002.history`.
    History(TimelineId),
    /// The history of a backup, as `000000010000000000000003.00000028.backup`.
    Backup {
        /// The segment the backup begins in.
        segment: WalSegment,
        /// Where in it.
        offset: u32,
    },
}

/// The text is not the name of a file that PostgreSQL archives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a file that PostgreSQL archives (a WAL segment, .partial, .history or .backup)")]
pub struct ArchiveFileError(String);

impl fmt::Display for ArchiveFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::History(timeline) => write!(f, "{}.history", timeline.hex()),
            Self::Backup { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

impl FromStr for ArchiveFile {
    type Err = ArchiveFileError;

    fn from_str(text: &str) -> Result<Self, ArchiveFileError> {
        todo!("{text}")
    }
}

//! The names of the files that PostgreSQL archives.

use std::fmt;
use std::str::FromStr;

use remount_core::documents::WalTail;
use remount_core::{TimelineHistory, TimelineId, WalSegment};

/// A file that PostgreSQL archives or asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchiveFile {
    /// A whole segment, as `000000010000000000000003`.
    Segment(WalSegment),
    /// The last, unfinished segment of a timeline that was left, as `000000010000000000000003.partial`.
    Partial(WalSegment),
    /// The records of a segment that was not full when its server ended, as
    /// `000000010000000000000003.5f2b….tail`: a name of our own, which PostgreSQL never asks for.
    Tail {
        /// The segment.
        segment: WalSegment,
        /// SHA-256 of the content: two servers' never meet under one name.
        sha256: [u8; 32],
    },
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
            Self::Tail { segment, sha256 } => write!(f, "{segment}.{}.tail", hex::encode(sha256)),
            Self::History(timeline) => write!(f, "{}.history", timeline.hex()),
            Self::Backup { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

impl FromStr for ArchiveFile {
    type Err = ArchiveFileError;

    fn from_str(text: &str) -> Result<Self, ArchiveFileError> {
        parse(text).ok_or_else(|| ArchiveFileError(text.to_owned()))
    }
}

impl ArchiveFile {
    /// The name of a tail; none where its digest is none.
    #[must_use]
    pub fn tail(tail: &WalTail) -> Option<Self> {
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&tail.sha256, &mut sha256).ok()?;
        Some(Self::Tail { segment: tail.segment, sha256 })
    }

    /// The timeline in its name.
    #[must_use]
    pub const fn timeline(&self) -> TimelineId {
        match self {
            Self::Segment(segment)
            | Self::Partial(segment)
            | Self::Tail { segment, .. }
            | Self::Backup { segment, .. } => segment.timeline,
            Self::History(timeline) => *timeline,
        }
    }
}

fn parse(text: &str) -> Option<ArchiveFile> {
    if let Some(timeline) = TimelineHistory::timeline_of(text) {
        return Some(ArchiveFile::History(timeline));
    }
    if let Some(segment) = text.strip_suffix(".partial") {
        return segment.parse().ok().map(ArchiveFile::Partial);
    }
    if let Some(stem) = text.strip_suffix(".tail") {
        let (segment, digits) = stem.split_once('.')?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(digits, &mut sha256).ok()?;
        return Some(ArchiveFile::Tail { segment: segment.parse().ok()?, sha256 });
    }
    if let Some(stem) = text.strip_suffix(".backup") {
        let (segment, offset) = stem.split_once('.')?;
        let plain = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if offset.len() != 8 || !offset.bytes().all(plain) {
            return None;
        }
        let offset = u32::from_str_radix(offset, 16).ok()?;
        return Some(ArchiveFile::Backup { segment: segment.parse().ok()?, offset });
    }
    text.parse().ok().map(ArchiveFile::Segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_names_are_read_back() {
        for text in [
            "000000010000000000000003",
            "000000010000000000000003.partial",
            "000000010000000000000003.0707070707070707070707070707070707070707070707070707070707070707.tail",
            "00000002.history",
            "000000010000000000000003.00000028.backup",
        ] {
            assert_eq!(text.parse::<ArchiveFile>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "000000010000000000000003.zst",
            "00000002.HISTORY",
            "2.history",
            "000000010000000000000003.28.backup",
            "000000010000000000000003.0000002G.backup",
            "../00000002.history",
            ".partial",
            "RECOVERYXLOG",
        ] {
            assert!(text.parse::<ArchiveFile>().is_err(), "{text} was accepted");
        }
    }
}

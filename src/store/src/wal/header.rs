//! The long header on the first page of a WAL segment.

use remount_core::{Lsn, SegmentSize, SystemIdentifier, TimelineId};

use crate::SegmentFault;

/// What the first page of a WAL segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The major version of the PostgreSQL that wrote it.
    pub major: u32,
    /// The timeline of its first page.
    pub timeline: TimelineId,
    /// The position of its first byte.
    pub start: Lsn,
    /// The cluster's system identifier.
    pub system_identifier: SystemIdentifier,
    /// The size of the cluster's segments.
    pub segment_size: SegmentSize,
}

impl SegmentHeader {
    /// Reads the long header at the beginning of `content`.
    ///
    /// # Errors
    /// The content does not begin as a segment does.
    pub fn parse(content: &[u8]) -> Result<Self, SegmentFault> {
        todo!("{}", content.len())
    }
}

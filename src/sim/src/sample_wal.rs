//! WAL to fill an archive with.

use bytes::Bytes;
use remount_core::{SegmentSize, SystemIdentifier, WalSegment};

/// A segment that passes the checks of a push: PostgreSQL 15's first page, then zeros.
#[must_use]
pub fn sample_segment(segment: WalSegment, size: SegmentSize, owner: SystemIdentifier) -> Bytes {
    let mut content = vec![0; size.bytes() as usize];
    content[0..2].copy_from_slice(&0xD110_u16.to_le_bytes());
    content[2..4].copy_from_slice(&2_u16.to_le_bytes());
    content[4..8].copy_from_slice(&segment.timeline.get().to_le_bytes());
    content[8..16].copy_from_slice(&segment.start(size).0.to_le_bytes());
    content[24..32].copy_from_slice(&owner.0.to_le_bytes());
    content[32..36].copy_from_slice(&size.bytes().to_le_bytes());
    content[36..40].copy_from_slice(&8192_u32.to_le_bytes());
    content.into()
}

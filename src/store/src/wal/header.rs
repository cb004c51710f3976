//! The headers of WAL pages: the short one on every page, the long one on a segment's first.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic: changes with every major version that changes WAL |
//! | 2 | 2 | flags: bit 0 = begins with the rest of a record, bit 1 = long header |
//! | 4 | 4 | timeline |
//! | 8 | 8 | position of the page |
//! | 16 | 4 | bytes left of the record that began before |
//! | 24 | 8 | system identifier (long header) |
//! | 32 | 4 | segment size (long header) |
//! | 36 | 4 | page size (long header) |
//!
//! # Source
//! PostgreSQL, `src/include/access/xlog_internal.h`; the magics were read from segments that 15 to 18
//! wrote. WAL is in the byte order of its machine; ours are little-endian.

use remount_core::{Lsn, SegmentSize, SystemIdentifier, TimelineId, WalSegment};

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
    /// The size of the cluster's WAL pages in bytes.
    pub page_bytes: u32,
}

/// The header that every page has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageHeader {
    pub(crate) magic: u16,
    flags: u16,
    pub(crate) timeline: u32,
    pub(crate) address: Lsn,
    /// Bytes of a record that began on an earlier page.
    pub(crate) remaining: u32,
}

/// Magic and major version.
const MAGICS: [(u16, u32); 4] = [(0xD110, 15), (0xD113, 16), (0xD116, 17), (0xD118, 18)];

const FLAG_CONTINUES: u16 = 1;
const FLAG_LONG: u16 = 2;

impl PageHeader {
    /// Length of a short header.
    pub(crate) const BYTES: usize = 24;
    /// Length of a long header.
    pub(crate) const LONG_BYTES: usize = 40;

    /// Reads the header at the beginning of `page`; none where the page is too short.
    pub(crate) fn parse(page: &[u8]) -> Option<Self> {
        Some(Self {
            magic: u16_at(page, 0)?,
            flags: u16_at(page, 2)?,
            timeline: u32_at(page, 4)?,
            address: Lsn(u64_at(page, 8)?),
            remaining: u32_at(page, 16)?,
        })
    }

    pub(crate) const fn is_long(self) -> bool {
        self.flags & FLAG_LONG != 0
    }

    pub(crate) const fn continues_record(self) -> bool {
        self.flags & FLAG_CONTINUES != 0
    }

    pub(crate) const fn bytes(self) -> usize {
        if self.is_long() { Self::LONG_BYTES } else { Self::BYTES }
    }
}

impl SegmentHeader {
    /// How much of a segment is enough to read it.
    pub(crate) const BYTES: usize = PageHeader::LONG_BYTES;

    /// Reads the long header at the beginning of `content`.
    ///
    /// # Errors
    /// The content does not begin as a segment does.
    pub fn parse(content: &[u8]) -> Result<Self, SegmentFault> {
        let wrong = |detail: &str| SegmentFault::Header(detail.to_owned());
        let page = PageHeader::parse(content).ok_or_else(|| wrong("the file is too short for one"))?;
        let known = MAGICS.iter().find(|(magic, _)| *magic == page.magic);
        let (_, major) = known.ok_or(SegmentFault::Magic(page.magic))?;
        if !page.is_long() {
            return Err(wrong("it is not that of a segment's first page"));
        }
        let read = (u64_at(content, 24), u32_at(content, 32), u32_at(content, 36));
        let (Some(system_identifier), Some(segment_bytes), Some(page_bytes)) = read else {
            return Err(wrong("the file is too short for one"));
        };
        if !page_bytes.is_power_of_two() || !(1024..=65536).contains(&page_bytes) {
            return Err(wrong("its page size is impossible"));
        }
        Ok(Self {
            major: *major,
            timeline: TimelineId::new(page.timeline).map_err(|_| wrong("its timeline is 0"))?,
            start: page.address,
            system_identifier: SystemIdentifier(system_identifier),
            segment_size: SegmentSize::new(segment_bytes)
                .map_err(|_| wrong("its segment size is impossible"))?,
            page_bytes,
        })
    }

    /// Checks a segment against its name, its archive and its size.
    ///
    /// A timeline before the name's passes: the first segment of a timeline begins with a copy of its
    /// parent's. Whether the parent is the right one, the timeline's history knows.
    pub(crate) fn check(
        content: &[u8],
        name: WalSegment,
        owner: SystemIdentifier,
        size: SegmentSize,
    ) -> Result<Self, SegmentFault> {
        if !content.is_empty() && content.iter().all(|byte| *byte == 0) {
            return Err(SegmentFault::Zeros);
        }
        let (actual_bytes, expected_bytes) = (content.len() as u64, u64::from(size.bytes()));
        if actual_bytes != expected_bytes {
            return Err(SegmentFault::Size { actual_bytes, expected_bytes });
        }
        let header = Self::parse(content)?;
        header.belongs(name, owner, size)?;
        Ok(header)
    }

    /// Whether this is the header of the segment `name` of `owner`.
    pub(crate) fn belongs(
        &self,
        name: WalSegment,
        owner: SystemIdentifier,
        size: SegmentSize,
    ) -> Result<(), SegmentFault> {
        if self.segment_size != size {
            let detail = format!("it is of a cluster with segments of {} bytes", self.segment_size.bytes());
            return Err(SegmentFault::Header(detail));
        }
        if self.system_identifier != owner {
            let (actual, expected) = (self.system_identifier.0, owner.0);
            return Err(SegmentFault::SystemIdentifier { actual, expected });
        }
        if self.timeline > name.timeline {
            let (actual, expected) = (self.timeline.get(), name.timeline.get());
            return Err(SegmentFault::Timeline { actual, expected });
        }
        if !name.fits(size) || self.start != name.start(size) {
            return Err(SegmentFault::Address { actual: self.start, expected: name.start(size) });
        }
        Ok(())
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

//! Where WAL ends: the records are walked over pages and segments and checked as PostgreSQL checks them when it
//! recovers. What follows the last whole record was never acknowledged.
//!
//! # Source
//! PostgreSQL, `src/backend/access/transam/xlogreader.c`: length, previous record, CRC, continuation pages; the same
//! in 15 to 18.

use std::io;

use remount_core::{Lsn, SegmentSize, WalSegment, crc32c};

use crate::wal::header::{PageHeader, SegmentHeader, u32_at, u64_at};

/// Header of a record: length, transaction, previous record, info, resource manager, CRC.
const RECORD_HEADER_BYTES: usize = 24;
/// Where in it the CRC is.
const CRC_AT: usize = 20;
/// Records begin at multiples of this.
const ALIGNMENT: u64 = 8;
/// As `XLogRecordMaxSize` (16), and more than anything before it wrote.
const LONGEST_RECORD: usize = 1020 << 20;
/// `RM_XLOG_ID` and `XLOG_SWITCH`: the rest of the segment is empty.
const RM_XLOG: u8 = 0;
const SWITCH: u8 = 0x40;

/// Where WAL ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalEnd {
    /// Where the last whole record ends; the beginning of the walk where there is none.
    pub lsn: Lsn,
    /// How many records were read.
    pub records: u64,
}

impl WalEnd {
    /// Walks the records from the first one that begins in segment number `first`. `read` gives segments by number.
    ///
    /// # Errors
    /// Those of `read`. What is no WAL ends the walk.
    pub fn after(
        first: u64,
        size: SegmentSize,
        read: &mut dyn FnMut(u64) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Self> {
        let begin = Lsn(first * u64::from(size.bytes()));
        let mut walk = Walk { read, size, held: None, failed: None, page_bytes: 0, magic: 0, at: begin.0 };
        let mut end = Self { lsn: begin, records: 0 };
        if walk.begin().is_some() {
            let mut previous = None;
            loop {
                let start = walk.record_start();
                if walk.record(previous).is_none() {
                    break;
                }
                end = Self { lsn: Lsn(walk.at), records: end.records + 1 };
                previous = Some(start);
            }
        }
        walk.failed.map_or(Ok(end), Err)
    }
}

/// A segment's content with nothing at and after `lsn`: what is replayed of it ends there. All of it stays where `lsn`
/// is the segment's end.
#[must_use]
pub fn below(lsn: Lsn, segment: WalSegment, mut content: Vec<u8>, size: SegmentSize) -> Vec<u8> {
    let offset = lsn.0.saturating_sub(segment.start(size).0);
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    if let Some(after) = content.get_mut(offset..) {
        after.fill(0);
    }
    content
}

struct Walk<'a> {
    read: &'a mut dyn FnMut(u64) -> io::Result<Option<Vec<u8>>>,
    size: SegmentSize,
    /// The segment that is being read.
    held: Option<(u64, Vec<u8>)>,
    failed: Option<io::Error>,
    page_bytes: u64,
    magic: u16,
    at: u64,
}

impl Walk<'_> {
    /// Stands at the first record that begins in the first segment.
    fn begin(&mut self) -> Option<()> {
        let at = self.at;
        let header = SegmentHeader::parse(self.slice(at)?).ok()?;
        if header.start.0 != at || header.segment_size != self.size {
            return None;
        }
        let page = PageHeader::parse(self.slice(at)?)?;
        (self.page_bytes, self.magic) = (u64::from(header.page_bytes), page.magic);
        if page.continues_record() {
            let left = page.remaining as usize;
            self.take(left, left, &mut Vec::new())?;
            self.at = self.at.next_multiple_of(ALIGNMENT);
        }
        Some(())
    }

    /// Where the next record begins: after the header, where a page does.
    fn record_start(&mut self) -> u64 {
        let at = self.at;
        if !at.is_multiple_of(self.page_bytes.max(1)) {
            return at;
        }
        let header = self.slice(at).and_then(PageHeader::parse);
        header.map_or(at, |page| at + page.bytes() as u64)
    }

    /// Reads one whole, valid record.
    fn record(&mut self, previous: Option<u64>) -> Option<()> {
        let mut record = Vec::with_capacity(256);
        // The length is never split between pages.
        self.take(4, 0, &mut record)?;
        let length = u32_at(&record, 0)? as usize;
        if !(RECORD_HEADER_BYTES..=LONGEST_RECORD).contains(&length) {
            return None;
        }
        self.take(length - 4, length - 4, &mut record)?;
        if previous.is_some_and(|previous| u64_at(&record, 8) != Some(previous)) {
            return None;
        }
        let (header, data) = record.split_at_checked(RECORD_HEADER_BYTES)?;
        if u32_at(header, CRC_AT)? != crc32c(&[data, &header[..CRC_AT]]) {
            return None;
        }
        let switches = header[17] == RM_XLOG && header[16] & 0xF0 == SWITCH;
        let step = if switches { u64::from(self.size.bytes()) } else { ALIGNMENT };
        self.at = self.at.next_multiple_of(step);
        Some(())
    }

    /// Appends `bytes` of a record, of which `left` are to come: a page that goes on with it says so.
    fn take(&mut self, bytes: usize, left: usize, into: &mut Vec<u8>) -> Option<()> {
        let mut taken = 0;
        while taken < bytes {
            let at = self.at;
            if at.is_multiple_of(self.page_bytes) {
                let page = PageHeader::parse(self.slice(at)?)?;
                let continues = !page.continues_record() || page.remaining as usize == left - taken.min(left);
                if page.magic != self.magic || page.address.0 != at || !continues {
                    return None;
                }
                self.at += page.bytes() as u64;
                continue;
            }
            let room = (self.page_bytes - at % self.page_bytes) as usize;
            let length = room.min(bytes - taken);
            into.extend_from_slice(self.slice(at)?.get(..length)?);
            (self.at, taken) = (at + length as u64, taken + length);
        }
        Some(())
    }

    /// The segment's bytes from a position on.
    fn slice(&mut self, at: u64) -> Option<&[u8]> {
        let size = u64::from(self.size.bytes());
        let number = at / size;
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            self.held = match (self.read)(number) {
                Ok(content) => content.map(|content| (number, content)),
                Err(error) => {
                    self.failed = Some(error);
                    None
                }
            };
        }
        self.held.as_ref()?.1.get((at % size) as usize..)
    }
}

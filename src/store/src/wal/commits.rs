//! The time of the last commit in a segment, so that preflight can tell whether a target time lies
//! within the archive.
//!
//! The records are walked, not replayed. Whatever does not look like WAL ends the walk, and the last
//! commit found until then stands: it is a lower bound, and a push never fails for it.
//!
//! # Source
//! PostgreSQL, `src/include/access/{xlogrecord.h,xact.h,rmgrlist.h}`; the layout is the same in 15 to 18.

use jiff::{SignedDuration, Timestamp};

use crate::wal::header::{PageHeader, SegmentHeader, u32_at, u64_at};

/// Header of a record: length, transaction, previous record, info, resource manager, CRC.
const RECORD_HEADER_BYTES: usize = 24;
/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;
/// A transaction's record.
const RM_XACT: u8 = 1;
/// The bits of the info byte that say which.
const XACT_OPERATION: u8 = 0x70;
const XACT_COMMIT: u8 = 0x00;
const XACT_ABORT: u8 = 0x20;
const XACT_COMMIT_PREPARED: u8 = 0x30;
const XACT_ABORT_PREPARED: u8 = 0x40;
/// Kinds of data of a record that are no block.
const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const DATA_ORIGIN: u8 = 253;
const DATA_TOPLEVEL_XID: u8 = 252;
/// No commit record is longer: 64 MiB hold more than 16 million subtransactions.
const LONGEST_RECORD: usize = 64 << 20;
/// PostgreSQL counts microseconds from 2000-01-01.
const POSTGRES_EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// The time of the last commit or abort whose record lies wholly in the segment.
pub(crate) fn last_commit(header: &SegmentHeader, content: &[u8]) -> Option<Timestamp> {
    let mut walk = Walk::new(header, content)?;
    let mut last = None;
    while let Some(record) = walk.next_record() {
        last = commit_time(&record).or(last);
    }
    last
}

/// Reads a segment's bytes without its page headers.
struct Walk<'a> {
    content: &'a [u8],
    page_bytes: usize,
    start: u64,
    magic: u16,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Stands at the first record that begins in the segment.
    fn new(header: &SegmentHeader, content: &'a [u8]) -> Option<Self> {
        let first = PageHeader::parse(content)?;
        let page_bytes = header.page_bytes as usize;
        let mut walk =
            Self { content, page_bytes, start: header.start.0, magic: first.magic, at: first.bytes() };
        if first.continues_record() {
            walk.skip(first.remaining as usize)?;
            walk.align()?;
        }
        Some(walk)
    }

    /// The next record, whole; none at the end of what looks like WAL.
    fn next_record(&mut self) -> Option<Vec<u8>> {
        self.enter_page()?;
        let length = u32_at(self.content, self.at)? as usize;
        if !(RECORD_HEADER_BYTES..=LONGEST_RECORD).contains(&length) {
            return None;
        }
        let mut record = Vec::with_capacity(length.min(1 << 16));
        while record.len() < length {
            let part = self.part(length - record.len())?;
            record.extend_from_slice(part);
        }
        self.align()?;
        Some(record)
    }

    fn skip(&mut self, mut bytes: usize) -> Option<()> {
        while bytes > 0 {
            bytes -= self.part(bytes)?.len();
        }
        Some(())
    }

    /// Up to `limit` bytes of the page.
    fn part(&mut self, limit: usize) -> Option<&'a [u8]> {
        self.enter_page()?;
        let left = self.page_bytes - self.at % self.page_bytes;
        let part = self.content.get(self.at..self.at + left.min(limit))?;
        self.at += part.len();
        Some(part)
    }

    /// At the beginning of a page, passes over its header if it is the one that belongs there.
    fn enter_page(&mut self) -> Option<()> {
        if !self.at.is_multiple_of(self.page_bytes) {
            return Some(());
        }
        let page = PageHeader::parse(self.content.get(self.at..)?)?;
        if page.magic != self.magic || page.address.0 != self.start + self.at as u64 {
            return None;
        }
        self.at += page.bytes();
        Some(())
    }

    fn align(&mut self) -> Option<()> {
        self.at = self.at.next_multiple_of(ALIGNMENT);
        if self.at < self.content.len() { Some(()) } else { None }
    }
}

/// The time in a commit or abort record; none for all others.
fn commit_time(record: &[u8]) -> Option<Timestamp> {
    let (info, manager) = (*record.get(16)?, *record.get(17)?);
    let operation = info & XACT_OPERATION;
    let ends_transaction =
        matches!(operation, XACT_COMMIT | XACT_ABORT | XACT_COMMIT_PREPARED | XACT_ABORT_PREPARED);
    if manager != RM_XACT || !ends_transaction {
        return None;
    }
    let microseconds = u64_at(main_data(record)?, 0)?.cast_signed();
    POSTGRES_EPOCH.checked_add(SignedDuration::from_micros(microseconds)).ok()
}

/// What follows the headers of a record without blocks, as those of transactions are.
fn main_data(record: &[u8]) -> Option<&[u8]> {
    let mut at = RECORD_HEADER_BYTES;
    loop {
        match *record.get(at)? {
            DATA_ORIGIN => at += 3,
            DATA_TOPLEVEL_XID => at += 5,
            DATA_SHORT => return tail(record, at + 2, usize::from(*record.get(at + 1)?)),
            DATA_LONG => return tail(record, at + 5, u32_at(record, at + 1)? as usize),
            _ => return None,
        }
    }
}

fn tail(record: &[u8], from: usize, length: usize) -> Option<&[u8]> {
    if from + length == record.len() { record.get(from..) } else { None }
}

//! The records of a segment, and the times of its commits, so that preflight can tell whether a target time lies
//! within the archive.
//!
//! The records are walked, not replayed. Whatever does not look like WAL ends the walk, and what was
//! found until then stands: a push never fails for it.
//!
//! # Source
//! PostgreSQL, `src/include/access/{xlogrecord.h,xact.h,rmgrlist.h}`; the layout is the same in 15 to 18.

use jiff::{SignedDuration, Timestamp};
use remount_core::Lsn;

use crate::wal::header::{PageHeader, SegmentHeader, u32_at, u64_at};

/// Header of a record: length, transaction, previous record, info, resource manager, CRC.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;
/// A transaction's record.
pub(crate) const RM_XACT: u8 = 1;
/// The bits of the info byte that say which.
pub(crate) const XACT_OPERATION: u8 = 0x70;
pub(crate) const XACT_COMMIT: u8 = 0x00;
pub(crate) const XACT_ABORT: u8 = 0x20;
pub(crate) const XACT_COMMIT_PREPARED: u8 = 0x30;
pub(crate) const XACT_ABORT_PREPARED: u8 = 0x40;
/// Kinds of data of a record that are no block.
const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const DATA_ORIGIN: u8 = 253;
const DATA_TOPLEVEL_XID: u8 = 252;
/// No commit record is longer: 64 MiB hold more than 16 million subtransactions.
const LONGEST_RECORD: usize = 64 << 20;
/// PostgreSQL counts microseconds from 2000-01-01.
const POSTGRES_EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// A record and where it lies.
pub(crate) struct Placed {
    /// Where it begins.
    pub(crate) begins: Lsn,
    /// Where it ends: the next one may begin here.
    pub(crate) ends: Lsn,
    /// All of it.
    pub(crate) record: Vec<u8>,
}

/// Reads a segment's bytes without its page headers.
pub(crate) struct Walk<'a> {
    content: &'a [u8],
    page_bytes: usize,
    start: u64,
    magic: u16,
    at: usize,
    /// The record that the segment's end cuts off: where it begins, and what there is of it.
    cut: Option<(Lsn, Vec<u8>)>,
}

impl<'a> Walk<'a> {
    /// Stands at the first record that begins in the segment.
    pub(crate) fn new(header: &SegmentHeader, content: &'a [u8]) -> Option<Self> {
        let (mut walk, rest) = Self::before_the_rest(header, content)?;
        walk.skip(rest)?;
        if rest > 0 {
            walk.align()?;
        }
        Some(walk)
    }

    /// What the segment begins with of the record that the one before it cut off, and where that record ends.
    pub(crate) fn rest_of_record(header: &SegmentHeader, content: &'a [u8]) -> Option<(Vec<u8>, Lsn)> {
        let (mut walk, rest) = Self::before_the_rest(header, content)?;
        let mut bytes = Vec::with_capacity(rest.min(1 << 16));
        while bytes.len() < rest {
            bytes.extend_from_slice(walk.part(rest - bytes.len())?);
        }
        walk.align()?;
        Some((bytes, Lsn(walk.start + walk.at as u64)))
    }

    /// Stands behind the first page's header; how many bytes of an earlier record follow.
    fn before_the_rest(header: &SegmentHeader, content: &'a [u8]) -> Option<(Self, usize)> {
        let first = PageHeader::parse(content)?;
        let page_bytes = header.page_bytes as usize;
        let (start, magic, at) = (header.start.0, first.magic, first.bytes());
        let walk = Self { content, page_bytes, start, magic, at, cut: None };
        Some((walk, if first.continues_record() { first.remaining as usize } else { 0 }))
    }

    /// The next record, whole; none at the end of what looks like WAL.
    pub(crate) fn next_record(&mut self) -> Option<Placed> {
        self.enter_page()?;
        let begins = Lsn(self.start + self.at as u64);
        let length = u32_at(self.content, self.at)? as usize;
        if !(RECORD_HEADER_BYTES..=LONGEST_RECORD).contains(&length) {
            return None;
        }
        let mut record = Vec::with_capacity(length.min(1 << 16));
        while record.len() < length {
            let Some(part) = self.part(length - record.len()) else {
                self.cut = (self.at >= self.content.len()).then_some((begins, record));
                return None;
            };
            record.extend_from_slice(part);
        }
        self.at = self.at.next_multiple_of(ALIGNMENT);
        Some(Placed { begins, ends: Lsn(self.start + self.at as u64), record })
    }

    /// The record that the segment's end cuts off, once the walk has come to it.
    pub(crate) fn cut(self) -> Option<(Lsn, Vec<u8>)> {
        self.cut
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
        let part = self.content.get(self.at..(self.at + left.min(limit)).min(self.content.len()))?;
        if part.is_empty() {
            return None;
        }
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
pub(crate) fn commit_time(record: &[u8]) -> Option<Timestamp> {
    let (info, manager) = (*record.get(16)?, *record.get(17)?);
    let operation = info & XACT_OPERATION;
    let ends_transaction =
        matches!(operation, XACT_COMMIT | XACT_ABORT | XACT_COMMIT_PREPARED | XACT_ABORT_PREPARED);
    if manager != RM_XACT || !ends_transaction {
        return None;
    }
    moment(main_data(record)?, 0)
}

/// PostgreSQL's time at this place.
pub(crate) fn moment(data: &[u8], at: usize) -> Option<Timestamp> {
    let microseconds = u64_at(data, at)?.cast_signed();
    POSTGRES_EPOCH.checked_add(SignedDuration::from_micros(microseconds)).ok()
}

/// What follows the headers of a record without blocks, as those of transactions are.
pub(crate) fn main_data(record: &[u8]) -> Option<&[u8]> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use remount_core::{SegmentSize, SystemIdentifier, TimelineId};

    use super::*;

    const PAGE: usize = 8192;

    fn last_commit(header: &SegmentHeader, content: &[u8]) -> Option<Timestamp> {
        let mut walk = Walk::new(header, content)?;
        let records = std::iter::from_fn(|| walk.next_record());
        records.filter_map(|placed| commit_time(&placed.record)).last()
    }

    fn segment(fill: &[u8]) -> Vec<u8> {
        let mut content = vec![0; 1 << 20];
        content[40..40 + fill.len()].copy_from_slice(fill);
        content[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
        content[2..4].copy_from_slice(&2_u16.to_le_bytes());
        content[4..8].copy_from_slice(&1_u32.to_le_bytes());
        content[8..16].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        content[24..32].copy_from_slice(&7_u64.to_le_bytes());
        content[32..36].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        content[36..40].copy_from_slice(&(PAGE as u32).to_le_bytes());
        content
    }

    fn header() -> SegmentHeader {
        let header = SegmentHeader::parse(&segment(&[])).unwrap();
        assert_eq!(header.timeline, TimelineId::FIRST);
        assert_eq!(header.system_identifier, SystemIdentifier(7));
        assert_eq!(header.segment_size, SegmentSize::new(1 << 20).unwrap());
        header
    }

    /// A record of `manager` with this info and main data, padded to the next one.
    fn record(manager: u8, info: u8, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record[..4].copy_from_slice(&((RECORD_HEADER_BYTES + 5 + data.len()) as u32).to_le_bytes());
        (record[16], record[17]) = (info, manager);
        record.push(DATA_LONG);
        record.extend((data.len() as u32).to_le_bytes());
        record.extend(data);
        record.resize(record.len().next_multiple_of(ALIGNMENT), 0);
        record
    }

    fn commit(seconds: i64) -> Vec<u8> {
        record(RM_XACT, XACT_COMMIT | 0x80, &(seconds * 1_000_000).to_le_bytes())
    }

    #[test]
    fn the_last_commit_counts_and_what_follows_it_does_not_matter() {
        let records =
            [commit(1), commit(2), record(10, 0, b"a heap insert"), record(RM_XACT, 0x50, b"12345678")];
        let content = segment(&records.concat());
        let time = last_commit(&header(), &content).unwrap();
        assert_eq!(time.to_string(), "2000-01-01T00:00:02Z");
        assert_eq!(last_commit(&header(), &segment(&record(10, 0, b"x"))), None);
    }

    #[test]
    fn a_record_over_a_page_end_is_read_whole() {
        let mut content = segment(&[]);
        let mut stream = record(10, 0, &vec![1; PAGE - 40 - 29 - 35]);
        stream.extend(commit(3));
        let first = PAGE - 40;
        assert!(stream.len() > first, "the commit crosses the page's end");
        content[40..PAGE].copy_from_slice(&stream[..first]);
        content[PAGE..PAGE + 2].copy_from_slice(&0xD110_u16.to_le_bytes());
        content[PAGE + 8..PAGE + 16].copy_from_slice(&((1_u64 << 20) + PAGE as u64).to_le_bytes());
        let rest = &stream[first..];
        content[PAGE + 24..PAGE + 24 + rest.len()].copy_from_slice(rest);
        assert_eq!(last_commit(&header(), &content).unwrap().to_string(), "2000-01-01T00:00:03Z");
        content[PAGE + 8] = 1; // A page of an older use of the file.
        assert_eq!(last_commit(&header(), &content), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(fill in prop::collection::vec(any::<u8>(), 0..PAGE), at in 0_usize..4) {
            let mut content = segment(&fill);
            content[2] |= u8::try_from(at & 1).unwrap();
            content[16..20].copy_from_slice(&fill.first_chunk().copied().unwrap_or([at as u8; 4]));
            last_commit(&header(), &content);
        }

        #[test]
        fn changed_lengths_never_panic(length: u32, main: u32) {
            let mut fill = commit(1);
            fill[..4].copy_from_slice(&length.to_le_bytes());
            fill[25..29].copy_from_slice(&main.to_le_bytes());
            last_commit(&header(), &segment(&fill));
        }
    }
}

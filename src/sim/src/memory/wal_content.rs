//! The records of a segment as PostgreSQL would write them, as far as Remount reads WAL.

use bytes::Bytes;
use jiff::Timestamp;
use remount_core::{Lsn, WalSegment};

use super::postgres::{RECORD_BYTES, Record, SYSTEM, What, size};
use crate::sample_segment;

const PAGE_BYTES: usize = 8192;
/// Header of the segment's first page, and of each other.
const LONG_HEADER_BYTES: usize = 40;
const SHORT_HEADER_BYTES: usize = 24;
/// Header of a record, and of its main data.
const RECORD_HEADER_BYTES: usize = 24 + 5;
/// A transaction's record, and another one's.
const RM_XACT: u8 = 1;
const RM_HEAP: u8 = 10;
const DATA_LONG: u8 = 254;
/// PostgreSQL counts from 2000-01-01.
const POSTGRES_EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// A segment with these records, which follow each other from its beginning.
pub fn write(segment: WalSegment, records: &[Record]) -> Bytes {
    let mut content = sample_segment(segment, size(), SYSTEM).to_vec();
    let start = segment.start(size()).0;
    for record in records {
        let at = usize::try_from(record.lsn.0 - start).expect("a record of this segment");
        write_record(&mut content, at, start, record);
    }
    content.into()
}

/// The records of a segment.
pub fn read(content: &[u8]) -> Result<Vec<Record>, String> {
    let start = Lsn(number_at(content, 8).ok_or("the segment is too short")?);
    let places = (0..content.len()).step_by(RECORD_BYTES as usize);
    let records = places.map_while(|at| read_record(content, at, start));
    Ok(records.collect())
}

fn read_record(content: &[u8], at: usize, start: Lsn) -> Option<Record> {
    let data = at + page_header_bytes(at) + RECORD_HEADER_BYTES;
    let what = match content.get(data + 24)? {
        1 => What::Row(number_at(content, data + 16)?),
        2 => What::Empty,
        3 => What::Other,
        _ => return None, // Zeros: the segment was closed before it was full.
    };
    let nanoseconds = number_at(content, data + 8)?.cast_signed();
    let at_time = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    Some(Record { lsn: Lsn(start.0 + at as u64), at: at_time, what })
}

fn number_at(content: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*content.get(at..)?.first_chunk()?))
}

const fn page_header_bytes(at: usize) -> usize {
    match at {
        0 => LONG_HEADER_BYTES,
        _ if at.is_multiple_of(PAGE_BYTES) => SHORT_HEADER_BYTES,
        _ => 0,
    }
}

/// Where a page begins, its header comes first, and the record is so much shorter.
fn write_record(content: &mut [u8], at: usize, start: u64, record: &Record) {
    let page_header = page_header_bytes(at);
    if page_header == SHORT_HEADER_BYTES {
        content.copy_within(..2, at);
        content.copy_within(4..8, at + 4);
        content[at + 8..at + 16].copy_from_slice(&(start + at as u64).to_le_bytes());
    }
    let length = RECORD_BYTES as usize - page_header;
    let bytes = &mut content[at + page_header..][..length];
    let number = |number: usize| u32::try_from(number).expect("a record is short").to_le_bytes();
    bytes[..4].copy_from_slice(&number(length));
    let (manager, id, code) = match record.what {
        What::Row(id) => (RM_XACT, id, 1),
        What::Empty => (RM_XACT, 0, 2),
        What::Other => (RM_HEAP, 0, 3),
    };
    bytes[4..8].copy_from_slice(&u32::try_from(id).unwrap_or(0).to_le_bytes());
    bytes[17] = manager;
    bytes[24] = DATA_LONG;
    bytes[25..29].copy_from_slice(&number(length - RECORD_HEADER_BYTES));
    let micros = record.at.duration_since(POSTGRES_EPOCH).as_micros();
    bytes[29..37].copy_from_slice(&i64::try_from(micros).unwrap_or_default().to_le_bytes());
    // For the servers here, where Remount does not look: the whole time, and what it is.
    let nanoseconds = i64::try_from(record.at.as_nanosecond()).unwrap_or_default();
    bytes[37..45].copy_from_slice(&nanoseconds.to_le_bytes());
    bytes[45..53].copy_from_slice(&id.to_le_bytes());
    bytes[53] = code;
}

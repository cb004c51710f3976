//! The records of a segment as PostgreSQL would write them, as far as Remount reads WAL, and beside them, where no
//! record lies, as JSON for the servers here.

use bytes::Bytes;
use jiff::Timestamp;
use remount_core::WalSegment;

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
/// Where the JSON begins: in the second half of the segment.
const JSON_AT: usize = 512 << 10;
/// PostgreSQL counts from 2000-01-01.
const POSTGRES_EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// A segment with these records, which follow each other from its beginning.
pub fn write(segment: WalSegment, records: &[Record]) -> Bytes {
    let mut content = sample_segment(segment, size(), SYSTEM).to_vec();
    let start = segment.start(size()).0;
    for record in records {
        let at = usize::try_from(record.lsn.0 - start).expect("a record of this segment");
        assert!(at < JSON_AT, "the segment has no room for so many records");
        write_record(&mut content, at, start, record);
    }
    let json = serde_json::to_vec(records).expect("records are JSON");
    content[JSON_AT - 8..JSON_AT].copy_from_slice(&(json.len() as u64).to_le_bytes());
    content[JSON_AT..JSON_AT + json.len()].copy_from_slice(&json);
    content.into()
}

/// The records of a segment.
pub fn read(content: &[u8]) -> Result<Vec<Record>, String> {
    let length = content.get(JSON_AT - 8..).and_then(|bytes| bytes.first_chunk());
    let length = usize::try_from(u64::from_le_bytes(*length.ok_or("the segment is too short")?));
    let json = length.ok().and_then(|length| content.get(JSON_AT..)?.get(..length));
    serde_json::from_slice(json.ok_or("the segment has no records")?).map_err(|error| error.to_string())
}

/// Where a page begins, its header comes first, and the record is so much shorter.
fn write_record(content: &mut [u8], at: usize, start: u64, record: &Record) {
    let page_header = match at {
        0 => LONG_HEADER_BYTES,
        _ if at.is_multiple_of(PAGE_BYTES) => SHORT_HEADER_BYTES,
        _ => 0,
    };
    if page_header == SHORT_HEADER_BYTES {
        content.copy_within(..2, at);
        content.copy_within(4..8, at + 4);
        content[at + 8..at + 16].copy_from_slice(&(start + at as u64).to_le_bytes());
    }
    let length = usize::try_from(RECORD_BYTES).expect("a record is short") - page_header;
    let bytes = &mut content[at + page_header..][..length];
    let number = |number: usize| u32::try_from(number).expect("a record is short").to_le_bytes();
    bytes[..4].copy_from_slice(&number(length));
    let (manager, xid) = match record.what {
        What::Row(id) => (RM_XACT, u32::try_from(id).unwrap_or(0)),
        What::Empty => (RM_XACT, 0),
        What::Other => (RM_HEAP, 0),
    };
    bytes[4..8].copy_from_slice(&xid.to_le_bytes());
    bytes[17] = manager;
    bytes[24] = DATA_LONG;
    bytes[25..29].copy_from_slice(&number(length - RECORD_HEADER_BYTES));
    let micros = record.at.duration_since(POSTGRES_EPOCH).as_micros();
    bytes[29..37].copy_from_slice(&i64::try_from(micros).unwrap_or_default().to_le_bytes());
}

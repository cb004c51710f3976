//! What records say of transactions and restore points.
//!
//! # Source
//! PostgreSQL, `src/include/access/{xact.h,xlog_internal.h}`, `src/backend/access/rmgrdesc/xactdesc.c`
//! (`ParseCommitRecord`, `ParseAbortRecord`); read for 15 to 18, which differ in `xl_xact_stats_item` alone.

use jiff::Timestamp;
use remount_core::MarkKind;

use crate::wal::commits::{
    RECORD_HEADER_BYTES, RM_XACT, XACT_ABORT, XACT_ABORT_PREPARED, XACT_COMMIT, XACT_COMMIT_PREPARED,
    XACT_OPERATION, main_data, moment,
};
use crate::wal::header::u32_at;

/// A record of the log itself.
const RM_XLOG: u8 = 0;
const XLOG_OPERATION: u8 = 0xF0;
const XLOG_RESTORE_POINT: u8 = 0x70;
const XACT_PREPARE: u8 = 0x10;
/// The bit of the info byte that says that `xinfo` follows the time.
const XACT_HAS_INFO: u8 = 0x80;

/// The bits of `xinfo`, and the bytes of an entry of what each stands for.
const HAS_DATABASE: u32 = 1;
const HAS_PARTS: u32 = 1 << 1;
const HAS_FILES: u32 = 1 << 2;
const HAS_INVALIDATIONS: u32 = 1 << 3;
const HAS_TWO_PHASE: u32 = 1 << 4;
const HAS_DROPPED_STATISTICS: u32 = 1 << 8;
const FILE_BYTES: usize = 12;
const INVALIDATION_BYTES: usize = 16;

/// What a record says of a transaction or a restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A transaction has ended, and its parts with it.
    Ended { xid: u32, kind: MarkKind, parts: Vec<u32>, time: Timestamp },
    /// A transaction was prepared.
    Prepared { xid: u32, time: Timestamp },
    /// A restore point was made.
    Point { name: String, time: Timestamp },
}

impl Said {
    /// What the record says; none where it is about something else.
    pub(crate) fn of(record: &[u8], major: u32) -> Option<Self> {
        let (xid, info, manager) = (u32_at(record, 4)?, *record.get(16)?, *record.get(17)?);
        match (manager, info & XACT_OPERATION, info & XLOG_OPERATION) {
            (RM_XLOG, _, XLOG_RESTORE_POINT) => point(main_data(record)?),
            (RM_XACT, XACT_PREPARE, _) => prepared(main_data(record)?),
            (RM_XACT, XACT_COMMIT | XACT_COMMIT_PREPARED, _) => {
                ended(main_data(record)?, info, (xid, MarkKind::Commit), major)
            }
            (RM_XACT, XACT_ABORT | XACT_ABORT_PREPARED, _) => {
                ended(main_data(record)?, info, (xid, MarkKind::Abort), major)
            }
            _ => None,
        }
    }

    /// Whether the beginning of a record could be that of one of these: what cannot be told apart could.
    pub(crate) fn could_begin_with(head: &[u8]) -> bool {
        let (Some(info), Some(manager)) = (head.get(16), head.get(17)) else { return true };
        match *manager {
            RM_XLOG => info & XLOG_OPERATION == XLOG_RESTORE_POINT,
            RM_XACT => true,
            _ => false,
        }
    }
}

fn point(data: &[u8]) -> Option<Said> {
    let name = data.get(8..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some(Said::Point { name: String::from_utf8_lossy(&name[..end]).into_owned(), time: moment(data, 0)? })
}

fn prepared(data: &[u8]) -> Option<Said> {
    Some(Said::Prepared { xid: u32_at(data, 8)?, time: moment(data, 16)? })
}

/// The end of a prepared transaction is written by another one, and names it behind everything else.
fn ended(data: &[u8], info: u8, (own, kind): (u32, MarkKind), major: u32) -> Option<Said> {
    let time = moment(data, 0)?;
    let mut end = Said::Ended { xid: own, kind, parts: Vec::new(), time };
    if info & XACT_HAS_INFO == 0 {
        return Some(end);
    }
    // A layout that this version does not know still tells the time and the transaction.
    if let Some((parts, two_phase)) = details(data, major) {
        end = Said::Ended { xid: two_phase.unwrap_or(own), kind, parts, time };
    }
    Some(end)
}

fn details(data: &[u8], major: u32) -> Option<(Vec<u32>, Option<u32>)> {
    let has = u32_at(data, 8)?;
    let mut at = 12;
    if has & HAS_DATABASE != 0 {
        at += 8;
    }
    let mut parts = Vec::new();
    if has & HAS_PARTS != 0 {
        let count = u32_at(data, at)? as usize;
        let bytes = data.get(at + 4..)?.get(..count.checked_mul(4)?)?;
        parts = bytes.chunks_exact(4).filter_map(|xid| u32_at(xid, 0)).collect();
        at += 4 + bytes.len();
    }
    let statistics_bytes = if major >= 18 { 16 } else { 12 };
    let lists = [
        (HAS_FILES, FILE_BYTES),
        (HAS_DROPPED_STATISTICS, statistics_bytes),
        (HAS_INVALIDATIONS, INVALIDATION_BYTES),
    ];
    for (bit, entry_bytes) in lists {
        if has & bit != 0 {
            let bytes = (u32_at(data, at)? as usize).checked_mul(entry_bytes)?;
            at = at.checked_add(4)?.checked_add(bytes)?;
        }
    }
    let two_phase = if has & HAS_TWO_PHASE != 0 { Some(u32_at(data, at)?) } else { None };
    Some((parts, two_phase))
}

const _: () = assert!(RECORD_HEADER_BYTES > 17, "info and manager lie in a record's header");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(manager: u8, info: u8, xid: u32, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record[4..8].copy_from_slice(&xid.to_le_bytes());
        (record[16], record[17]) = (info, manager);
        record.push(254);
        record.extend((data.len() as u32).to_le_bytes());
        record.extend(data);
        record
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_end_of_a_prepared_transaction_names_it_behind_everything_else() {
        for (major, statistics) in [(15, 3), (18, 4)] {
            let has = HAS_DATABASE
                | HAS_PARTS
                | HAS_FILES
                | HAS_DROPPED_STATISTICS
                | HAS_INVALIDATIONS
                | HAS_TWO_PHASE;
            let mut data = words(&[1_000_000, 0, has, 16384, 1663, 2, 743, 744, 1, 1, 2, 3, 1]);
            data.extend(vec![0; statistics * 4]);
            data.extend(words(&[1, 0, 0, 0, 0, 742]));
            let said = Said::of(&record(RM_XACT, XACT_COMMIT_PREPARED | XACT_HAS_INFO, 0, &data), major);
            let time = "2000-01-01T00:00:01Z".parse().unwrap();
            let parts = vec![743, 744];
            assert_eq!(said, Some(Said::Ended { xid: 742, kind: MarkKind::Commit, parts, time }), "{major}");
        }
    }

    #[test]
    fn a_restore_point_tells_its_name() {
        let mut data = words(&[2_000_000, 0]);
        data.extend(b"before-migration\0\0\0");
        let said = Said::of(&record(RM_XLOG, XLOG_RESTORE_POINT, 0, &data), 15);
        let time = "2000-01-01T00:00:02Z".parse().unwrap();
        assert_eq!(said, Some(Said::Point { name: "before-migration".into(), time }));
        assert_eq!(Said::of(&record(RM_XLOG, 0x10, 0, &data), 15), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(manager in 0u8..3, info: u8, data in prop::collection::vec(any::<u8>(), 0..200)) {
            Said::of(&record(manager, info, 1, &data), 18);
            Said::of(&data, 15);
        }
    }
}

//! What a segment says of transactions and restore points, in few bytes: kept beside it by the push, which reads the
//! segment anyway, so that a search for a target need not fetch and read the whole archive.
//!
//! It is a hint, and only ever leads to a segment, which is then read: a push never fails for it, and where it is
//! missing or cannot be read the segment itself is asked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use remount_core::{Lsn, MarkKind, WalMark, WalSegment};
use serde::{Deserialize, Serialize};

use crate::wal::SegmentHeader;
use crate::wal::commits::{Placed, Walk, commit_time};
use crate::wal::records::Said;

/// No summary is longer, whatever names its restore points have: where one is, the segment itself is read.
pub(crate) const SUMMARY_BYTES_MAX: u64 = 16 << 10;

/// What a segment says of transactions and restore points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSummary {
    /// As of every document.
    pub format: u32,
    /// The first commit or abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_commit: Option<Timestamp>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit: Option<Timestamp>,
    /// The transactions that are named, and their parts: ranges from first to last, which may hold others too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transactions: Vec<(u32, u32)>,
    /// The names of the restore points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_points: Vec<String>,
    /// Whether there are more restore points than are named.
    #[serde(default)]
    pub more_restore_points: bool,
    /// Whether the last record goes on in the next segment and may be about a transaction or a restore point.
    #[serde(default)]
    pub goes_on: bool,
}

/// A summary has no more ranges; the narrowest gaps between them are closed.
const RANGES_MAX: usize = 128;
/// A summary names no more restore points.
const RESTORE_POINTS_MAX: usize = 32;

/// What is searched for in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchedFor {
    /// A transaction, by the 32 bits that the WAL has of its number.
    Transaction(u32),
    /// A restore point.
    RestorePoint(String),
}

impl SegmentSummary {
    /// Reads the segment.
    pub(crate) fn of(header: &SegmentHeader, content: &[u8]) -> Self {
        let mut summary = Self { format: remount_core::documents::FORMAT, ..Self::default() };
        let Some(mut walk) = Walk::new(header, content) else { return summary };
        let mut transactions = BTreeSet::new();
        while let Some(Placed { record, .. }) = walk.next_record() {
            if let Some(time) = commit_time(&record) {
                summary.first_commit.get_or_insert(time);
                summary.last_commit = Some(time);
            }
            summary.note(Said::of(&record, header.major), &mut transactions);
        }
        summary.goes_on = walk.cut().is_some_and(|(_, head)| Said::could_begin_with(&head));
        summary.transactions = ranges(&transactions);
        summary
    }

    fn note(&mut self, said: Option<Said>, transactions: &mut BTreeSet<u32>) {
        match said {
            Some(Said::Ended { xid, parts, .. }) => transactions.extend(parts.into_iter().chain([xid])),
            Some(Said::Prepared { xid, .. }) => transactions.extend([xid]),
            Some(Said::Point { .. }) if self.restore_points.len() >= RESTORE_POINTS_MAX => {
                self.more_restore_points = true;
            }
            Some(Said::Point { name, .. }) => self.restore_points.push(name),
            None => {}
        }
    }

    /// Whether the segment may say something of it.
    #[must_use]
    pub fn may_tell_of(&self, wanted: &SearchedFor) -> bool {
        self.goes_on
            || match wanted {
                SearchedFor::Transaction(xid) => {
                    self.transactions.iter().any(|(first, last)| (first..=last).contains(&xid))
                }
                SearchedFor::RestorePoint(name) => {
                    self.more_restore_points || self.restore_points.contains(name)
                }
            }
    }
}

/// Every record of the segment that tells of what is searched for. The last record may go on in the next segment.
pub(crate) fn marks(
    wanted: &SearchedFor,
    segment: WalSegment,
    content: (&SegmentHeader, &[u8]),
    next: Option<(&SegmentHeader, &[u8])>,
) -> Vec<WalMark> {
    let (header, bytes) = content;
    let mut found = Vec::new();
    let Some(mut walk) = Walk::new(header, bytes) else { return found };
    while let Some(placed) = walk.next_record() {
        found.extend(mark(wanted, segment, header.major, &placed));
    }
    let whole = walk.cut().zip(next).and_then(|((begins, mut record), (header, bytes))| {
        let (rest, ends) = Walk::rest_of_record(header, bytes)?;
        record.extend(rest);
        Some(Placed { begins, ends, record })
    });
    found.extend(whole.and_then(|placed| mark(wanted, segment, header.major, &placed)));
    found
}

fn mark(wanted: &SearchedFor, segment: WalSegment, major: u32, placed: &Placed) -> Option<WalMark> {
    let (kind, time) = match (Said::of(&placed.record, major)?, wanted) {
        (Said::Ended { xid, kind, time, .. }, SearchedFor::Transaction(wanted)) if xid == *wanted => {
            (kind, time)
        }
        (Said::Ended { xid, parts, time, .. }, SearchedFor::Transaction(wanted))
            if parts.contains(wanted) =>
        {
            (MarkKind::PartOf(xid), time)
        }
        (Said::Prepared { xid, time }, SearchedFor::Transaction(wanted)) if xid == *wanted => {
            (MarkKind::Prepared, time)
        }
        (Said::Point { name, time }, SearchedFor::RestorePoint(wanted)) if name == *wanted => {
            (MarkKind::RestorePoint, time)
        }
        _ => return None,
    };
    Some(WalMark { segment, begins: placed.begins, ends: placed.ends, time, kind })
}

/// The first and the last commit or abort between two positions.
pub(crate) fn commits_between(
    (header, content): (&SegmentHeader, &[u8]),
    from: Lsn,
    to: Lsn,
) -> Option<(Timestamp, Timestamp)> {
    let mut walk = Walk::new(header, content)?;
    let mut span: Option<(Timestamp, Timestamp)> = None;
    while let Some(placed) = walk.next_record() {
        if placed.begins >= from
            && placed.begins < to
            && let Some(time) = commit_time(&placed.record)
        {
            span = Some((span.map_or(time, |(first, _)| first), time));
        }
    }
    span
}

/// As few ranges as are allowed, by closing the narrowest gaps.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    if ranges.len() <= RANGES_MAX {
        return ranges;
    }
    let mut gaps: Vec<u32> = ranges.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    gaps.sort_unstable();
    let narrow = gaps[ranges.len() - RANGES_MAX - 1];
    let mut to_close = ranges.len() - RANGES_MAX;
    let mut closed: Vec<(u32, u32)> = Vec::with_capacity(RANGES_MAX);
    for (first, range_last) in ranges {
        match closed.last_mut() {
            Some((_, last)) if to_close > 0 && first - *last <= narrow => {
                *last = range_last;
                to_close -= 1;
            }
            _ => closed.push((first, range_last)),
        }
    }
    closed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_transaction_is_lost_and_the_ranges_are_bounded(
            numbers in prop::collection::btree_set(0u32..2000, 0..600),
        ) {
            let summary = SegmentSummary { transactions: ranges(&numbers), ..SegmentSummary::default() };
            prop_assert!(summary.transactions.len() <= RANGES_MAX);
            for number in numbers {
                prop_assert!(summary.may_tell_of(&SearchedFor::Transaction(number)));
            }
        }
    }

    #[test]
    fn a_summary_stays_small_whatever_a_segment_holds() {
        let numbers: BTreeSet<u32> = (0..100_000).map(|n| u32::MAX - 40_000 * n).collect();
        let name = "\u{1}".repeat(63); // JSON writes it as six bytes.
        let summary = SegmentSummary {
            transactions: ranges(&numbers),
            restore_points: vec![name; RESTORE_POINTS_MAX],
            ..SegmentSummary::default()
        };
        assert!(serde_json::to_string(&summary).unwrap().len() as u64 <= SUMMARY_BYTES_MAX);
    }
}

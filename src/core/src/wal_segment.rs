//! WAL segments and their file names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Lsn, TimelineId};

/// The size of a WAL segment file in bytes: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SegmentSize(u32);

/// The number is not a WAL segment size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes is not a WAL segment size (a power of two from 1 MiB to 1 GiB)")]
pub struct SegmentSizeError(u32);

impl SegmentSize {
    /// What `initdb` chooses unless told otherwise: 16 MiB.
    pub const DEFAULT: Self = Self(16 << 20);

    /// The size with this number of bytes.
    ///
    /// # Errors
    /// The number is no power of two between 1 MiB and 1 GiB.
    pub fn new(bytes: u32) -> Result<Self, SegmentSizeError> {
        let fits = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        if fits { Ok(Self(bytes)) } else { Err(SegmentSizeError(bytes)) }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// Segments that share the middle eight digits of a name.
    const fn per_log(self) -> u64 {
        0x1_0000_0000 / self.0 as u64
    }
}

impl TryFrom<u32> for SegmentSize {
    type Error = SegmentSizeError;

    fn try_from(bytes: u32) -> Result<Self, SegmentSizeError> {
        Self::new(bytes)
    }
}

impl From<SegmentSize> for u32 {
    fn from(size: SegmentSize) -> Self {
        size.0
    }
}

/// One WAL segment, as its 24-digit file name says: timeline, and two halves of its number.
///
/// The order is that of the names: by timeline, then by position.
///
/// # Source
/// PostgreSQL documentation, chapter "WAL Internals".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WalSegment {
    /// The timeline that wrote it.
    pub timeline: TimelineId,
    log: u32,
    seg: u32,
}

/// The text is not the name of a WAL segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a WAL segment name (24 upper-case hexadecimal digits)")]
pub struct WalSegmentError(String);

impl WalSegment {
    /// The segment of `timeline` that holds the byte at `lsn`.
    #[must_use]
    pub fn containing(timeline: TimelineId, lsn: Lsn, size: SegmentSize) -> Self {
        Self::numbered(timeline, lsn.0 / u64::from(size.bytes()), size)
    }

    /// The segment of `timeline` with this number, counted from the log's beginning.
    #[must_use]
    pub fn numbered(timeline: TimelineId, number: u64, size: SegmentSize) -> Self {
        let log = u32::try_from(number / size.per_log()).unwrap_or(u32::MAX);
        let seg = u32::try_from(number % size.per_log()).unwrap_or(u32::MAX);
        Self { timeline, log, seg }
    }

    /// Its number, counted from the log's beginning.
    #[must_use]
    pub const fn number(self, size: SegmentSize) -> u64 {
        self.log as u64 * size.per_log() + self.seg as u64
    }

    /// The position of its first byte.
    #[must_use]
    pub const fn start(self, size: SegmentSize) -> Lsn {
        Lsn(self.number(size).saturating_mul(size.0 as u64))
    }

    /// The position after its last byte.
    #[must_use]
    pub const fn end(self, size: SegmentSize) -> Lsn {
        Lsn(self.start(size).0.saturating_add(size.0 as u64))
    }

    /// The segment after this one on the same timeline.
    #[must_use]
    pub fn next(self, size: SegmentSize) -> Self {
        Self::numbered(self.timeline, self.number(size).saturating_add(1), size)
    }

    /// The segment with the same number on another timeline.
    #[must_use]
    pub const fn on(self, timeline: TimelineId) -> Self {
        Self { timeline, ..self }
    }

    /// Whether the name can belong to a log with segments of this size.
    #[must_use]
    pub const fn fits(self, size: SegmentSize) -> bool {
        (self.seg as u64) < size.per_log()
    }
}

impl fmt::Display for WalSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline.get(), self.log, self.seg)
    }
}

impl FromStr for WalSegment {
    type Err = WalSegmentError;

    fn from_str(text: &str) -> Result<Self, WalSegmentError> {
        let wrong = || WalSegmentError(text.to_owned());
        let digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if text.len() != 24 || !text.bytes().all(digit) {
            return Err(wrong());
        }
        let part = |from: usize| u32::from_str_radix(&text[from..from + 8], 16).map_err(|_| wrong());
        let timeline = TimelineId::new(part(0)?).map_err(|_| wrong())?;
        Ok(Self { timeline, log: part(8)?, seg: part(16)? })
    }
}

impl TryFrom<String> for WalSegment {
    type Error = WalSegmentError;

    fn try_from(text: String) -> Result<Self, WalSegmentError> {
        text.parse()
    }
}

impl From<WalSegment> for String {
    fn from(segment: WalSegment) -> Self {
        segment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes() -> impl Strategy<Value = SegmentSize> {
        (20u32..=30).prop_map(|shift| SegmentSize::new(1 << shift).unwrap())
    }

    proptest! {
        #[test]
        fn a_name_is_read_back(raw in 0u64..1 << 60, number in 1u32.., size in sizes()) {
            let segment = WalSegment::containing(TimelineId::new(number).unwrap(), Lsn(raw), size);
            prop_assert_eq!(segment.to_string().parse(), Ok(segment));
        }

        #[test]
        fn a_segment_holds_the_position_it_was_made_from(raw in 0u64..1 << 60, size in sizes()) {
            let segment = WalSegment::containing(TimelineId::FIRST, Lsn(raw), size);
            prop_assert!(segment.start(size) <= Lsn(raw) && Lsn(raw) < segment.end(size));
            prop_assert_eq!(segment.next(size).start(size), segment.end(size));
            prop_assert!(segment.fits(size));
        }
    }

    #[test]
    fn postgresqls_own_names() {
        let segment = WalSegment::containing(TimelineId::FIRST, Lsn(0x1_FF00_0000), SegmentSize::DEFAULT);
        assert_eq!(segment.to_string(), "0000000100000001000000FF");
        assert_eq!(segment.next(SegmentSize::DEFAULT).to_string(), "000000010000000200000000");
    }

    #[test]
    fn partial_files_and_history_files_are_no_segments() {
        for text in ["000000010000000000000001.partial", "00000002.history", "000000000000000000000001", ""] {
            assert!(text.parse::<WalSegment>().is_err(), "{text} was taken for a segment");
        }
    }
}

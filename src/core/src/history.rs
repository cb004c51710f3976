//! Timeline history files: where each timeline left its parent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Lsn, SegmentSize, TimelineId, WalSegment};

/// One line of a history file: `parent` was left at `lsn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The timeline that was left.
    pub parent: TimelineId,
    /// The first position that belongs to the child.
    pub lsn: Lsn,
    /// PostgreSQL's own reason, as "no recovery target specified".
    #[serde(default)]
    pub reason: String,
}

/// The ancestry of one timeline, oldest fork first. Timeline 1 has none.
///
/// # Source
/// PostgreSQL documentation, chapter "Continuous Archiving", section "Timelines"; the file
/// `00000002.history` holds the ancestry of timeline 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineHistory {
    /// The timeline whose ancestry this is.
    pub timeline: TimelineId,
    /// The forks on the way to it, oldest first.
    pub forks: Vec<Fork>,
}

/// The file is not a history file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A line has not the form `timeline LSN reason`.
    #[error("line {line} of the history of timeline {timeline} is not `timeline LSN reason`")]
    Syntax {
        /// Whose history it is.
        timeline: TimelineId,
        /// Counted from 1.
        line: usize,
    },
    /// Timelines do not rise.
    #[error("line {line} of the history of timeline {timeline} goes back in timeline")]
    Order {
        /// Whose history it is.
        timeline: TimelineId,
        /// Counted from 1.
        line: usize,
    },
}

impl TimelineHistory {
    /// The history of a timeline that leaves this line at `lsn`: what is later is not in it.
    #[must_use]
    pub fn left_at(&self, lsn: Lsn, timeline: TimelineId) -> Self {
        let parent = self.owner_of(Lsn(lsn.0.saturating_sub(1)));
        let before = self.forks.iter().filter(|earlier| earlier.parent < parent);
        let new = Fork { parent, lsn, reason: String::new() };
        Self { timeline, forks: before.cloned().chain([new]).collect() }
    }

    /// The history of the first timeline.
    #[must_use]
    pub const fn first() -> Self {
        Self { timeline: TimelineId::FIRST, forks: Vec::new() }
    }

    /// Reads the text of the history file of `timeline`. Blank lines and `#` comments are passed over.
    ///
    /// Positions may go back: a restore that follows timeline 2 but stops before 2 left 1 writes such
    /// a file. PostgreSQL looks a position up from the newest line to the oldest, so a timeline that
    /// was left before it began owns nothing; it is left out here, and positions rise.
    ///
    /// # Errors
    /// A line that PostgreSQL would not accept.
    pub fn parse(timeline: TimelineId, text: &str) -> Result<Self, HistoryError> {
        let mut forks: Vec<Fork> = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let content = raw.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let fork = parse_fork(content).ok_or(HistoryError::Syntax { timeline, line })?;
            let rises = forks.last().is_none_or(|last| last.parent < fork.parent);
            if !rises || fork.parent >= timeline {
                return Err(HistoryError::Order { timeline, line });
            }
            forks.push(fork);
        }
        Ok(Self { timeline, forks: without_empty_timelines(forks) })
    }

    /// The file's name, as `00000002.history`.
    #[must_use]
    pub fn file_name(timeline: TimelineId) -> String {
        format!("{}.history", timeline.hex())
    }

    /// The timeline that a file name belongs to, where it is the name of a history file.
    #[must_use]
    pub fn timeline_of(file_name: &str) -> Option<TimelineId> {
        let digits = file_name.strip_suffix(".history")?;
        let plain =
            digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        if !plain {
            return None;
        }
        TimelineId::new(u32::from_str_radix(digits, 16).ok()?).ok()
    }

    /// Where this history left `timeline`: none for the timeline itself
    /// (it has no end yet) and for timelines that are not ancestors.
    #[must_use]
    pub fn left(&self, timeline: TimelineId) -> Option<Lsn> {
        self.forks.iter().find(|fork| fork.parent == timeline).map(|fork| fork.lsn)
    }

    /// Whether `timeline` is this timeline or one of its ancestors.
    #[must_use]
    pub fn includes(&self, timeline: TimelineId) -> bool {
        timeline == self.timeline || self.left(timeline).is_some()
    }

    /// Whether all that was written on `timeline` before `end` is on this history; where the end is not known, only the
    /// youngest timeline's is for certain.
    #[must_use]
    pub fn holds(&self, timeline: TimelineId, end: Option<Lsn>) -> bool {
        let before = |left: Lsn| end.is_some_and(|end| end <= left);
        timeline == self.timeline || self.left(timeline).is_some_and(before)
    }

    /// The same history, ending with `timeline` instead of going on to the youngest.
    #[must_use]
    pub fn up_to(&self, timeline: TimelineId) -> Self {
        let forks = self.forks.iter().filter(|fork| fork.parent < timeline).cloned().collect();
        Self { timeline: timeline.min(self.timeline), forks }
    }

    /// The timeline of the history that owns the byte at `lsn`.
    #[must_use]
    pub fn owner_of(&self, lsn: Lsn) -> TimelineId {
        self.forks.iter().find(|fork| lsn < fork.lsn).map_or(self.timeline, |fork| fork.parent)
    }

    /// The one timeline from which the segment with this number is to be read: that of the
    /// segment's last byte, because a child's first segment begins with a copy of its parent's.
    #[must_use]
    pub fn expected(&self, number: u64, size: SegmentSize) -> WalSegment {
        let last_byte = WalSegment::numbered(self.timeline, number, size).end(size).0 - 1;
        WalSegment::numbered(self.owner_of(Lsn(last_byte)), number, size)
    }
}

/// Takes out the timelines that own nothing because a later line of the file goes back before their
/// beginning: what they had left then was left by an older one.
fn without_empty_timelines(forks: Vec<Fork>) -> Vec<Fork> {
    let mut kept: Vec<Fork> = Vec::with_capacity(forks.len());
    for mut fork in forks {
        while let Some(last) = kept.pop_if(|last| fork.lsn < last.lsn) {
            fork.parent = last.parent;
        }
        kept.push(fork);
    }
    kept
}

/// Splits at blanks: PostgreSQL writes tabs, hands write spaces.
fn parse_fork(line: &str) -> Option<Fork> {
    let (parent, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (lsn, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(Fork { parent: parent.parse().ok()?, lsn: lsn.parse().ok()?, reason: reason.trim().to_owned() })
}

impl fmt::Display for TimelineHistory {
    /// The timeline history, as `1 → 2 (from 0/7000000)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut children = self.forks.iter().skip(1).map(|fork| fork.parent).chain([self.timeline]);
        write!(f, "{}", self.forks.first().map_or(self.timeline, |fork| fork.parent))?;
        for fork in &self.forks {
            write!(f, " → {} (from {})", children.next().unwrap_or(self.timeline), fork.lsn)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(number: u32) -> TimelineId {
        TimelineId::new(number).unwrap()
    }

    fn third() -> TimelineHistory {
        let text = "1\t0/4000000\tno recovery target specified\n\n2\t0/7000100\tbefore 2026\n";
        TimelineHistory::parse(timeline(3), text).unwrap()
    }

    #[test]
    fn a_segment_is_read_from_the_timeline_of_its_last_byte() {
        let size = SegmentSize::DEFAULT;
        let names: Vec<_> = (3..9).map(|number| third().expected(number, size).timeline.get()).collect();
        assert_eq!(names, [1, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn the_line_is_shown_as_a_path() {
        assert_eq!(third().to_string(), "1 → 2 (from 0/4000000) → 3 (from 0/7000100)");
        assert_eq!(TimelineHistory::first().to_string(), "1");
    }

    #[test]
    fn lines_that_go_back_are_refused() {
        for text in ["2\t0/1\tx", "1\t0/5\tx\n1\t0/6\tx", "1 x", "zero"] {
            assert!(TimelineHistory::parse(timeline(2), text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeline_left_before_it_began_owns_nothing() {
        let history = TimelineHistory::parse(timeline(3), "1\t0/7000000\tx\n2\t0/5000000\ty\n").unwrap();
        assert_eq!(history.to_string(), "1 → 3 (from 0/5000000)");
        assert_eq!(history.owner_of(Lsn(0x600_0000)), timeline(3));
        assert!(!history.includes(timeline(2)));
    }

    #[test]
    fn a_line_can_end_with_an_ancestor() {
        assert_eq!(third().up_to(timeline(2)).to_string(), "1 → 2 (from 0/4000000)");
        assert_eq!(third().up_to(TimelineId::FIRST), TimelineHistory::first());
        assert_eq!(third().up_to(timeline(3)), third());
    }

    proptest! {
        /// PostgreSQL's own rule: from the newest entry to the oldest, the first whose range holds it.
        #[test]
        fn every_position_has_the_owner_that_postgresql_finds(
            positions in prop::collection::vec(0u64..40, 0..6), at in 0u64..50,
        ) {
            let own = u32::try_from(positions.len()).unwrap() + 1;
            let text: String =
                (1..).zip(&positions).map(|(tli, lsn): (u32, _)| format!("{tli}\t{}\tx\n", Lsn(*lsn))).collect();
            let history = TimelineHistory::parse(timeline(own), &text).unwrap();
            let owner = (1..=own).rev().find(|&tli| tli == 1 || positions[tli as usize - 2] <= at).unwrap();
            prop_assert_eq!(history.owner_of(Lsn(at)).get(), owner);
        }
    }
}

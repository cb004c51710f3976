//! Timelines: the branches of a cluster's history.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A timeline of a PostgreSQL cluster, from 1. Every promotion begins a new one.
///
/// # Source
/// PostgreSQL documentation, chapter "Continuous Archiving", section "Timelines".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimelineId(NonZeroU32);

/// The value is not a timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a timeline (a whole number from 1 to 4294967295)")]
pub struct TimelineError(String);

impl TimelineId {
    /// The timeline that `initdb` begins.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The timeline with this number.
    ///
    /// # Errors
    /// 0 is no timeline.
    pub fn new(number: u32) -> Result<Self, TimelineError> {
        NonZeroU32::new(number).map(Self).ok_or_else(|| TimelineError(number.to_string()))
    }

    /// The number, from 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The timeline with the next number; none after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The eight hexadecimal digits that file names carry.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:08X}", self.get())
    }
}

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TimelineId {
    type Err = TimelineError;

    fn from_str(text: &str) -> Result<Self, TimelineError> {
        let number: u32 = text.parse().map_err(|_| TimelineError(text.to_owned()))?;
        Self::new(number)
    }
}

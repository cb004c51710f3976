//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A log sequence number: a byte position in the write-ahead log.
///
/// Shown and stored as PostgreSQL shows it, two hexadecimal halves: `0/4012F88`.
///
/// # Source
/// PostgreSQL documentation, chapter "pg_lsn Type".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// The text is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN (two hexadecimal numbers of up to 8 digits with a slash between, as 0/4012F88)")]
pub struct LsnError(String);

impl Lsn {
    /// The bytes from `earlier` to this position; 0 where this position is the earlier one.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let wrong = || LsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let half = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if plain { u32::from_str_radix(digits, 16).ok() } else { None }
        };
        let high = half(high).ok_or_else(wrong)?;
        let low = half(low).ok_or_else(wrong)?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

impl TryFrom<String> for Lsn {
    type Error = LsnError;

    fn try_from(text: String) -> Result<Self, LsnError> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(raw: u64) {
            prop_assert_eq!(Lsn(raw).to_string().parse(), Ok(Lsn(raw)));
        }

        #[test]
        fn garbage_is_refused_and_never_panics(text in ".{0,24}") {
            if let Ok(lsn) = text.parse::<Lsn>() {
                prop_assert!(text.contains('/'), "{text} was read as {lsn}");
            }
        }
    }

    #[test]
    fn signs_spaces_and_long_halves_are_refused() {
        for text in ["", "/", "0/", "/0", "+1/0", "1/ 2", "100000000/0", "0/0/0", "0x1/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text} was taken for an LSN");
        }
    }
}

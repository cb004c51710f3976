//! The control file `global/pg_control`: who a data directory is, while no server runs on it.
//!
//! The fields read here lie at the same offsets in every PostgreSQL from 9.3 to 18, and the file ends
//! with a CRC-32C over all before it. Where that CRC lies differs by version, so it is searched: a
//! file in which it is nowhere is torn, damaged or of an unknown kind, and nothing is believed of it.

use std::path::Path;

use remount_core::{Lsn, SystemIdentifier, TimelineId};

use crate::{Error, Result};
use remount_host::durable;

/// What the control file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// Chosen by `initdb`, shared by all copies.
    pub system_identifier: SystemIdentifier,
    /// `PG_CONTROL_VERSION`: 1300 for PostgreSQL 13 to 17, 1800 for 18.
    pub control_version: u32,
    /// What the server was doing when it last wrote the file.
    pub state: DatabaseState,
    /// The timeline of the latest checkpoint.
    pub checkpoint_timeline: TimelineId,
    /// Where replay from the latest checkpoint begins.
    pub redo: Lsn,
}

/// `DBState` of the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Being made by `initdb`.
    Starting,
    /// Stopped cleanly.
    ShutDown,
    /// Stopped cleanly while in recovery.
    ShutDownInRecovery,
    /// Was being stopped.
    ShuttingDown,
    /// Was replaying after a crash.
    InCrashRecovery,
    /// Was replaying from the archive, or is a standby.
    InArchiveRecovery,
    /// Took writes.
    InProduction,
}

impl ControlData {
    /// Reads `global/pg_control` of a data directory.
    ///
    /// # Errors
    /// [`Error::File`]: there is none, or its checksum does not match.
    pub fn read(data_directory: &Path) -> Result<Self> {
        let path = data_directory.join("global/pg_control");
        let wrong = |detail: &str| Error::File { path: path.display().to_string(), detail: detail.into() };
        let content = durable::read(&path)?.ok_or_else(|| wrong("there is no control file"))?;
        Self::parse(&content).ok_or_else(|| {
            wrong("the control file is damaged: its checksum does not match (or it is of an unknown version)")
        })
    }

    /// The system identifier alone, also while the server runs: it rewrites the file in place, so that the checksum
    /// of what is read meanwhile may be wrong; these first bytes it never changes.
    ///
    /// # Errors
    /// [`Error::File`]: there is none, or it is not one of PostgreSQL 15 or later.
    ///
    /// # Source
    /// PostgreSQL, `src/include/catalog/pg_control.h`: system identifier (8 bytes) and version (4 bytes) keep their
    /// places in every version.
    pub fn read_system_identifier(data_directory: &Path) -> Result<SystemIdentifier> {
        /// From PostgreSQL 15 (1300) on, with room for later ones.
        const VERSIONS: std::ops::RangeInclusive<u32> = 1300..=3000;
        let path = data_directory.join("global/pg_control");
        let wrong = |detail: &str| Error::File { path: path.display().to_string(), detail: detail.into() };
        let content = durable::read(&path)?.ok_or_else(|| wrong("there is no control file"))?;
        let found = u64_at(&content, 0).filter(|identifier| *identifier != 0);
        let known = u32_at(&content, 8).is_some_and(|version| VERSIONS.contains(&version));
        let identifier = found.filter(|_| known);
        identifier
            .map(SystemIdentifier)
            .ok_or_else(|| wrong("it is not the control file of PostgreSQL 15 or later"))
    }

    fn parse(content: &[u8]) -> Option<Self> {
        has_checksum(content).then_some(())?;
        Some(Self {
            system_identifier: SystemIdentifier(u64_at(content, 0)?),
            control_version: u32_at(content, 8)?,
            state: DatabaseState::from_number(u32_at(content, 16)?)?,
            redo: Lsn(u64_at(content, 40)?),
            checkpoint_timeline: TimelineId::new(u32_at(content, 48)?).ok()?,
        })
    }
}

/// Settings that a server which replays has to have at least as high as the one whose WAL it is.
///
/// # Source
/// PostgreSQL, `src/include/catalog/pg_control.h`: since 9.6 the five numbers, then a flag, `maxAlign` and the constant
/// `floatFormat` follow each other; that constant is looked for, because what lies before differs by version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequiredSettings(pub(crate) [(&'static str, u32); 5]);

impl RequiredSettings {
    const NAMES: [&'static str; 5] = [
        "max_connections",
        "max_worker_processes",
        "max_wal_senders",
        "max_prepared_transactions",
        "max_locks_per_transaction",
    ];
    /// `FLOATFORMAT_VALUE`.
    const FLOAT_FORMAT: u64 = 1_234_567.0_f64.to_bits();
    /// `MAXIMUM_ALIGNOF`.
    const ALIGNMENT: u32 = 8;

    /// Reads them, also while the server runs.
    ///
    /// # Errors
    /// [`Error::File`]: there is no control file, it is being rewritten, or it is of an unknown version.
    pub(crate) fn read(data_directory: &Path) -> Result<Self> {
        let path = data_directory.join("global/pg_control");
        let wrong = |detail: &str| Error::File { path: path.display().to_string(), detail: detail.into() };
        let content = durable::read(&path)?.ok_or_else(|| wrong("there is no control file"))?;
        let found = has_checksum(&content).then(|| Self::parse(&content)).flatten();
        found.ok_or_else(|| wrong("the control file is being rewritten, damaged, or of an unknown version"))
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let is_it = |at: &usize| {
            u64_at(content, *at) == Some(Self::FLOAT_FORMAT)
                && u32_at(content, at - 4) == Some(Self::ALIGNMENT)
        };
        let format = (64..=480).step_by(8).find(is_it)?;
        let mut values = Self::NAMES.map(|name| (name, 0));
        for (n, (_, value)) in values.iter_mut().enumerate() {
            *value = u32_at(content, format - 28 + 4 * n)?;
        }
        Some(Self(values))
    }
}

impl DatabaseState {
    const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Starting,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            _ => return None,
        })
    }
}

/// The structure has been between 240 and 320 bytes for ten years; the search leaves room to both sides.
fn has_checksum(content: &[u8]) -> bool {
    let ends = (200..=480).step_by(4);
    ends.into_iter().any(|end| {
        let stored = u32_at(content, end);
        stored.is_some_and(|stored| stored != 0 && stored == crc32c(&content[..end]))
    })
}

fn u32_at(content: &[u8], offset: usize) -> Option<u32> {
    content.get(offset..offset + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(content: &[u8], offset: usize) -> Option<u64> {
    content.get(offset..offset + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// CRC-32C (Castagnoli), bit by bit: a few hundred bytes, once per start.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn zeros_and_short_files_are_not_believed() {
        for content in [vec![0; 8192], vec![0; 10], Vec::new(), vec![0xFF; 8192]] {
            assert_eq!(ControlData::parse(&content), None);
        }
    }
}

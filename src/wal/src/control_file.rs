//! The system identifier, from the data directory's control file.
//!
//! # Source
//! PostgreSQL, `src/include/catalog/pg_control.h`: the file begins with the system identifier (8 bytes)
//! and the version of the control file (4 bytes); "DO NOT CHANGE" is said of their places there.

use std::path::Path;

use remount_core::SystemIdentifier;

use crate::error::{Error, Result};

/// Versions of the control file from PostgreSQL 15 (1300) on, with room for later ones.
const VERSIONS: std::ops::RangeInclusive<u32> = 1300..=3000;

/// The system identifier of the cluster in `data_directory`.
pub fn system_identifier(data_directory: &Path) -> Result<SystemIdentifier> {
    let path = data_directory.join("global/pg_control");
    let content = std::fs::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    parse(&content).ok_or(Error::ControlFile { path })
}

fn parse(content: &[u8]) -> Option<SystemIdentifier> {
    let identifier = u64::from_le_bytes(*content.first_chunk()?);
    let version = u32::from_le_bytes(*content.get(8..)?.first_chunk()?);
    if identifier == 0 || !VERSIONS.contains(&version) { None } else { Some(SystemIdentifier(identifier)) }
}

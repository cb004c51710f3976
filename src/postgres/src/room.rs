//! Room on a disk. PostgreSQL ends with a PANIC where it finds none for its WAL, so it is looked at before anything that
//! makes the server write: a checkpoint, a switch of WAL, backup mode.

use std::path::Path;

use remount_core::SegmentSize;
use remount_host::durable::at;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Beside two segments: what a checkpoint makes anew, and what others write meanwhile.
const SLACK_BYTES: u64 = 32 << 20;
/// Files that a checkpoint and a switch make.
const INODES: u64 = 32;

/// What a file system has left for who is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeSpace {
    /// Bytes.
    pub bytes: u64,
    /// Files and folders; the largest number where the file system does not count them.
    pub inodes: u64,
}

impl FreeSpace {
    /// Of the file system that this path lies on.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn of(path: &Path) -> Result<Self> {
        let usage = rustix::fs::statvfs(path).map_err(|error| at(path)(error.into()))?;
        let counts = usage.f_files > 0;
        Ok(Self {
            bytes: usage.f_bavail.saturating_mul(usage.f_frsize),
            inodes: if counts { usage.f_favail } else { u64::MAX },
        })
    }

    /// Why a checkpoint and a switch of WAL would risk the server; none where they have room.
    #[must_use]
    pub fn lacks(&self, segment_size: SegmentSize) -> Option<String> {
        let needed = 2 * u64::from(segment_size.bytes()) + SLACK_BYTES;
        if self.bytes < needed {
            return Some(format!("{} MiB are free, {} MiB are needed", self.bytes >> 20, needed >> 20));
        }
        (self.inodes < INODES).then(|| format!("{} inodes are free, {INODES} are needed", self.inodes))
    }

    /// Refuses what has no room.
    ///
    /// # Errors
    /// [`Error::NoRoom`].
    pub fn admits(&self, action: &str, segment_size: SegmentSize) -> Result<()> {
        match self.lacks(segment_size) {
            Some(detail) => Err(Error::NoRoom { action: action.into(), detail }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_segments_and_some_slack_are_needed() {
        let free = |mib: u64, inodes| FreeSpace { bytes: mib << 20, inodes };
        assert_eq!(free(64, 1000).lacks(SegmentSize::DEFAULT), None);
        assert!(free(63, 1000).lacks(SegmentSize::DEFAULT).unwrap().contains("63 MiB"));
        assert!(free(64, 1).lacks(SegmentSize::DEFAULT).unwrap().contains("inodes"));
        assert!(FreeSpace::of(Path::new("/")).unwrap().inodes > 0);
    }
}

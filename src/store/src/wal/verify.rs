//! Whether a segment in the archive is what was pushed, without handing it on.

use remount_core::{SegmentSize, WalSegment};

use crate::wal::{ArchiveFile, WalArchive};
use crate::{Damage, Error, Result, SegmentFault};

impl WalArchive {
    /// Whether the segment is there, with facts that can be read and the length of a segment.
    ///
    /// # Errors
    /// [`Error::Damaged`]; or the store did not answer.
    pub async fn verify_header(&self, segment: &WalSegment, size: SegmentSize) -> Result<bool> {
        let Some((path, facts)) = self.located_facts(&ArchiveFile::Segment(*segment)).await? else {
            return Ok(false);
        };
        let (actual_bytes, expected_bytes) = (facts.raw_bytes, u64::from(size.bytes()));
        if actual_bytes != expected_bytes {
            let damage = Damage::Content(SegmentFault::Size { actual_bytes, expected_bytes });
            return Err(Error::Damaged { path, damage });
        }
        Ok(true)
    }

    /// Reads the segment as a whole, as a fetch does; whether it is there.
    ///
    /// # Errors
    /// [`Error::Damaged`]; or the store did not answer.
    pub async fn verify_content(&self, segment: &WalSegment) -> Result<bool> {
        self.fetch_into(&ArchiveFile::Segment(*segment), &mut std::io::sink()).await
    }
}

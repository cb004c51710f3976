//! Tails: the records of a segment that was not full when its server ended, under a name of their own.

use bytes::Bytes;
use remount_core::documents::WalTail;
use remount_core::{Lsn, WalSegment};
use sha2::{Digest, Sha256};

use crate::wal::{ArchiveFile, PushOptions, WalArchive, below};
use crate::{Error, Result};

impl WalArchive {
    /// Archives what a segment holds before `flushed`; `end` is where its last whole record ends.
    ///
    /// # Errors
    /// As [`WalArchive::push`].
    ///
    /// # Idempotence
    /// Its name is its content's: the same again is success, and another one has another name.
    pub async fn push_tail(
        &self,
        segment: WalSegment,
        content: Vec<u8>,
        (flushed, end): (Lsn, Lsn),
        options: PushOptions,
    ) -> Result<WalTail> {
        let content = below(flushed, segment, content, options.segment_size);
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        self.push(&ArchiveFile::Tail { segment, sha256 }, content.into(), options).await?;
        Ok(WalTail { segment, end, sha256: hex::encode(sha256) })
    }

    /// The content of a tail, verified; none where the store answers that it has none.
    ///
    /// # Errors
    /// [`Error::Damaged`]: it is not what was pushed; [`Error::Document`]: its name is none.
    pub async fn fetch_tail(&self, tail: &WalTail) -> Result<Option<Bytes>> {
        let file = ArchiveFile::tail(tail).ok_or_else(|| Error::Document {
            path: format!("tail of {}", tail.segment),
            detail: "its digest is none".into(),
        })?;
        self.fetch(&file).await
    }
}

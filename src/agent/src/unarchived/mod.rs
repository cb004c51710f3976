//! WAL that is on this server's disk and not in the archive: found, and pushed where PostgreSQL's own archiver did not or
//! could not.
//!
//! | of | who calls | full segments | the records of the last one |
//! |---|---|---|---|
//! | [`stopped`]: a server that has stopped | `post-stop` | under their names, which nobody can give other content any more | a tail |
//! | [`streamed`]: a standby that runs | the driver, by the API | as their primary would | a tail |
//!
//! A segment that is not full is never pushed under its name: where its server is started again (a rollback does that),
//! it fills the rest with other records, and the archive would have the wrong ones for ever.

mod folder;
pub mod stopped;
pub mod streamed;

use remount_core::WalSegment;
use remount_store::{ArchiveFile, Error as StoreError, PushOptions, WalArchive};

use folder::WalFolder;

/// Where files of this server go.
struct Target<'a> {
    archive: &'a WalArchive,
    options: PushOptions,
}

impl Target<'_> {
    /// The segments of `folder` up to number `last` that the archive lacks, oldest first. The archiver goes by age: what
    /// lies before one that is there is there.
    async fn lacking(&self, folder: &WalFolder, last: u64) -> Result<Vec<WalSegment>, StoreError> {
        let mut lacking = Vec::new();
        let mut number = last;
        while let Some(segment) = folder.newest(number) {
            if self.archive.contains(&segment).await? {
                break;
            }
            lacking.insert(0, segment);
            let Some(before) = number.checked_sub(1) else { break };
            number = before;
        }
        Ok(lacking)
    }

    /// Archives a file under its name.
    async fn push(&self, file: &ArchiveFile, content: Vec<u8>) -> Result<(), StoreError> {
        self.archive.push(file, content.into(), self.options).await.map(drop)
    }
}

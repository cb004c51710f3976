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

use remount_core::{TimelineId, WalSegment};
use remount_store::{ArchiveFile, Error as StoreError, PushOptions, WalArchive};

use folder::WalFolder;

/// What a disk has and the archive lacks.
#[derive(Default)]
struct Lacking {
    /// Its segments, oldest first.
    segments: Vec<WalSegment>,
    /// The segment before them, where neither has it.
    hole: Option<WalSegment>,
}

/// Where files of this server go.
struct Target<'a> {
    archive: &'a WalArchive,
    options: PushOptions,
}

impl Target<'_> {
    /// The segments of `folder` up to number `last` that the archive lacks. The archiver goes by age: what lies before
    /// one that is there is there. Where the disk ends before such a one, what is missing is on neither.
    async fn lacking(
        &self,
        folder: &WalFolder,
        timeline: TimelineId,
        last: u64,
    ) -> Result<Lacking, StoreError> {
        let (mut segments, mut number) = (Vec::new(), last);
        // Number 0 is never written: a cluster's first segment is 1.
        while number > 0 {
            let Some(segment) = folder.newest(number) else {
                let gone = self.expected(folder, timeline, number).await?;
                let hole = (!self.archive.contains(&gone).await?).then_some(gone);
                return Ok(Lacking { segments, hole });
            };
            if self.archive.contains(&segment).await? {
                break;
            }
            segments.insert(0, segment);
            number -= 1;
        }
        Ok(Lacking { segments, hole: None })
    }

    /// The segment with this number on the way to a timeline, as far as its archived history says.
    async fn expected(
        &self,
        folder: &WalFolder,
        timeline: TimelineId,
        number: u64,
    ) -> Result<WalSegment, StoreError> {
        let history = self.archive.history(timeline).await?;
        Ok(history.map_or_else(
            || WalSegment::numbered(timeline, number, folder.size),
            |history| history.expected(number, folder.size),
        ))
    }

    /// Archives a file under its name.
    async fn push(&self, file: &ArchiveFile, content: Vec<u8>) -> Result<(), StoreError> {
        self.archive.push(file, content.into(), self.options).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use remount_core::{SegmentSize, SystemIdentifier};
    use remount_sim::memory::MemoryObjects;
    use remount_sim::sample_segment;
    use remount_store::{Codec, Store};

    use super::*;

    const SYSTEM: SystemIdentifier = SystemIdentifier(7);

    fn segment(number: u64) -> WalSegment {
        WalSegment::numbered(TimelineId::FIRST, number, size())
    }

    fn size() -> SegmentSize {
        SegmentSize::new(1 << 20).unwrap()
    }

    /// What lacks of a disk with the segments `on_disk` up to number 6, where the archive has `archived`.
    async fn lacking(on_disk: &[u64], archived: &[u64]) -> (Vec<u64>, Option<u64>) {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("pg_wal")).unwrap();
        for number in on_disk {
            let content = sample_segment(segment(*number), size(), SYSTEM);
            fs::write(data.path().join("pg_wal").join(segment(*number).to_string()), content).unwrap();
        }
        let store = Store::new(std::sync::Arc::new(MemoryObjects::new()), remount_sim::keys::control_plane());
        let archive = store.cluster(&"pg-1".parse().unwrap()).wal(SYSTEM);
        let target =
            Target { archive: &archive, options: PushOptions { codec: Codec::Raw, segment_size: size() } };
        for number in archived {
            let content = sample_segment(segment(*number), size(), SYSTEM);
            target.push(&ArchiveFile::Segment(segment(*number)), content.into()).await.unwrap();
        }
        let folder = WalFolder::read(data.path()).unwrap();
        let lacking = target.lacking(&folder, TimelineId::FIRST, 6).await.unwrap();
        let number = |segment: &WalSegment| segment.number(size());
        (lacking.segments.iter().map(number).collect(), lacking.hole.as_ref().map(number))
    }

    #[tokio::test]
    async fn a_segment_that_neither_disk_nor_archive_has_is_a_hole() {
        assert_eq!(lacking(&[4, 5, 6], &[3]).await, (vec![4, 5, 6], None));
        assert_eq!(lacking(&[4, 5, 6], &[4]).await, (vec![5, 6], None));
        assert_eq!(lacking(&[5, 6], &[3]).await, (vec![5, 6], Some(4)));
        assert_eq!(lacking(&[], &[6]).await, (vec![], None), "a clean stop removes what is archived");
        assert_eq!(lacking(&[], &[5]).await, (vec![], Some(6)));
        assert_eq!(lacking(&[1, 2, 3, 4, 5, 6], &[]).await, (vec![1, 2, 3, 4, 5, 6], None), "its first");
    }
}

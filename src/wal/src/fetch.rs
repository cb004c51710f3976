//! `fetch`: delivers one file, or says that there is none. Only the store's own word counts for that.

use std::path::Path;

use remount_core::{Role, WalSegment};
use remount_store::{ArchiveFile, ClusterStore, WalArchive};

use crate::config::Config;
use crate::control_file;
use crate::deadline::within;
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::line::Line;

/// What PostgreSQL is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file is in place.
    Delivered,
    /// The archive ends here, or a standby has to stream from here.
    Absent,
}

/// Delivers the file `name` to `target`, which is relative to the data directory.
pub async fn fetch(config: Config, name: &str, target: &Path) -> Result<Fetched> {
    let file: ArchiveFile = name.parse().map_err(Error::Name)?;
    let line = Line::open(&config.applied_folder())?;
    let system_identifier = control_file::system_identifier(&config.postgres.data_directory)?;
    let store = config.store.open().map_err(|source| Error::Open { source })?;
    let cluster = store.cluster(&config.cluster);
    let source = Source {
        archive: cluster.wal(system_identifier).expecting(config.wal.codec),
        cluster,
        file: &file,
        target,
    };
    within(config.wal.fetch_deadline(), async || source.fetch_on(line.as_ref()).await).await
}

/// Where one file comes from and goes to.
struct Source<'a> {
    cluster: ClusterStore,
    archive: WalArchive,
    file: &'a ArchiveFile,
    target: &'a Path,
}

impl Source<'_> {
    /// | | on the line | off the line |
    /// |---|---|---|
    /// | no open plan | deliver, or absent | – |
    /// | standby | deliver, or absent: it streams | absent: it streams |
    /// | primary | deliver; absent only after what the plan needs | stop if it exists |
    async fn fetch_on(&self, line: Option<&Line>) -> Result<Fetched> {
        let (Some(line), ArchiveFile::Segment(segment)) = (line, self.file) else {
            return self.fetch().await;
        };
        if line.expected(*segment) != *segment {
            return self.refuse(line, *segment).await;
        }
        match self.fetch().await? {
            Fetched::Absent if line.needs(*segment) => {
                Err(Error::Gap { segment: *segment, last: line.last_needed(), restore: line.restore.clone() })
            }
            fetched => Ok(fetched),
        }
    }

    async fn fetch(&self) -> Result<Fetched> {
        let mut delivery = Delivery::to(self.target);
        let found = self.archive.fetch_into(self.file, &mut delivery).await;
        if found.map_err(|source| self.failed(source))? {
            delivery.finish().map(|()| Fetched::Delivered)
        } else {
            self.absent().await
        }
    }

    /// A cluster whose standby or restore asks for WAL has left something in its store. A store
    /// without anything is an unmounted filesystem, an emptied bucket or another prefix.
    async fn absent(&self) -> Result<Fetched> {
        if self.cluster.is_known().await.map_err(|source| self.failed(source))? {
            Ok(Fetched::Absent)
        } else {
            Err(Error::UnknownCluster { cluster: self.cluster.name().clone() })
        }
    }

    /// The primary asks for a parent's segment only where the line's own is missing. Where the parent
    /// has none either, its archive just ends.
    async fn refuse(&self, line: &Line, segment: WalSegment) -> Result<Fetched> {
        if line.role == Role::Standby {
            return Ok(Fetched::Absent);
        }
        if !self.archive.contains(&segment).await.map_err(|source| self.failed(source))? {
            return self.absent().await;
        }
        let expected = line.expected(segment);
        Err(Error::OffLine { segment, expected, restore: line.restore.clone() })
    }

    fn failed(&self, source: remount_store::Error) -> Error {
        Error::Store { file: self.file.to_string(), source }
    }
}

//! `fetch`: delivers one file, or reports that there is none, where the store itself says so.

use std::path::Path;

use remount_core::{Role, WalSegment};
use remount_host::{Deadline, RetryPolicy};
use remount_store::{ArchiveFile, ClusterStore, DENIALS_TRIED, WalArchive};

use crate::config::Config;
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::planned_timelines::PlannedTimelines;
use crate::system_identifier;
use crate::within::within;

/// What became of a fetch that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file is in place.
    Delivered,
    /// The archive ends here, or a standby has to stream from here.
    Absent,
}

/// Delivers the file `name` to `target`, which is relative to the data directory.
///
/// # Errors
/// Every [`Error`]; [`Error::fetch_code`] says what PostgreSQL is told. The target is then as it was.
pub async fn fetch(config: Config, name: &str, target: &Path) -> Result<Fetched> {
    let file: ArchiveFile = name.parse().map_err(Error::Name)?;
    let planned = PlannedTimelines::open(&config.directories.applied_plans())?;
    let system_identifier = system_identifier(&config.postgres.data_directory)?;
    let deadline = Deadline::after(config.wal.fetch_deadline());
    // PostgreSQL asks for a segment once: any failure ends its recovery, also a denial that passes in a second.
    let policy = RetryPolicy::until(deadline).denials_for(DENIALS_TRIED);
    let store = config.store.open(&policy).map_err(|source| Error::Open { source })?;
    let cluster = store.cluster(&config.cluster);
    let source = Source { archive: cluster.wal(system_identifier), cluster, file: &file, target };
    within(deadline, async || source.fetch_on(planned.as_ref()).await).await
}

/// Where one file comes from and goes to.
struct Source<'a> {
    cluster: ClusterStore,
    archive: WalArchive,
    file: &'a ArchiveFile,
    target: &'a Path,
}

impl Source<'_> {
    /// | | on the planned timelines | off them |
    /// |---|---|---|
    /// | no open plan | deliver, or absent | – |
    /// | standby | deliver, or absent: it streams | absent: it streams |
    /// | primary | deliver; absent only after what the plan needs | stop if it exists |
    async fn fetch_on(&self, planned: Option<&PlannedTimelines>) -> Result<Fetched> {
        let (Some(planned), ArchiveFile::Segment(segment)) = (planned, self.file) else {
            return self.fetch().await;
        };
        if planned.expected(*segment) != *segment {
            return self.refuse(planned, *segment).await;
        }
        match self.fetch().await? {
            Fetched::Absent if planned.needs(*segment) => Err(Error::Gap {
                segment: *segment,
                last: planned.last_needed(),
                restore: planned.restore.clone(),
            }),
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
    /// without anything is an unmounted file system, an emptied bucket or another prefix.
    async fn absent(&self) -> Result<Fetched> {
        if self.cluster.is_known().await.map_err(|source| self.failed(source))? {
            Ok(Fetched::Absent)
        } else {
            Err(Error::UnknownCluster { cluster: self.cluster.name().clone() })
        }
    }

    /// The primary asks for a parent's segment only where the planned timeline's own is missing. Where the parent
    /// has none either, its archive just ends.
    async fn refuse(&self, planned: &PlannedTimelines, segment: WalSegment) -> Result<Fetched> {
        if planned.role == Role::Standby {
            return Ok(Fetched::Absent);
        }
        if !self.archive.contains(&segment).await.map_err(|source| self.failed(source))? {
            return self.absent().await;
        }
        let expected = planned.expected(segment);
        Err(Error::OffTimeline { segment, expected, restore: planned.restore.clone() })
    }

    /// The archive is not to blame for where the file goes to.
    fn failed(&self, source: remount_store::Error) -> Error {
        if let remount_store::Error::Target { source, .. } = source {
            let path = std::path::absolute(self.target).unwrap_or_else(|_| self.target.to_owned());
            return Error::File { path, source };
        }
        Error::Store { file: self.file.to_string(), source }
    }
}

//! Push, fetch and list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use remount_core::{ClusterName, SegmentSize, SystemIdentifier, TimelineHistory, TimelineId, WalSegment};

use crate::{ArchiveFile, Codec, Objects, Result};

/// The WAL of one cluster and system identifier. Its objects are immutable.
#[derive(Clone, Debug)]
pub struct WalArchive {
    objects: Arc<dyn Objects>,
    cluster: ClusterName,
    system_identifier: SystemIdentifier,
}

/// How to push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushOptions {
    /// How segments are compressed.
    pub codec: Codec,
    /// The size of the cluster's segments.
    pub segment_size: SegmentSize,
}

/// What became of a push. Either way the file is durable in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was written.
    New {
        /// Its size in the store.
        stored_bytes: u64,
    },
    /// It was there before, with the same content.
    AlreadyThere,
}

/// What the archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalListing {
    /// Every whole segment.
    pub segments: BTreeSet<WalSegment>,
    /// Every timeline's history that was archived; timeline 1 has none.
    pub histories: BTreeMap<TimelineId, TimelineHistory>,
}

impl WalArchive {
    pub(crate) fn new(
        objects: Arc<dyn Objects>,
        cluster: ClusterName,
        system_identifier: SystemIdentifier,
    ) -> Self {
        Self { objects, cluster, system_identifier }
    }

    /// Archives a file, checked against its name first.
    ///
    /// # Errors
    /// [`crate::Error::Unfit`]: it is not what its name says; [`crate::Error::Conflict`]: the archive holds
    /// other content under this name. Nothing was written in either case.
    ///
    /// # Idempotence
    /// The same content again is success.
    pub async fn push(&self, file: &ArchiveFile, content: Bytes, options: PushOptions) -> Result<Pushed> {
        todo!("{:?} {} {} {file} {content:?} {options:?}", self.objects, self.cluster, self.system_identifier)
    }

    /// The file, verified; none only where the store answers that it has none.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`]: it is not what was pushed.
    pub async fn fetch(&self, file: &ArchiveFile) -> Result<Option<Bytes>> {
        todo!("{file}")
    }

    /// Whether the segment is in the archive.
    pub async fn contains(&self, segment: &WalSegment) -> Result<bool> {
        todo!("{segment}")
    }

    /// The history of a timeline; that of timeline 1 is known without a request.
    pub async fn history(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>> {
        todo!("{timeline}")
    }

    /// Everything the archive holds.
    pub async fn listing(&self) -> Result<WalListing> {
        todo!()
    }

    /// The time of the last commit or abort in the segment; none where it holds none, is not archived
    /// or its records could not be read.
    pub async fn last_commit(&self, segment: &WalSegment) -> Result<Option<Timestamp>> {
        todo!("{segment}")
    }
}

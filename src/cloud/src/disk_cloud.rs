//! Disks and snapshots of one cloud.
//!
//! The Director's CPI can snapshot a disk but cannot make a disk *from* a snapshot, and a fast
//! restore needs exactly that. This trait has what Remount needs and nothing more. It does not attach disks: only the
//! Director does, or its record and the cloud would disagree.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Tags of a disk or snapshot. The keys Remount sets are in [`tag`].
pub type Tags = BTreeMap<String, String>;

/// The keys of the tags that Remount sets.
pub mod tag {
    /// The key that makes a create idempotent.
    pub const REQUEST: &str = "remount-request";
    /// The id of the object store that knows the backup or restore.
    pub const STORE: &str = "remount-store";
    /// The uuid of the BOSH Director of the landscape.
    pub const DIRECTOR: &str = "remount-director";
    /// The epoch of the lease under which it was made.
    pub const EPOCH: &str = "remount-epoch";
    /// The cluster.
    pub const CLUSTER: &str = "remount-cluster";
    /// The backup a snapshot belongs to.
    pub const BACKUP: &str = "remount-backup";
    /// The restore a disk was made for.
    pub const RESTORE: &str = "remount-restore";
    /// The instance a disk was made for.
    pub const INSTANCE: &str = "remount-instance";
    /// The cluster's system identifier.
    pub const SYSTEM_IDENTIFIER: &str = "remount-system-identifier";
    /// How far the backup of a snapshot is. Set when it is good, right before its manifest is written.
    pub const STATE: &str = "remount-state";
    /// The value of [`STATE`]: the backup is good. No database VM can write this, nor take it away.
    pub const COMPLETE: &str = "complete";
}

/// A disk, as the cloud describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its id: the very text that was asked with, or the form in which a create answers. A CPI may have several
    /// forms of one id, and two texts are not compared.
    pub cid: DiskCid,
    /// What it is: a disk that takes its place must be the same.
    pub shape: DiskShape,
    /// Its state.
    pub state: DiskState,
    /// The VM it is attached to: the truth about attachment, whatever the Director has recorded. In the cloud's
    /// words, for people; whether it is a certain VM, [`DiskCloud::is_attached`] tells.
    pub attached_to: Option<CloudVm>,
    /// The snapshot it was made from.
    pub made_from: Option<SnapshotCid>,
    /// Its tags.
    pub tags: Tags,
}

/// A VM in the cloud's own words. No [`VmCid`]: a CPI may make that of several parts, so that the two are never
/// compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudVm(pub String);

impl fmt::Display for CloudVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    /// Being made.
    Creating,
    /// Can be attached.
    Available,
    /// Attached, or on the way to or from a VM.
    InUse,
    /// The cloud gave up on it.
    Failed,
}

/// A snapshot, as the cloud describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub cid: SnapshotCid,
    /// The disk it was taken of.
    pub disk: DiskCid,
    /// The size of that disk in MiB.
    pub size_mib: u64,
    /// How far it is.
    pub state: SnapshotState,
    /// The cloud's time of creation.
    pub created_at: Timestamp,
    /// Region it lies in; empty where the cloud has one.
    pub region: String,
    /// Its encryption key, where it is one of the customer's.
    pub key: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Asked for; its point in time may not be fixed yet.
    Pending,
    /// Its point in time is fixed: backup mode may end. It cannot be restored from yet.
    Captured,
    /// Disks can be made from it.
    Complete,
    /// The cloud gave up on it.
    Failed,
}

impl fmt::Display for SnapshotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "only asked for",
            Self::Captured => "still being copied",
            Self::Complete => "complete",
            Self::Failed => "given up by the cloud",
        })
    }
}

/// The disk to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// What it has to be: the disk whose place it takes, or what a manifest says of it. Its size is not below the
    /// snapshot's.
    pub like: DiskShape,
    /// Its tags; [`tag::REQUEST`] is set by the cloud's module.
    pub tags: Tags,
}

/// Disks and snapshots of one cloud.
///
/// Guarantees, proved for each implementation by the contract suite (`remount_sim::contract`):
/// a create with a key that was used before answers with the object made then; delete of what is
/// gone succeeds; a disk has every attribute that was asked for, or is refused; an id comes back as it was given.
///
/// Clouds are consistent in the end: for a while after a create, delete, attach or detach, looks and lists may
/// answer as before it. Flows give every such answer its time ([`DiskCloud::settle`]); a call that changes something
/// acts on what is.
#[async_trait]
pub trait DiskCloud: Debug + Send + Sync {
    /// The cloud's name, as a manifest records it: the property `cloud.type`.
    fn iaas(&self) -> &'static str;

    /// How long looks and lists may answer as before a change; zero where every answer is what is.
    fn settle(&self) -> Duration;

    /// The disk with this id; none where the cloud answers that there is none.
    async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>>;

    /// Whether the disk is attached to this VM, both named as the Director names them.
    ///
    /// # Errors
    /// The cloud does not answer. A disk or a VM that does not exist is no error: it is not attached.
    async fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool>;

    /// The disks that carry all of these tags.
    async fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>>;

    /// Fixes the content of `disk` at this moment; the copy itself completes later.
    ///
    /// # Errors
    /// [`Error::DiskNotFound`]; [`Error::QuotaExceeded`], [`Error::Busy`]: no snapshot exists
    /// afterwards. [`Error::Unanswered`]: one may exist; call again with the same key.
    ///
    /// # Idempotence
    /// The same `key` yields the same snapshot, after a crash too.
    async fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot>;

    /// The snapshot with this id; none where the cloud answers that there is none.
    async fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>>;

    /// The snapshots that carry all of these tags.
    async fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>>;

    /// Sets these tags of a snapshot; its others stay as they are.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`].
    ///
    /// # Idempotence
    /// The same tags again are success.
    async fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()>;

    /// Deletes the snapshot. One that is already gone counts as deleted.
    async fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()>;

    /// Looks whether [`DiskCloud::create_disk`] could succeed (size, zone, type, attributes, quota), making nothing.
    ///
    /// # Errors
    /// Those of `create_disk`.
    async fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()>;

    /// Makes a disk with the content of `snapshot`. It may still be [`DiskState::Creating`].
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::SnapshotNotComplete`], [`Error::QuotaExceeded`],
    /// [`Error::Refused`]: no disk exists afterwards. [`Error::Unanswered`]: one may exist; call
    /// again with the same key.
    ///
    /// # Idempotence
    /// The same `key` yields the same disk, after a crash too.
    async fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk>;

    /// Deletes the disk. One that is already gone counts as deleted.
    ///
    /// # Errors
    /// [`Error::DiskInUse`] where it is attached; it then stays as it is.
    async fn delete_disk(&self, cid: &DiskCid) -> Result<()>;
}

//! What can go wrong with a cloud's disks and snapshots.

use remount_core::{DiskCid, OperatorError, Retry, SnapshotCid};

use crate::CloudVm;

/// The clouds for which this version has an adapter.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this version of Remount has {}", crate::config::ADAPTERS)]
pub struct Adapters;

/// A call to the cloud failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names a cloud for which this version has no adapter: no request was sent to it.
    #[error("the cloud `{cloud}` cannot be used")]
    NoAdapter {
        /// The property `cloud.type`.
        cloud: &'static str,
        /// Why.
        #[source]
        source: Adapters,
    },
    /// The cloud knows no such disk.
    #[error("disk {0} does not exist")]
    DiskNotFound(DiskCid),
    /// The cloud knows no such snapshot.
    #[error("snapshot {0} does not exist")]
    SnapshotNotFound(SnapshotCid),
    /// A disk cannot be made from it yet, or ever.
    #[error("snapshot {0} is not complete")]
    SnapshotNotComplete(SnapshotCid),
    /// The disk is attached and therefore not deleted.
    #[error("disk {disk} is attached to {vm}")]
    DiskInUse {
        /// The disk.
        disk: DiskCid,
        /// The VM it is attached to.
        vm: CloudVm,
    },
    /// A limit of the account is reached.
    #[error("{action}: the quota is used up ({detail})")]
    QuotaExceeded {
        /// What was asked for.
        action: String,
        /// The cloud's message.
        detail: String,
    },
    /// Another operation runs on the object, or the cloud throttles.
    #[error("{action}: busy ({detail})")]
    Busy {
        /// What was asked for.
        action: String,
        /// The cloud's message.
        detail: String,
    },
    /// The cloud refused for good: a wrong zone, size, type, credential.
    #[error("{action}: refused ({detail})")]
    Refused {
        /// What was asked for.
        action: String,
        /// The cloud's message.
        detail: String,
    },
    /// No answer, or none that could be understood: what was asked for may have happened.
    #[error("{action}: no usable answer")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Busy { .. } | Self::Unanswered { .. } => Retry::Soon,
            Self::SnapshotNotComplete(_) | Self::DiskInUse { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::NoAdapter { cloud, .. } => format!("deploy a version of Remount whose release notes name the adapter `{cloud}`; until then only commands that do not need the cloud work, such as `remount list` and `remount journal`"),
            Self::DiskNotFound(_) => "look for the disk in the cloud's console; `bosh instances --details` shows the Director's record".into(),
            Self::SnapshotNotFound(_) => "choose another backup from `remount list`".into(),
            Self::SnapshotNotComplete(_) => "wait until the cloud has completed the snapshot, or choose an older backup from `remount list`".into(),
            Self::DiskInUse { disk, .. } => format!("detach the disk through the Director first (`bosh attach-disk GROUP/ID OTHER --disk-properties=copy`), then delete {disk}"),
            Self::QuotaExceeded { .. } => "raise the quota of the account, or delete disks and snapshots that are not needed".into(),
            Self::Refused { .. } => "fix what the cloud refuses (credentials, zone, size, type or an attribute), then run the command again".into(),
            Self::Busy { .. } | Self::Unanswered { .. } => "check the cloud's status page, then run the command again".into(),
        })
    }
}

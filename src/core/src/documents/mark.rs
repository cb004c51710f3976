//! `backup.json` on the persistent disk, from begin to end of a backup. It is in every snapshot: so a copy
//! is known by it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BackupId, ClusterName, InstanceId, StoreId, SystemIdentifier};

/// A backup is being taken of this disk, or this disk is a copy made from that backup's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMark {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The backup.
    pub backup: BackupId,
    /// Whose disk it was when it was marked. Who finds the mark of somebody else has a copy.
    #[serde(flatten)]
    pub owner: DiskOwner,
    /// The store that its manifest is to be in. Another one knows nothing of the backup, which proves nothing.
    pub store: StoreId,
    /// When it was begun, by the VM's clock.
    pub started_at: Timestamp,
}

/// Whose a disk is. All of it has to match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskOwner {
    /// The cluster.
    pub cluster: ClusterName,
    /// The system identifier of the data.
    pub system_identifier: SystemIdentifier,
    /// The instance.
    pub instance: InstanceId,
}

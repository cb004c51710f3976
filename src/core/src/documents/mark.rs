//! `backup.json` on the persistent disk, from begin to end of a backup. It is in every snapshot: so a copy
//! is known by it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::BackupId;

/// A backup is being taken of this disk, or this disk is a copy made from that backup's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMark {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The backup.
    pub backup: BackupId,
    /// When it was begun, by the VM's clock.
    pub started_at: Timestamp,
}

//! `restores/<id>/released.json`: which old disks of a restore were given up, by whom. That restore cannot be
//! rolled back any more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::{DiskCid, RestoreId};

/// Written before the first of the disks is deleted, and never changed. It says what was meant; whether the disks
/// are gone, only Director and cloud say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseNote {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The restore whose old disks they are.
    pub restore: RestoreId,
    /// Who gave them up.
    pub by: String,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Of the lease under which it was written.
    pub epoch: u64,
    /// The disks that were there to be deleted.
    pub disks: Vec<DiskCid>,
}

impl ReleaseNote {
    /// A note of this version.
    #[must_use]
    pub fn new(restore: RestoreId, by: String, at: Timestamp, epoch: u64, disks: Vec<DiskCid>) -> Self {
        Self { format: FORMAT, restore, by, at, epoch, disks }
    }
}

//! That an instance was initialised: from then on an empty disk under it is a missing disk.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::InstanceId;

/// `instances/<instance-id>.json` in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceNote {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The instance.
    pub instance: InstanceId,
}

/// `initialised.json` on the VM's own disk: lost with the VM, so the store has a note too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialisedNote {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// When data was first seen, by the VM's clock.
    pub at: Timestamp,
    /// Whether the store has its note.
    pub registered: bool,
}

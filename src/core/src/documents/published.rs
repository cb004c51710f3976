//! `restores/current.json`: which plan the VMs apply at their next start.

use serde::{Deserialize, Serialize};

use crate::{ClusterName, RestoreId};

/// Names the plan; the plan itself is written once and stays where it is, so that the two cannot differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPlan {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The cluster.
    pub cluster: ClusterName,
    /// The restore whose plan it is.
    pub restore: RestoreId,
    /// Of the lease under which it was published.
    pub epoch: u64,
}

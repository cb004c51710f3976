//! `index/backups/<id>.json` and `index/restores/<id>.json`: an id knows its cluster, so that no command looks
//! through the landscape for it.

use serde::{Deserialize, Serialize};

use crate::ClusterName;

/// Which cluster an id belongs to. Written before what it points to, deleted after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The cluster.
    pub cluster: ClusterName,
}

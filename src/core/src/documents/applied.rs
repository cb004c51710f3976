//! `applied/<restore-id>.json` on the persistent disk: this disk has applied that plan. The agent writes it,
//! `remount-wal fetch` reads it to stay on the planned timelines.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ForkRecord, RecoveryPath};
use crate::{BackupId, RestoreId, RestoreTarget, Role};

/// A plan that a disk has applied, with its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedPlan {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The restore.
    pub restore: RestoreId,
    /// The backup this disk was made from.
    pub backup: BackupId,
    /// What this instance became.
    pub role: Role,
    /// When the plan was applied, by the VM's clock.
    pub applied_at: Timestamp,
    /// What recovery reads.
    pub path: RecoveryPath,
    /// Where it stops.
    pub target: RestoreTarget,
    /// How recovery ended; none while it goes on.
    #[serde(default)]
    pub outcome: Option<RecoveryOutcome>,
    /// Standbys: where the restored primary left the planned timeline.
    #[serde(default)]
    pub fork: Option<ForkRecord>,
}

/// How a server's recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// The primary left recovery.
    Recovered,
    /// The standby streams.
    Streaming,
}

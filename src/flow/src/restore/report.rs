//! What a restore and its preflight found out, for people and for `--json`.

use remount_core::{BackupId, DiskCid, InstanceSlug, Lsn, RestoreId, RestorePlan, TimelineId};
use serde::{Deserialize, Serialize};

/// What was looked at before a restore, nothing touched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreflightReport {
    /// What was looked at and found good, one line each.
    pub checks: Vec<String>,
    /// What the operator should know though it does not stop the restore, one line each.
    pub warnings: Vec<String>,
    /// Estimated seconds from stopping the primary until it serves again.
    pub estimate_seconds: f64,
    /// What the estimate rests on.
    pub estimate_basis: String,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The restore.
    pub restore: RestoreId,
    /// Its plan.
    pub plan: RestorePlan,
    /// Every step, in order.
    pub steps: Vec<StepReport>,
    /// From the stop of the primary (where it did not serve: from that step on) until it was verified.
    pub downtime_seconds: f64,
    /// Where the downtime went.
    pub downtime: DowntimeSplit,
    /// What had been estimated.
    pub estimate_seconds: f64,
    /// The timeline that the restored cluster is on.
    pub new_timeline: TimelineId,
    /// Where replay stopped.
    pub replayed_to: Option<Lsn>,
    /// The disks that were replaced: the Director keeps them as orphans.
    pub old_disks: Vec<(InstanceSlug, DiskCid)>,
    /// The backup taken of the restored cluster; none where it could not be taken.
    pub backup: Option<BackupId>,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

/// One step of a restore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Its whole time.
    pub seconds: f64,
    /// Waiting for Director tasks (what PostgreSQL does inside a start is part of it).
    pub director_seconds: f64,
    /// Waiting for PostgreSQL itself.
    pub postgres_seconds: f64,
}

impl StepReport {
    /// A step that waited for nobody.
    pub(crate) fn named(name: &str, seconds: f64) -> Self {
        Self { name: name.into(), seconds, director_seconds: 0.0, postgres_seconds: 0.0 }
    }
}

/// Where the downtime went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DowntimeSplit {
    /// Waiting for Director tasks (what PostgreSQL does inside a start is part of it).
    pub director_seconds: f64,
    /// Waiting for PostgreSQL itself.
    pub postgres_seconds: f64,
    /// The rest: Remount's own share.
    pub remount_seconds: f64,
}

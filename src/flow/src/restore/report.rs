//! What a restore and its preflight found out, for people and for `--json`.

use jiff::Timestamp;
use remount_core::documents::RestorePlan;
use remount_core::documents::{JournalEvent, What};
use remount_core::{BackupId, DiskCid, InstanceSlug, Lsn, RestoreId, TimelineId};
use remount_saga::StepOutputs;
use remount_store::ClusterStore;
use serde::{Deserialize, Serialize};

use super::context::RestoreContext;
use super::downtime::{self, Downtime};
use super::state::RestoreState;
use super::steps::RestoreStep;
use super::steps::finish::Finish;
use super::steps::promote::{Promote, Promoted};
use super::steps::verify::Verify;
use crate::Result;

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
    /// From the stop of the primary (where it did not serve: from that step on) until it was promoted.
    pub downtime_seconds: f64,
    /// Where the downtime went.
    pub downtime: DowntimeSplit,
    /// What had been estimated.
    pub estimate_seconds: f64,
    /// The timeline that the restored cluster is on.
    pub new_timeline: TimelineId,
    /// Where replay stopped.
    pub replayed_to: Option<Lsn>,
    /// When the last transaction that was replayed was committed, where it is known.
    pub last_commit: Option<Timestamp>,
    /// What a person can do, where the restore stands at its target and waits for one.
    pub paused: Option<Vec<String>>,
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
    /// Whether nothing serves meanwhile.
    pub downtime: bool,
    /// Its whole time.
    pub seconds: f64,
    /// Waiting for Director tasks (what PostgreSQL does inside a start is part of it).
    pub director_seconds: f64,
    /// Waiting for PostgreSQL itself.
    pub postgres_seconds: f64,
}

impl StepReport {
    /// A step that did not wait.
    pub(crate) fn named(name: &str, seconds: f64) -> Self {
        Self { name: name.into(), downtime: false, seconds, director_seconds: 0.0, postgres_seconds: 0.0 }
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
    /// Between two processes, where one was interrupted or a person was waited for: from the last thing that one noted
    /// until the next one noted something.
    #[serde(default)]
    pub idle_seconds: f64,
}

/// What a restore did, by its journal: also long after it, and by another process.
///
/// # Errors
/// The store does not answer, or the journal cannot be followed.
pub async fn read_report(cluster: &ClusterStore, plan: RestorePlan) -> Result<RestoreReport> {
    let state = RestoreState::read(cluster, &plan.id).await?;
    of(plan, &state, Vec::new())
}

/// What a restore did, by its journal, and what the process that ran it has to add.
///
/// # Errors
/// Another version of Remount wrote what its steps have left.
pub(super) fn of(plan: RestorePlan, state: &RestoreState, warnings: Vec<String>) -> Result<RestoreReport> {
    let outputs = StepOutputs::of_journal(state.events());
    let verified = outputs.get::<RestoreContext<'_>, Verify>()?;
    let promoted = outputs.get::<RestoreContext<'_>, Promote>()?;
    let finished = outputs.get::<RestoreContext<'_>, Finish>()?;
    let steps: Vec<StepReport> = state.events().iter().filter_map(step_of).collect();
    let Downtime { times, idle_seconds } = downtime::of(promoted, state.events());
    let of_others = times.director_seconds + times.postgres_seconds + idle_seconds;
    let olds = plan.instances.iter();
    Ok(RestoreReport {
        restore: plan.id.clone(),
        steps,
        downtime_seconds: times.seconds,
        downtime: DowntimeSplit {
            director_seconds: times.director_seconds,
            postgres_seconds: times.postgres_seconds,
            remount_seconds: (times.seconds - of_others).max(0.0),
            idle_seconds,
        },
        estimate_seconds: plan.estimate_seconds,
        new_timeline: promoted.map_or(plan.path.new_timeline, |promoted: Promoted| promoted.timeline),
        replayed_to: promoted
            .map(|promoted| promoted.replayed_to)
            .or(verified.map(|verified| verified.replayed_to)),
        last_commit: verified.and_then(|verified| verified.last_commit),
        paused: state.events().last().and_then(|event| match &event.what {
            What::Paused { next, .. } => Some(next.clone()),
            _ => None,
        }),
        old_disks: olds
            .filter_map(|planned| Some((planned.instance.clone(), planned.old_disk.clone()?)))
            .collect(),
        backup: finished.and_then(|finished| finished.backup),
        warnings,
        plan,
    })
}

fn step_of(event: &JournalEvent) -> Option<StepReport> {
    let What::Done { step, times, .. } = &event.what else { return None };
    Some(StepReport {
        name: step.clone(),
        downtime: RestoreStep::DOWNTIME.iter().any(|down| down.as_str() == step),
        seconds: times.seconds,
        director_seconds: times.director_seconds,
        postgres_seconds: times.postgres_seconds,
    })
}

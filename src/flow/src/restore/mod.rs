//! Restore by swapping disks: planned and looked at (`survey`, `planning`, `preflight`), then the saga of
//! `steps`, run by `run`.

mod abort;
mod back;
mod cx;
mod estimate;
mod patience;
mod planning;
mod preflight;
mod report;
mod run;
mod standing;
mod steps;
mod survey;
mod swap;
mod tasks;

use remount_core::{ClusterName, DeploymentName, GroupName};

pub use abort::{AbortPoint, abort_restore};
pub use report::{DowntimeSplit, PreflightReport, RestoreReport, StepReport};
pub(crate) use run::may_have_served;
pub use run::{plan_restore, read_report, resume_restore, rollback_restore, run_restore};
pub(crate) use survey::unfinished;

use crate::{FlowError, Result};

/// The names of a restore's steps, in order.
pub(crate) fn step_names() -> Vec<&'static str> {
    steps::restore_saga().names()
}

/// The cluster that a deployment's group is in the store.
///
/// # Errors
/// The two names together are too long.
pub fn cluster_of(deployment: &DeploymentName, group: Option<&GroupName>) -> Result<ClusterName> {
    let name = match group {
        None => deployment.to_string(),
        Some(group) => format!("{deployment}-{group}"),
    };
    ClusterName::new(name).map_err(|error| FlowError::Usage(error.to_string()))
}

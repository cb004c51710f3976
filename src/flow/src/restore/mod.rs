//! Restore: see `run_restore`.

mod report;

use remount_core::{ClusterName, DeploymentName, GroupName, RestoreId, RestorePlan};
use remount_store::{OnFailure, RestoreRequest};

pub use report::{DowntimeSplit, PreflightReport, RestoreReport, StepReport};

use crate::{FlowContext, FlowError, Progress, Result};

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

/// Plans a restore and looks whether it could succeed, touching nothing (`--dry-run`).
///
/// # Errors
/// [`FlowError::Refused`] with every reason that was found.
pub async fn plan_restore(
    ctx: &FlowContext,
    request: &RestoreRequest,
) -> Result<(RestorePlan, PreflightReport)> {
    todo!("{ctx:?} {request:?}")
}

/// Restores: all steps of DESIGN section 7.
///
/// # Errors
/// [`FlowError::exit_code`] says what is true afterwards.
pub async fn run_restore(
    ctx: &FlowContext,
    request: RestoreRequest,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    todo!("{ctx:?} {request:?} {on_failure:?} {}", std::ptr::from_ref(progress).is_null())
}

/// Goes on with a restore whose driver died, or that was held.
///
/// # Errors
/// As [`run_restore`]; [`remount_store::Error::Leased`] while its driver still lives.
pub async fn resume_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    todo!("{ctx:?} {cluster} {restore} {on_failure:?} {}", std::ptr::from_ref(progress).is_null())
}

/// Takes a restore back whose driver died, or that was held: the old disks return.
///
/// # Errors
/// [`FlowError::Stuck`]; [`remount_store::Error::Leased`] while its driver still lives.
pub async fn rollback_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    progress: &dyn Progress,
) -> Result<()> {
    todo!("{ctx:?} {cluster} {restore} {}", std::ptr::from_ref(progress).is_null())
}

//! The published plan: what the VMs apply at their next start on a swapped disk.

use super::context::RestoreContext;
use crate::{FlowError, Result};

/// Makes the plan the one that the VMs apply.
///
/// # Errors
/// The store does not answer, or the lease is lost.
pub async fn publish(restore: &RestoreContext<'_>) -> Result<()> {
    let published = restore.cluster.publish(&restore.plan.id, &restore.lease).await;
    published.map_err(FlowError::store("publish the plan"))
}

/// Withdraws the plan. One that is not published counts as done.
///
/// # Errors
/// The store does not answer, or the lease is lost.
pub async fn withdraw(restore: &RestoreContext<'_>) -> Result<()> {
    restore.cluster.withdraw(&restore.lease).await.map_err(FlowError::store("withdraw the plan"))
}

//! Whether this process may still change anything.

use remount_store::{Keeper, Lease};

use crate::{FlowError, Result};

/// Asks the store whether the lease is still ours, right before something is changed that knows no lease: the Director,
/// the cloud. The keeper alone does not do: a process that slept through the end of its lease (its VM was paused, or
/// it was stopped) wakes up in the middle of a step and still believes in it.
///
/// # Errors
/// [`FlowError::is_fenced`]: another acts by now, nothing more may be done. Or the store does not answer.
pub async fn still_ours(lease: &Lease, keeper: &Keeper, action: &str) -> Result<()> {
    let asked = if keeper.is_lost() {
        let (cluster, epoch) = (lease.cluster().to_string(), lease.epoch());
        Err(remount_store::Error::Fenced { cluster, epoch, taken_by: epoch + 1 })
    } else {
        lease.check().await
    };
    asked.map_err(FlowError::store(action))
}

//! Whether the note of a stop is of the last stop. A start deletes the note, but a normal start never waits for the store:
//! where that was away from then until the next stop was over, the note in it is of an earlier one, and what was written
//! since is nowhere but on the disk. The Director's tasks tell.
//!
//! Who starts a server on the VM by hand (`monit start`) and stops it again while the store is away is not seen.

use remount_core::DeploymentName;
use remount_director::{Instance, is_of_last_stop};
use remount_store::ClusterStore;

use crate::{FlowContext, FlowError, Result};

/// So many of a deployment's newest tasks are looked at.
const SEARCHED: u32 = 200;
/// Why the note of a stopped instance, where there is one, may be of an earlier stop; none where it is of the last.
///
/// # Errors
/// The store or the Director does not answer.
pub async fn doubt(
    ctx: &FlowContext,
    store: &ClusterStore,
    deployment: &DeploymentName,
    instance: &Instance,
) -> Result<Option<String>> {
    let action = format!("read the note of the stop of {}", instance.slug);
    let noted = store.stop_noted_at(&instance.slug.id).await.map_err(FlowError::store(action))?;
    let Some(noted) = noted else { return Ok(None) };
    let tasks = ctx.director.tasks(deployment, SEARCHED).await;
    let tasks = tasks.map_err(FlowError::director("look which stop was the last"))?;
    Ok((!is_of_last_stop(noted.as_second(), &tasks)).then(|| {
        format!(
            "the note of its stop, of {noted}, may be of an earlier stop: the Director's tasks do not show that nothing has \
             started it since"
        )
    }))
}

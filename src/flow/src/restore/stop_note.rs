//! The note of a stop: what it leaves open, and whether it is of the last stop. A start deletes the note, but a normal start never waits for the store:
//! where that was away from then until the next stop was over, the note in it is of an earlier one, and what was written
//! since is nowhere but on the disk. The Director's tasks tell.
//!
//! Who starts a server on the VM by hand (`monit start`) and stops it again while the store is away is not seen.

use remount_core::DeploymentName;
use remount_core::documents::{PlannedInstance, StopNote};
use remount_director::{Instance, is_of_last_stop};
use remount_host::Poll;
use remount_store::ClusterStore;

use super::context::RestoreContext;
use super::state::{RestorePhase, RestoreState};
use crate::wait::until;
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

/// What the note of a stop leaves open; none where it says that nothing is missing.
///
/// An instance keeps its id when its disk is swapped: a note of the disk that a rollback has put aside says nothing of
/// the one that was put back.
///
/// # Errors
/// The store does not answer.
pub async fn missing_by(store: &ClusterStore, note: Option<&StopNote>) -> Result<Option<String>> {
    let Some(note) = note else {
        return Ok(Some("its stop has left no note in the store of what is not archived".into()));
    };
    match &note.restore {
        Some(id) if !is_of_this_disk(store, note).await? => {
            Ok(Some(format!("the note of its stop is of the disk that restore {id} had made and put aside")))
        }
        _ => Ok(note.missing()),
    }
}

/// Whether a note is of the disk that the instance has now, and not of one that a rollback has put aside.
///
/// # Errors
/// The store does not answer.
pub async fn is_of_this_disk(store: &ClusterStore, note: &StopNote) -> Result<bool> {
    let Some(id) = &note.restore else { return Ok(true) };
    let phase = RestoreState::read(store, id).await?.phase;
    Ok(!matches!(phase, RestorePhase::RolledBack | RestorePhase::Undone))
}

/// The note of the primary's stop, waited for where its VM may still be writing it.
///
/// # Errors
/// The store does not answer.
pub async fn of_primary(
    restore: &RestoreContext<'_>,
    primary: &PlannedInstance,
    answers: bool,
) -> Result<Option<StopNote>> {
    let id = &primary.instance.id;
    let read = || async {
        restore.cluster.stop_note(id).await.map_err(FlowError::store("read the note of the stop"))
    };
    if !answers {
        return read().await;
    }
    let what = format!("the note of the stop of {}", primary.instance);
    let found = until(restore.ctx, what, restore.ctx.timeouts.lost_answer, || async {
        Ok(read().await?.map_or_else(|| Poll::NotYet("it is not there".into()), Poll::Ready))
    });
    match found.await {
        Ok(note) => Ok(Some(note)),
        Err(FlowError::Deadline { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

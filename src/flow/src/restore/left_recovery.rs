//! Whether the restored primary has left recovery, so that users may have written to its disk: such a disk is put
//! aside by a rollback, never deleted. What is not known counts as yes.

use remount_core::documents::StopNote;
use remount_director::Instance;
use remount_postgres::{DatabaseState, Recovery};

use super::context::RestoreContext;
use crate::{Problem, Result, instances};

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftRecovery {
    /// It is in recovery, and goes no further than its target without being asked.
    No,
    /// It has.
    Yes,
    /// Nobody knows; why not.
    Unknown(String),
}

/// Asks the server, before it is stopped; where it is stopped already, the note of its stop tells. One that answers in recovery has hot standby, so it stops at its target: the
/// one that PostgreSQL promotes by itself is the one that does not answer on its way there.
pub async fn left_recovery(restore: &RestoreContext<'_>) -> Result<LeftRecovery> {
    let instance = restore.instance(&restore.primary()?.instance).await?;
    if instance.desired != "started"
        && let Some(known) = by_note(restore, &instance).await
    {
        return Ok(known);
    }
    if instance.vm.is_none() {
        return Ok(LeftRecovery::Unknown("it has no VM that could be asked".into()));
    }
    Ok(match instances::status_with_retry(restore.ctx, &instance).await {
        Ok(status) if status.applied_restore.as_ref() != Some(&restore.plan.id) => {
            LeftRecovery::Unknown("another disk than the restored one answers".into())
        }
        Ok(status) if status.recovery == Recovery::Ended => LeftRecovery::Yes,
        Ok(_) => LeftRecovery::No,
        Err(error) => LeftRecovery::Unknown(Problem::of(&error).what),
    })
}

/// What the note of its stop says; none where there is none of this restore's disk, or it cannot be read. One that the
/// Director wants to run may have been started since its note.
async fn by_note(restore: &RestoreContext<'_>, instance: &Instance) -> Option<LeftRecovery> {
    let note = restore.cluster.stop_note(&instance.slug.id).await.ok()??;
    let path = &restore.plan.path;
    let is_ours = note.restore.as_ref() == Some(&restore.plan.id);
    let is_ours = is_ours && note.system_identifier == path.system_identifier;
    is_ours.then(|| told_by(&note, path.history.includes(note.timeline))).flatten()
}

/// The state of the control file as it was left. PostgreSQL writes that it is in production before it takes a write, and
/// takes none on a timeline that the plan has.
fn told_by(note: &StopNote, is_planned_timeline: bool) -> Option<LeftRecovery> {
    let was = |state: DatabaseState| note.state == state.to_string();
    let in_recovery = was(DatabaseState::InArchiveRecovery) || was(DatabaseState::ShutDownInRecovery);
    match (in_recovery, is_planned_timeline) {
        (true, true) => Some(LeftRecovery::No),
        (_, false) => Some(LeftRecovery::Yes),
        // As the snapshot has it: it was not started, or died before it noted anything.
        (false, true) => None,
    }
}

/// Before the restored primary is stopped for good: keeps its disks where users may have written to them.
///
/// # Errors
/// The Director does not answer, or the journal cannot be written.
pub async fn keep_what_was_written(restore: &RestoreContext<'_>) -> Result<()> {
    if restore.may_have_served() {
        return Ok(());
    }
    match left_recovery(restore).await? {
        LeftRecovery::No => Ok(()),
        LeftRecovery::Yes => restore.put_aside(LEFT_BY_ITSELF).await,
        LeftRecovery::Unknown(why) => {
            let reason = format!("whether the restored primary has left recovery is not known ({why})");
            restore.put_aside(&reason).await
        }
    }
}

/// Why a disk is kept whose server was never asked to take writes.
pub const LEFT_BY_ITSELF: &str = "PostgreSQL left recovery by itself, so users may have written";

//! Whether the restored primary has left recovery, so that users may have written to its disk: such a disk is put
//! aside by a rollback, never deleted. What is not known counts as yes.

use remount_director::Instance;
use remount_postgres::Recovery;

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

/// Asks the server, before it is stopped. One that answers in recovery has hot standby, so it stops at its target: the
/// one that PostgreSQL promotes by itself is the one that does not answer on its way there. Where it is stopped already,
/// the note of its stop can say yes. It never says no: nobody has signed it, and on a shared file system any database VM
/// writes it.
pub async fn left_recovery(restore: &RestoreContext<'_>) -> Result<LeftRecovery> {
    let instance = restore.instance(&restore.primary()?.instance).await?;
    if instance.desired != "started" && noted(restore, &instance).await {
        return Ok(LeftRecovery::Yes);
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

/// Whether the note of the stop of this restore's disk says that it has left recovery: PostgreSQL takes no write on a
/// timeline that the plan has. One that the Director wants to run may have been started since its note.
async fn noted(restore: &RestoreContext<'_>, instance: &Instance) -> bool {
    let Ok(Some(note)) = restore.cluster.stop_note(&instance.slug.id).await else { return false };
    let path = &restore.plan.path;
    let is_ours = note.restore.as_ref() == Some(&restore.plan.id);
    is_ours && note.system_identifier == path.system_identifier && !path.history.includes(note.timeline)
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

//! Step 3: the lease is held and the plan written; nothing may have changed since it was made.

use async_trait::async_trait;

use super::RestoreStep;
use crate::error::RUN_AGAIN;
use crate::restore::context::RestoreContext;
use crate::restore::director_change;
use crate::{FlowError, Result};
use remount_saga::{Probe, Step};

/// The step.
pub struct Begin;

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Begin {
    type Output = ();

    const NAME: RestoreStep = RestoreStep::Begin;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<()> {
        let backup = &restore.plan.path.backup;
        let found = restore
            .cluster
            .backup(backup)
            .await
            .map_err(FlowError::store(format!("read backup {backup}")))?;
        if found.is_none() {
            return Err(changed(format!("backup {backup} was deleted")));
        }
        for planned in &restore.plan.instances {
            let now = restore.instance(&planned.instance).await?;
            if now.disks.first() != planned.old_disk.as_ref() {
                return Err(changed(format!("{} has another disk than planned", planned.instance)));
            }
        }
        director_change::note_newest(restore).await
    }

    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(()) // It only looked.
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<()>> {
        Ok(Probe::NotDone)
    }
}

fn changed(what: String) -> FlowError {
    FlowError::check(format!("{what} since the restore was planned"), RUN_AGAIN)
}

//! Step 14: what only the restore needed goes away, and the restored cluster gets its first backup. The old
//! disks stay: the Director keeps them as orphans.

use async_trait::async_trait;
use remount_core::BackupId;
use remount_director::Instance;

use super::RestoreStep;
use crate::backup::{self, BackupRequest, Holder};
use crate::instances;
use crate::restore::context::RestoreContext;
use crate::restore::publication::withdraw;
use crate::restore::reindex;
use crate::{FlowError, Problem, Result};
use remount_saga::{AfterFailure, Probe, Quiet, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Finish;

/// What the step leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// The backup of the restored cluster; none where it could not be taken.
    pub backup: Option<BackupId>,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Finish {
    type Output = Finished;

    const NAME: RestoreStep = RestoreStep::Finish;
    const AFTER_FAILURE: AfterFailure = AfterFailure::Hold;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Finished> {
        if restore.plan.options.reindex {
            let primary = restore.server(&restore.primary()?.instance).await?;
            reindex::where_asked(restore, &*primary).await;
        }
        for planned in &restore.plan.instances {
            let instance = restore.instance(&planned.instance).await?;
            let server = instances::server(restore.ctx, &instance)?;
            server
                .finish_restore(&restore.plan.id)
                .await
                .map_err(FlowError::server("remove the restore's settings", &planned.instance))?;
            tell_overrides(restore, &instance).await;
        }
        withdraw(restore).await?;
        let backup = first_backup(restore).await;
        Ok(Finished { backup })
    }

    /// Never asked for by the saga; a person who wants to go back all the same gets the steps before.
    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(())
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Finished>> {
        Ok(Probe::NotDone)
    }
}

/// The restored disk may bring back an `ALTER SYSTEM` that was reset since its backup.
async fn tell_overrides(restore: &RestoreContext<'_>, instance: &Instance) {
    let Ok(status) = instances::status(restore.ctx, instance).await else { return };
    for found in status.overrides {
        restore.warn(format!("{} as it is restored: {found}", instance.slug));
    }
}

/// A restored cluster without a backup is still restored: a failure is a warning.
async fn first_backup(restore: &RestoreContext<'_>) -> Option<BackupId> {
    let mut request = BackupRequest::of(restore.plan.deployment.clone());
    request.group = restore.plan.group.clone();
    let holder = Holder { cluster: &restore.cluster, lease: &restore.lease, keeper: &restore.keeper };
    match Box::pin(backup::under_lease(restore.ctx, &request, holder, &Quiet)).await {
        Ok(manifest) => {
            restore.reporter.note(format!("backup {} taken", manifest.id));
            Some(manifest.id)
        }
        Err(error) => {
            let why = Problem::of(&error).what;
            restore.warn(format!(
                "the restored cluster has no backup of its own yet ({why}): run `remount backup`"
            ));
            None
        }
    }
}

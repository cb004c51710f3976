//! Whether a restore can still be rolled back: its old disks are there, and nothing stands on its new ones.

use remount_core::documents::PlannedInstance;

use super::context::RestoreContext;
use crate::instances;
use crate::{FlowError, Problem, Result};

/// Looks before anything is touched. A restore that broke off in the middle passes: its instances have the old
/// disk, the new one, or, after a failed attach, none.
///
/// # Errors
/// [`FlowError::Refused`] with every reason.
pub async fn check(restore: &RestoreContext<'_>) -> Result<()> {
    let all = instances::all(restore.ctx, &restore.plan.deployment).await?;
    let mut problems = Vec::new();
    for planned in &restore.plan.instances {
        problems.extend(old_disk_gone(restore, planned).await?);
        let Some(instance) = all.iter().find(|instance| instance.slug == planned.instance) else {
            problems.push(Problem::new(
                format!("the Director no longer knows {}", planned.instance),
                "deploy the deployment as it was when it was restored",
            ));
            continue;
        };
        for disk in &instance.disks {
            let ours = restore.new_disk(planned).await.is_ok_and(|new| new == *disk);
            if !ours && Some(disk) != planned.old_disk.as_ref() {
                problems.push(Problem::new(
                    format!("{} has disk {disk}, which this restore neither made nor replaced", planned.instance),
                    "a later restore or a resize put it there: roll the later restore back first (`remount journal`)",
                ));
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(FlowError::Refused { what: format!("the rollback of restore {}", restore.plan.id), problems })
}

async fn old_disk_gone(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<Option<Problem>> {
    let Some(old) = &planned.old_disk else { return Ok(None) };
    let found = restore
        .ctx
        .cloud
        .disk(old)
        .await
        .map_err(FlowError::cloud(format!("look for the old disk {old}")))?;
    Ok(found.is_none().then(|| {
        let what = format!("the old disk {old} of {} is gone", planned.instance);
        Problem::new(
            what,
            "it was released, or the Director's clean-up deleted it: restore to the point you want instead",
        )
    }))
}

//! Step 13: what only the restore needed goes away, and the restored cluster gets its first backup. The old
//! disks stay: the Director keeps them as orphans.

use async_trait::async_trait;
use remount_core::Role;
use serde_json::{Value, json};

use super::super::cx::Restore;
use super::publish::withdraw;
use crate::backup::{self, BackupRequest, Holder};
use crate::instances;
use crate::saga::{AfterFailure, Probe, Step};
use crate::wait::retrying;
use crate::{FlowError, Problem, Quiet, Result};

pub struct Finish;

#[async_trait]
impl<'r> Step<Restore<'r>> for Finish {
    fn name(&self) -> &'static str {
        "finish"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        for planned in &cx.plan.instances {
            let instance = cx.instance(&planned.instance).await?;
            let server = instances::server(cx.ctx, &instance)?;
            retrying(cx.ctx.timeouts.retry, || server.finish_restore(&cx.plan.id))
                .await
                .map_err(FlowError::server("remove the restore's settings", &planned.instance))?;
        }
        withdraw(cx).await?;
        first_backup(cx).await;
        Ok(json!({ "backup": cx.known().backup }))
    }

    /// Never asked for by the saga; a person who wants to go back all the same gets the steps before.
    async fn undo(&self, _: &Restore<'r>) -> Result<()> {
        Ok(())
    }

    async fn probe(&self, _: &Restore<'r>) -> Result<Probe> {
        Ok(Probe::NotDone)
    }

    fn after_failure(&self) -> AfterFailure {
        AfterFailure::Hold
    }
}

/// A restored cluster without a backup is still restored: a failure is a warning.
async fn first_backup(cx: &Restore<'_>) {
    let mut request = BackupRequest::of(cx.plan.deployment.clone());
    request.group =
        cx.plan.instances.iter().find(|planned| planned.role == Role::Primary).and_then(|planned| {
            let named = cx.plan.cluster.as_str() != cx.plan.deployment.as_str();
            named.then(|| planned.instance.group.clone())
        });
    let holder = Holder { cluster: &cx.cluster, lease: &cx.lease, keeper: &cx.keeper };
    match Box::pin(backup::under_lease(cx.ctx, &request, holder, &Quiet)).await {
        Ok(manifest) => {
            cx.watch.note(format!("backup {} taken", manifest.id));
            cx.known().backup = Some(manifest.id);
        }
        Err(error) => cx.warn(format!(
            "the restored cluster has no backup of its own yet ({}): run `remount backup`",
            Problem::of(&error).what
        )),
    }
}

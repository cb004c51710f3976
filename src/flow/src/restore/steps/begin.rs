//! Step 3: the lease is held and the plan written; nothing may have changed since it was made.

use async_trait::async_trait;
use serde_json::Value;

use super::super::cx::Restore;
use super::super::tasks;
use crate::saga::{Probe, Step};
use crate::wait::retrying;
use crate::{FlowError, Result};

pub struct Begin;

#[async_trait]
impl<'r> Step<Restore<'r>> for Begin {
    fn name(&self) -> &'static str {
        "begin"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let backup = &cx.plan.path.backup;
        let found = retrying(cx.ctx.timeouts.retry, || cx.cluster.backup(backup))
            .await
            .map_err(FlowError::store(format!("read backup {backup}")))?;
        if found.is_none() {
            return Err(changed(format!("backup {backup} was deleted")));
        }
        for planned in &cx.plan.instances {
            let now = cx.instance(&planned.instance).await?;
            if now.disks.first() != planned.old_disk.as_ref() {
                return Err(changed(format!("{} has another disk than planned", planned.instance)));
            }
        }
        tasks::note_newest(cx).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _: &Restore<'r>) -> Result<()> {
        Ok(()) // It only looked.
    }

    async fn probe(&self, _: &Restore<'r>) -> Result<Probe> {
        Ok(Probe::NotDone)
    }
}

fn changed(what: String) -> FlowError {
    FlowError::check(format!("{what} since the restore was planned"), "run the command again: it plans anew")
}

//! Step 6: the plan becomes the one that the VMs apply at their next start on a swapped disk.

use async_trait::async_trait;
use serde_json::Value;

use super::super::cx::Restore;
use crate::saga::{Probe, Step};
use crate::wait::retrying;
use crate::{FlowError, Result};

pub struct Publish;

#[async_trait]
impl<'r> Step<Restore<'r>> for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        retrying(cx.ctx.timeouts.retry, || cx.cluster.publish(&cx.plan.id, &cx.lease))
            .await
            .map_err(FlowError::store("publish the plan"))?;
        Ok(Value::Null)
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        withdraw(cx).await
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        let published = cx.cluster.published().await.map_err(FlowError::store("read the published plan"))?;
        let ours = published.is_some_and(|plan| plan.id == cx.plan.id);
        Ok(if ours { Probe::Done } else { Probe::NotDone })
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        vec![format!("delete the object clusters/{}/restores/current.json", cx.plan.cluster)]
    }
}

/// Takes the plan back. One that is not published counts as done.
pub async fn withdraw(cx: &Restore<'_>) -> Result<()> {
    retrying(cx.ctx.timeouts.retry, || cx.cluster.withdraw(&cx.lease))
        .await
        .map_err(FlowError::store("withdraw the plan"))
}

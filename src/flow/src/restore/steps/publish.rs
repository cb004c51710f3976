//! Step 6: the plan becomes the one that the VMs apply at their next start on a swapped disk.

use async_trait::async_trait;

use super::RestoreStep;
use crate::restore::context::RestoreContext;
use crate::restore::publication;
use crate::{FlowError, Result};
use remount_saga::{Probe, Step};

/// The step.
pub struct Publish;

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Publish {
    type Output = ();

    const NAME: RestoreStep = RestoreStep::Publish;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<()> {
        publication::publish(restore).await
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        publication::withdraw(restore).await
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<()>> {
        let published =
            restore.cluster.published().await.map_err(FlowError::store("read the published plan"))?;
        let ours = published.is_some_and(|plan| plan.id == restore.plan.id);
        Ok(if ours { Probe::Done(()) } else { Probe::NotDone })
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        vec![format!("delete the object clusters/{}/restores/current.json", restore.plan.cluster)]
    }
}

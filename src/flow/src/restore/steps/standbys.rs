//! Step 7: the standbys stop and get their new disks, while the primary still serves. They stay stopped
//! until the new timeline's fork is archived (step 13).

use async_trait::async_trait;
use futures_util::future::join_all;
use remount_core::Role;
use remount_core::documents::PlannedInstance;

use super::RestoreStep;
use crate::instances;
use crate::restore::context::RestoreContext;
use crate::restore::publication::withdraw;
use crate::restore::{director_change, swap};
use crate::wait::until;
use crate::{Problem, Result};
use remount_host::Poll;
use remount_saga::{Probe, Step};

/// The step.
pub struct SwapStandbys;

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for SwapStandbys {
    type Output = ();

    const NAME: RestoreStep = RestoreStep::SwapStandbys;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<()> {
        all(restore, |planned| put_new_disk(restore, planned)).await?;
        Ok(())
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        put_old_disks(restore).await?;
        withdraw(restore).await?;
        all(restore, |planned| start_again(restore, planned)).await
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<()>> {
        director_change::settle(restore).await?;
        for planned in restore.standbys() {
            let disk = restore.new_disk(planned).await?;
            if !swap::carries(restore, planned, &disk).await? || !swap::is_stopped(restore, planned).await? {
                return Ok(Probe::NotDone);
            }
        }
        Ok(Probe::Done(()))
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        let disks =
            restore.standbys().into_iter().flat_map(|planned| swap::old_disk_by_hand(restore, planned));
        let running = restore.standbys().into_iter().filter(|planned| planned.was_running);
        disks.chain(running.map(|planned| swap::start_by_hand(restore, planned))).collect()
    }
}

/// Does it for all standbys at once, each to its end, and answers with the first failure.
pub async fn all<'a, F, Fut>(restore: &'a RestoreContext<'_>, each: F) -> Result<()>
where
    F: Fn(&'a PlannedInstance) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    join_all(restore.plan.standbys().map(each)).await.into_iter().collect()
}

async fn put_new_disk(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<()> {
    let disk = restore.new_disk(planned).await?;
    let has_vm = swap::stop(restore, planned, || {}).await?;
    swap::put_new_disk(restore, planned, &disk, has_vm).await?;
    restore.reporter.note(format!("{}: stopped, disk {disk} attached", planned.instance));
    Ok(())
}

/// Puts the old disks back into all standbys; they stay stopped.
pub async fn put_old_disks(restore: &RestoreContext<'_>) -> Result<()> {
    director_change::settle(restore).await?;
    all(restore, |planned| swap::put_old_disk(restore, planned)).await
}

/// Starts a standby on its old disk, where it ran before. That it streams again is hoped for, not demanded:
/// it may not have streamed before either.
async fn start_again(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<()> {
    if !planned.was_running {
        restore.reporter.note(format!("{} did not run before: it stays stopped", planned.instance));
        return Ok(());
    }
    swap::start(restore, planned).await?;
    let timeouts = &restore.ctx.timeouts;
    let what = format!("{} follows its primary", planned.instance);
    let follows = until(restore.ctx, what, timeouts.verify, || async {
        let instance = restore.instance(&planned.instance).await?;
        Ok(match instances::status(restore.ctx, &instance).await {
            Ok(status) if status.role == Role::Standby && status.streaming => Poll::Ready(()),
            Ok(_) => Poll::NotYet("it runs and does not stream".into()),
            Err(error) => Poll::NotYet(Problem::of(&error).what),
        })
    })
    .await;
    if let Err(error) = follows {
        restore.warn(Problem::of(&error).what);
    }
    Ok(())
}

//! Step 7: the standbys stop and get their new disks, while the primary still serves. They stay stopped
//! until the new timeline's fork is archived (step 12).

use async_trait::async_trait;
use futures_util::future::join_all;
use remount_core::{PlannedInstance, Role};
use serde_json::Value;

use super::super::cx::Restore;
use super::super::{swap, tasks};
use super::publish::withdraw;
use crate::instances;
use crate::saga::{Probe, Step};
use crate::wait::{Look, until};
use crate::{Problem, Result};

pub struct SwapStandbys;

#[async_trait]
impl<'r> Step<Restore<'r>> for SwapStandbys {
    fn name(&self) -> &'static str {
        "swap_standbys"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        all(cx, |planned| put_new_disk(cx, planned)).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        put_old_disks(cx).await?;
        withdraw(cx).await?;
        all(cx, |planned| start_again(cx, planned)).await
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        tasks::settle(cx).await?;
        for planned in cx.standbys() {
            let disk = cx.new_disk(planned).await?;
            if !swap::carries(cx, planned, &disk).await? || !swap::is_stopped(cx, planned).await? {
                return Ok(Probe::NotDone);
            }
        }
        Ok(Probe::Done)
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        let disks = cx.standbys().into_iter().flat_map(|planned| swap::old_disk_by_hand(cx, planned));
        let running = cx.standbys().into_iter().filter(|planned| planned.was_running);
        disks.chain(running.map(|planned| swap::start_by_hand(cx, planned))).collect()
    }
}

/// Does it for all standbys at once, each to its end, and answers with the first failure.
pub async fn all<'a, F, Fut>(cx: &'a Restore<'_>, each: F) -> Result<()>
where
    F: Fn(&'a PlannedInstance) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    join_all(cx.plan.standbys().map(each)).await.into_iter().collect()
}

async fn put_new_disk(cx: &Restore<'_>, planned: &PlannedInstance) -> Result<()> {
    let disk = cx.new_disk(planned).await?;
    let has_vm = swap::stop(cx, planned, || {}).await?;
    swap::put_new_disk(cx, planned, &disk, has_vm).await?;
    cx.watch.note(format!("{}: stopped, disk {disk} attached", planned.instance));
    Ok(())
}

/// Puts the old disks back into all standbys; they stay stopped.
pub async fn put_old_disks(cx: &Restore<'_>) -> Result<()> {
    tasks::settle(cx).await?;
    all(cx, |planned| swap::put_old_disk(cx, planned)).await
}

/// Starts a standby on its old disk, where it ran before. That it streams again is hoped for, not demanded:
/// it may not have streamed before either.
async fn start_again(cx: &Restore<'_>, planned: &PlannedInstance) -> Result<()> {
    if !planned.was_running {
        cx.watch.note(format!("{} did not run before: it stays stopped", planned.instance));
        return Ok(());
    }
    swap::start(cx, planned).await?;
    let timeouts = &cx.ctx.timeouts;
    let what = format!("{} follows its primary", planned.instance);
    let follows = until(what, timeouts.verify, timeouts.poll, || async {
        let instance = cx.instance(&planned.instance).await?;
        Ok(match instances::status(cx.ctx, &instance).await {
            Ok(status) if status.role == Role::Standby && status.streaming => Look::Found(()),
            Ok(_) => Look::NotYet("it runs and does not stream".into()),
            Err(error) => Look::NotYet(Problem::of(&error).what),
        })
    })
    .await;
    if let Err(error) = follows {
        cx.warn(Problem::of(&error).what);
    }
    Ok(())
}

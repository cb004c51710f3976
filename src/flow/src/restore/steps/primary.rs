//! Steps 8 to 10: the primary stops, gets its new disk, starts and replays. Nothing serves meanwhile, so
//! nothing is done here that could be done before or after.

use std::time::Instant;

use async_trait::async_trait;
use remount_core::{Lsn, RecoveryTarget, Role};
use serde_json::{Value, json};

use super::super::cx::Restore;
use super::super::{swap, tasks};
use super::publish::withdraw;
use super::standbys;
use crate::instances;
use crate::saga::{Probe, Step};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Problem, Result};

pub struct StopPrimary;

#[async_trait]
impl<'r> Step<Restore<'r>> for StopPrimary {
    fn name(&self) -> &'static str {
        "stop_primary"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let begin = || cx.known().down_since = Some((Instant::now(), cx.watch.spent()));
        let primary = cx.primary()?;
        let instance = cx.primary_of_planned_group().await?;
        begin();
        let has_vm = swap::stop_as(cx, primary, &instance, begin).await?;
        let mut known = cx.known();
        (known.primary, known.primary_has_vm) = (Some(instance), has_vm);
        Ok(json!({ "has_vm": has_vm }))
    }

    /// All swapped disks go out before the plan is withdrawn, and it is withdrawn before anything starts.
    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        let primary = cx.primary()?;
        standbys::put_old_disks(cx).await?;
        swap::put_old_disk(cx, primary).await?;
        withdraw(cx).await?;
        if !primary.was_running {
            cx.watch.note(format!("{} did not run before: it stays stopped", primary.instance));
            return Ok(());
        }
        swap::start(cx, primary).await?;
        serves_again(cx).await
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        tasks::settle(cx).await?;
        Ok(Probe::NotDone) // Stopping what is stopped costs nothing, and the act learns whether it has a VM.
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        let primary = cx.plan.primary().filter(|primary| primary.was_running);
        let disks = cx.plan.standbys().flat_map(|planned| swap::old_disk_by_hand(cx, planned));
        let withdraw = format!("delete the object clusters/{}/restores/current.json", cx.plan.cluster);
        disks.chain([withdraw]).chain(primary.map(|primary| swap::start_by_hand(cx, primary))).collect()
    }
}

/// After the way back: the primary takes writes.
async fn serves_again(cx: &Restore<'_>) -> Result<()> {
    let (primary, timeouts) = (cx.primary()?, &cx.ctx.timeouts);
    let what = format!("{} serves again", primary.instance);
    let _waiting = cx.watch.waiting_for_postgres();
    until(what, timeouts.verify, timeouts.poll, || async {
        let instance = cx.instance(&primary.instance).await?;
        let status = match instances::status(cx.ctx, &instance).await {
            Ok(status) => status,
            Err(error) => return Ok(Look::NotYet(Problem::of(&error).what)),
        };
        if status.role != Role::Primary {
            return Ok(Look::NotYet("it is in recovery".into()));
        }
        Ok(match instances::server(cx.ctx, &instance)?.write_probe().await {
            Ok(_) => Look::Found(()),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })
    .await
}

pub struct SwapPrimary;

#[async_trait]
impl<'r> Step<Restore<'r>> for SwapPrimary {
    fn name(&self) -> &'static str {
        "swap_primary"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let primary = cx.primary()?;
        let disk = cx.new_disk(primary).await?;
        let has_vm = cx.known().primary_has_vm;
        swap::put_new_disk(cx, primary, &disk, has_vm).await?;
        Ok(json!({ "disk": disk }))
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        tasks::settle(cx).await?;
        swap::put_old_disk(cx, cx.primary()?).await
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        tasks::settle(cx).await?;
        let primary = cx.primary()?;
        let disk = cx.new_disk(primary).await?;
        Ok(if swap::carries(cx, primary, &disk).await? { Probe::Done } else { Probe::NotDone })
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        cx.plan.primary().map(|primary| swap::old_disk_by_hand(cx, primary)).unwrap_or_default()
    }
}

pub struct Recover;

#[async_trait]
impl<'r> Step<Restore<'r>> for Recover {
    fn name(&self) -> &'static str {
        "recover"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let primary = cx.primary()?;
        // What the old primary archived while it stopped is looked up while the new one starts.
        let (started, last) = tokio::join!(swap::start(cx, primary), last_segment(cx));
        started?;
        let last = last?;
        cx.known().last_segment = last;
        Ok(json!({ "last_segment_begins": last }))
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        tasks::settle(cx).await?;
        swap::stop(cx, cx.primary()?, || {}).await.map(|_| ())
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        tasks::wait_for_start(cx).await?;
        Ok(Probe::NotDone) // Starting what runs costs nothing; what it shows is looked at in `verify`.
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        let stop = |primary: &remount_core::PlannedInstance| {
            format!("bosh -d {} -n stop --no-converge {}", cx.plan.deployment, primary.instance)
        };
        cx.plan.primary().map(stop).into_iter().collect()
    }
}

/// How many segments a primary can have archived between step 5 and its end.
const SEGMENTS_SEARCHED: u32 = 65_536;

/// For `latest`: where the last archived segment of the planned line begins. All before it was replayed, or
/// the restore is not good. (Where in the last segment the log ends only its content says.)
async fn last_segment(cx: &Restore<'_>) -> Result<Option<Lsn>> {
    if !matches!(cx.plan.target.target, RecoveryTarget::Latest) {
        return Ok(None);
    }
    let path = &cx.plan.path;
    let wal = cx.cluster.wal(path.system_identifier);
    let mut last = path.segments.1;
    for _ in 0..SEGMENTS_SEARCHED {
        let next = last.next(path.segment_size);
        let there = retrying(cx.ctx.timeouts.retry, || wal.contains(&next))
            .await
            .map_err(FlowError::store(format!("look for segment {next}")))?;
        if !there {
            break;
        }
        last = next;
    }
    Ok(Some(last.start(path.segment_size)))
}

//! Steps 8 to 10: the primary stops, gets its new disk, starts and replays to its target. Nothing serves meanwhile, so
//! nothing is done here that could be done before or after.

use std::time::Instant;

use async_trait::async_trait;
use remount_core::documents::{PlannedInstance, WalTail};
use remount_core::{DiskCid, Lsn, RecoveryTarget, Role};
use remount_host::Poll;
use remount_postgres::Server;
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

use super::{RestoreStep, standbys};
use crate::restore::archive::last_segment_begins;
use crate::restore::context::RestoreContext;
use crate::restore::first_start::{self, start_until_arrived};
use crate::restore::left_recovery::keep_what_was_written;
use crate::restore::publication::withdraw;
use crate::restore::unarchived::{self, Left};
use crate::restore::{director_change, swap};
use crate::wait::until;
use crate::{FlowError, Problem, Result, instances};

/// Step 8.
pub struct StopPrimary;

/// What step 8 leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoppedPrimary {
    /// Whether the primary still has a VM: attaching is then more than a note in a record.
    pub has_vm: bool,
    /// The records that end this restore's WAL, where they are in no segment of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<WalTail>,
    /// Where its last record ends, where nothing before it is missing: `latest` goes so far at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Lsn>,
    /// What is missing in the archive, as was accepted or does not matter to the target: its old disk may be the only
    /// place that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for StopPrimary {
    type Output = StoppedPrimary;

    const NAME: RestoreStep = RestoreStep::StopPrimary;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<StoppedPrimary> {
        let begin = || restore.notes().down_since = Some((Instant::now(), restore.reporter.waited()));
        let primary = restore.primary()?;
        let instance = restore.primary_of_planned_group().await?;
        let matters = unarchived::matters(restore);
        if matters && instance.desired == "started" {
            forget_earlier_stop(restore, primary).await?;
        }
        begin();
        let has_vm = swap::stop_as(restore, primary, &instance, begin).await?;
        let left =
            if matters { unarchived::after_stop(restore, has_vm, &instance).await? } else { Left::default() };
        restore.notes().primary = Some(instance);
        Ok(StoppedPrimary { has_vm, tail: left.tail, end: left.end, missing: left.missing })
    }

    /// All swapped disks go out before the plan is withdrawn, and it is withdrawn before anything starts.
    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        let primary = restore.primary()?;
        standbys::put_old_disks(restore).await?;
        swap::put_old_disk(restore, primary).await?;
        withdraw(restore).await?;
        if !primary.was_running {
            restore.reporter.note(format!("{} did not run before: it stays stopped", primary.instance));
            return Ok(());
        }
        swap::start(restore, primary).await?;
        serves_again(restore).await
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<StoppedPrimary>> {
        director_change::settle(restore).await?;
        Ok(Probe::NotDone) // Stopping what is stopped costs nothing, and the act learns whether it has a VM.
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        let primary = restore.plan.primary().filter(|primary| primary.was_running);
        let disks = restore.plan.standbys().flat_map(|planned| swap::old_disk_by_hand(restore, planned));
        let withdraw = format!("delete the object clusters/{}/restores/current.json", restore.plan.cluster);
        disks.chain([withdraw]).chain(primary.map(|primary| swap::start_by_hand(restore, primary))).collect()
    }
}

/// A server that runs has outlived the note of its last stop, whatever its agent could do about it.
async fn forget_earlier_stop(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Result<()> {
    restore.fence().await?;
    let forgotten = restore.cluster.forget_stop_note(&primary.instance.id).await;
    forgotten.map_err(FlowError::store(format!("forget the last stop of {}", primary.instance)))
}

/// After a rollback: the primary takes writes.
async fn serves_again(restore: &RestoreContext<'_>) -> Result<()> {
    let (primary, timeouts) = (restore.primary()?, &restore.ctx.timeouts);
    let what = format!("{} serves again", primary.instance);
    let _waiting = restore.reporter.waiting_for_postgres();
    until(restore.ctx, what, timeouts.verify, || async {
        let instance = restore.instance(&primary.instance).await?;
        let status = match instances::status(restore.ctx, &instance).await {
            Ok(status) => status,
            Err(error) => return Ok(Poll::NotYet(Problem::of(&error).what)),
        };
        if status.role != Role::Primary {
            return Ok(Poll::NotYet("it is in recovery".into()));
        }
        if let Some(lacks) = status.lacks_room() {
            restore.warn(format!(
                "{} serves again; its disk is full ({lacks}), so no write was tried",
                primary.instance
            ));
            return Ok(Poll::Ready(()));
        }
        let server = instances::server(restore.ctx, &instance)?;
        Ok(match server.write_probe().await {
            Ok(_) => {
                tell_its_timeline(restore, &*server).await;
                Poll::Ready(())
            }
            Err(error) => Poll::NotYet(remount_core::with_causes(&error)),
        })
    })
    .await
}

/// The restore may have left a younger timeline in the archive. That the cluster goes on on its old one is seen there
/// by a later commit, where nobody can be asked.
async fn tell_its_timeline(restore: &RestoreContext<'_>, server: &dyn Server) {
    if let Err(error) = server.switch_wal().await {
        restore.reporter.note(format!("the segment that it serves in was not closed: {error}"));
    }
}

/// Step 9.
pub struct SwapPrimary;

/// What step 9 leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwappedDisk {
    /// The disk that the primary has now.
    pub disk: DiskCid,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for SwapPrimary {
    type Output = SwappedDisk;

    const NAME: RestoreStep = RestoreStep::SwapPrimary;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<SwappedDisk> {
        let primary = restore.primary()?;
        let disk = restore.new_disk(primary).await?;
        // Where that is unknown, the instance is checked with care.
        let has_vm = restore.output::<StopPrimary>()?.is_some_and(|stopped| stopped.has_vm);
        swap::put_new_disk(restore, primary, &disk, has_vm).await?;
        Ok(SwappedDisk { disk })
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        director_change::settle(restore).await?;
        swap::put_old_disk(restore, restore.primary()?).await
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<SwappedDisk>> {
        director_change::settle(restore).await?;
        let primary = restore.primary()?;
        let disk = restore.new_disk(primary).await?;
        Ok(if swap::carries(restore, primary, &disk).await? {
            Probe::Done(SwappedDisk { disk })
        } else {
            Probe::NotDone
        })
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        restore.plan.primary().map(|primary| swap::old_disk_by_hand(restore, primary)).unwrap_or_default()
    }
}

/// Step 10.
pub struct Recover;

/// What step 10 leaves.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Recovered {
    /// Where the last archived segment of the old primary begins; for `latest` alone.
    pub last_segment_begins: Option<Lsn>,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Recover {
    type Output = Recovered;

    const NAME: RestoreStep = RestoreStep::Recover;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Recovered> {
        let primary = restore.primary()?;
        // What the old primary archived while it stopped is looked up while the new one starts.
        let (started, last) = tokio::join!(start_until_arrived(restore, primary), last_segment(restore));
        started?;
        go_forward(restore, primary).await?;
        Ok(Recovered { last_segment_begins: last? })
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        director_change::settle(restore).await?;
        keep_what_was_written(restore).await?;
        swap::stop(restore, restore.primary()?, || {}).await.map(|_| ())
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<Recovered>> {
        director_change::wait_for_start(restore).await?;
        Ok(Probe::NotDone) // Starting what runs costs nothing; what it shows is looked at in `verify`.
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        let stop = |primary: &PlannedInstance| {
            format!("bosh -d {} -n stop --no-converge {}", restore.plan.deployment, primary.instance)
        };
        restore.plan.primary().map(stop).into_iter().collect()
    }
}

/// A target that was moved counts from the next start on.
async fn go_forward(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Result<()> {
    if restore.plan.revision == 1 {
        return Ok(());
    }
    let server = restore.server(&primary.instance).await?;
    let forwarded = server
        .forward_restore(&restore.plan.id)
        .await
        .map_err(FlowError::server("move the target of the recovery", &primary.instance))?;
    if forwarded.needs_restart {
        first_start::cut_short(restore).await?;
        swap::stop(restore, primary, || {}).await?;
        start_until_arrived(restore, primary).await?;
    }
    Ok(())
}

/// For `latest` alone: nothing else needs the end of the archive.
async fn last_segment(restore: &RestoreContext<'_>) -> Result<Option<Lsn>> {
    match restore.plan.target.target {
        RecoveryTarget::Latest => last_segment_begins(restore).await.map(Some),
        _ => Ok(None),
    }
}

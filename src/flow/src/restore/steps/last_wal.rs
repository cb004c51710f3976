//! Step 5: a running primary commits once more and archives its last segment. The commit is later than any
//! target time up to now, so that a time target in a quiet period is reached. Where it cannot, a standby archives what it
//! has streamed.

use std::sync::Arc;

use async_trait::async_trait;
use remount_core::documents::{AcceptedLoss, WalTail};
use remount_core::{Lsn, WalSegment};
use remount_postgres::{Server, WalSwitched, WriteProbe};
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

use super::RestoreStep;
use crate::restore::archive::archived;
use crate::restore::context::RestoreContext;
use crate::restore::{planning, streamed, unarchived};
use crate::{FlowError, Problem, Result, instances};

/// The step.
pub struct LastWal;

/// What the step leaves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LastWalDone {
    /// What a running primary has written and archived last.
    pub archived: Option<LastWalArchived>,
    /// What a standby has beyond the archive's last segment, where the primary did not archive.
    pub tail: Option<WalTail>,
}

/// What a running primary has written and archived last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastWalArchived {
    /// `latest` must have been replayed up to here.
    pub last_write: Lsn,
    /// The segment that was closed.
    pub last_segment: WalSegment,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for LastWal {
    type Output = LastWalDone;

    const NAME: RestoreStep = RestoreStep::LastWal;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<LastWalDone> {
        let outcome = match serving_primary(restore).await? {
            Serving::Roomy(server) => of_primary(restore, &*server).await?,
            // It serves, and so it stays: its checkpoint could end in a PANIC. When it stops, post-stop archives the rest.
            Serving::Full(lacks) => {
                of_standbys(restore, &format!("the primary's disk is full: {lacks}")).await?
            }
            Serving::No(why) => of_standbys(restore, &why).await?,
        };
        planning::confirm(restore).await?;
        Ok(outcome)
    }

    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(()) // A switched segment and an empty commit are nothing to undo.
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<LastWalDone>> {
        Ok(Probe::NotDone)
    }
}

/// Whether the primary can be asked for its last WAL.
enum Serving {
    Roomy(Arc<dyn Server>),
    Full(String),
    No(String),
}

async fn serving_primary(restore: &RestoreContext<'_>) -> Result<Serving> {
    let instance = restore.instance(&restore.primary()?.instance).await?;
    if instance.vm.is_none() {
        return Ok(Serving::No("the primary has no VM".into()));
    }
    if instance.desired != "started" {
        return Ok(Serving::No("the primary is stopped".into()));
    }
    let server = instances::server(restore.ctx, &instance)?;
    Ok(match instances::status_with_retry(restore.ctx, &instance).await {
        Ok(status) => status.lacks_room().map_or(Serving::Roomy(server), Serving::Full),
        Err(error) => Serving::No(Problem::of(&error).what),
    })
}

async fn of_standbys(restore: &RestoreContext<'_>, why: &str) -> Result<LastWalDone> {
    let line =
        format!("no last WAL can be asked for ({why}): what the archive lacks, standbys are asked for");
    if unarchived::wants_all(restore) {
        restore.warn(line);
    } else {
        restore.reporter.note(line);
    }
    Ok(LastWalDone { archived: None, tail: streamed::from_standbys(restore).await? })
}

async fn of_primary(restore: &RestoreContext<'_>, server: &dyn Server) -> Result<LastWalDone> {
    let instance = &restore.primary()?.instance;
    let written = server.write_probe().await;
    let WriteProbe { lsn } = written.map_err(FlowError::server("write a last commit", instance))?;
    let switched = server.switch_wal().await;
    let WalSwitched { last_segment, .. } = switched.map_err(FlowError::server("switch WAL", instance))?;
    let (is_archived, tail) = match archived(restore, &last_segment).await {
        Ok(()) => (true, None),
        Err(late @ FlowError::Deadline { .. }) => instead(restore, &last_segment, late).await?,
        Err(error) => return Err(error),
    };
    if !is_archived {
        return Ok(LastWalDone { archived: None, tail });
    }
    restore.reporter.note(format!("WAL up to {lsn} is archived (segment {last_segment})"));
    Ok(LastWalDone { archived: Some(LastWalArchived { last_write: lsn, last_segment }), tail })
}

/// The primary does not archive: a standby does, up to now. What the primary writes from now on it would not archive
/// either, so that `latest` needs the operator's word: better now than after the stop. Answers whether the segment is
/// archived after all, and what the standby has beyond.
async fn instead(
    restore: &RestoreContext<'_>,
    last_segment: &WalSegment,
    late: FlowError,
) -> Result<(bool, Option<WalTail>)> {
    let accepted = restore.plan.accepts(AcceptedLoss::UnarchivedWal);
    if unarchived::wants_all(restore) && !accepted {
        return Err(late);
    }
    let tail = streamed::from_standbys(restore).await?;
    let wal = restore.cluster.wal(restore.plan.path.system_identifier);
    let there = wal.contains(last_segment).await;
    let there = there.map_err(FlowError::store(format!("look for segment {last_segment}")))?;
    if !there && !accepted {
        return Err(late);
    }
    restore.warn(format!("the primary cannot archive: {}", Problem::of(&late).what));
    Ok((there, tail))
}

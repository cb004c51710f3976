//! Step 5: a running primary commits once more and archives its last segment. The commit is later than any
//! target time up to now, so that a time target in a quiet period is reached.

use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{Lsn, RecoveryTarget, WalSegment};
use remount_postgres::{Server, WalSwitched, WriteProbe};
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

use super::RestoreStep;
use crate::restore::archive::archived;
use crate::restore::context::RestoreContext;
use crate::restore::planning;
use crate::{FlowError, Problem, Result, instances};

/// The step.
pub struct LastWal;

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
    type Output = Option<LastWalArchived>;

    const NAME: RestoreStep = RestoreStep::LastWal;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Option<LastWalArchived>> {
        let outcome = match serving_primary(restore).await? {
            Ok(server) => Some(archive(restore, &*server).await?),
            Err(why) => {
                let target = &restore.plan.target.target;
                let line = format!("no last WAL can be asked for ({why}): the archive stays as it is");
                match target {
                    RecoveryTarget::Latest => restore.warn(line),
                    _ => restore.reporter.note(line),
                }
                None
            }
        };
        planning::confirm(restore).await?;
        Ok(outcome)
    }

    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(()) // A switched segment and an empty commit are nothing to undo.
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Option<LastWalArchived>>> {
        Ok(Probe::NotDone)
    }
}

/// The primary's server, where it serves; else why not.
async fn serving_primary(restore: &RestoreContext<'_>) -> Result<Result<Arc<dyn Server>, String>> {
    let instance = restore.instance(&restore.primary()?.instance).await?;
    if instance.vm.is_none() {
        return Ok(Err("the primary has no VM".into()));
    }
    if instance.desired != "started" {
        return Ok(Err("the primary is stopped".into()));
    }
    let server = instances::server(restore.ctx, &instance)?;
    Ok(match instances::status_with_retry(restore.ctx, &instance).await {
        Ok(_) => Ok(server),
        Err(error) => Err(Problem::of(&error).what),
    })
}

async fn archive(restore: &RestoreContext<'_>, server: &dyn Server) -> Result<LastWalArchived> {
    let instance = &restore.primary()?.instance;
    let WriteProbe { lsn } =
        server.write_probe().await.map_err(FlowError::server("write a last commit", instance))?;
    let WalSwitched { last_segment, .. } =
        server.switch_wal().await.map_err(FlowError::server("switch WAL", instance))?;
    archived(restore, &last_segment).await?;
    restore.reporter.note(format!("WAL up to {lsn} is archived (segment {last_segment})"));
    Ok(LastWalArchived { last_write: lsn, last_segment })
}

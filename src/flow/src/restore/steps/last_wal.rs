//! Step 5: a running primary commits once more and archives its last segment. The commit is later than any
//! target time up to now, so that a time target in a quiet period is reached.

use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{RecoveryTarget, WalSegment};
use remount_postgres::{Server, WalSwitched, WriteProbe};
use serde_json::{Value, json};

use super::super::cx::Restore;
use super::super::planning;
use crate::saga::{Probe, Step};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Problem, Result};

pub struct LastWal;

#[async_trait]
impl<'r> Step<Restore<'r>> for LastWal {
    fn name(&self) -> &'static str {
        "last_wal"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let outcome = match serving_primary(cx).await? {
            Ok(server) => archive(cx, &*server).await?,
            Err(why) => {
                let target = &cx.plan.target.target;
                let line = format!("no last WAL can be asked for ({why}): the archive stays as it is");
                if matches!(target, RecoveryTarget::Latest) {
                    cx.warn(line)
                } else {
                    cx.watch.note(line)
                }
                Value::Null
            }
        };
        planning::confirm(cx).await?;
        Ok(outcome)
    }

    async fn undo(&self, _: &Restore<'r>) -> Result<()> {
        Ok(()) // A switched segment and an empty commit are nothing to take back.
    }

    async fn probe(&self, _: &Restore<'r>) -> Result<Probe> {
        Ok(Probe::NotDone)
    }
}

/// The primary's server, where it serves; else why not.
async fn serving_primary(cx: &Restore<'_>) -> Result<Result<Arc<dyn Server>, String>> {
    let instance = cx.instance(&cx.primary()?.instance).await?;
    if instance.vm.is_none() {
        return Ok(Err("the primary has no VM".into()));
    }
    if instance.desired != "started" {
        return Ok(Err("the primary is stopped".into()));
    }
    let server = crate::instances::server(cx.ctx, &instance)?;
    Ok(match server.status().await {
        Ok(_) => Ok(server),
        Err(error) => Err(Problem::of(&error).what),
    })
}

async fn archive(cx: &Restore<'_>, server: &dyn Server) -> Result<Value> {
    let instance = &cx.primary()?.instance;
    let retry = cx.ctx.timeouts.retry;
    let WriteProbe { lsn } = retrying(retry, || server.write_probe())
        .await
        .map_err(FlowError::server("write a last commit", instance))?;
    let WalSwitched { last_segment, .. } =
        retrying(retry, || server.switch_wal()).await.map_err(FlowError::server("switch WAL", instance))?;
    archived(cx, &last_segment).await?;
    cx.watch.note(format!("WAL up to {lsn} is archived (segment {last_segment})"));
    cx.known().last_write = Some(lsn);
    Ok(json!({"last_write": lsn, "last_segment": last_segment}))
}

/// Waits until a segment is in the archive.
pub async fn archived(cx: &Restore<'_>, segment: &WalSegment) -> Result<()> {
    let wal = cx.cluster.wal(cx.plan.path.system_identifier);
    let timeouts = &cx.ctx.timeouts;
    let (wal, what) = (&wal, format!("segment {segment} in the archive"));
    until(what, timeouts.archived, timeouts.poll, || async move {
        let there = retrying(timeouts.retry, || wal.contains(segment))
            .await
            .map_err(FlowError::store(format!("look for segment {segment}")))?;
        Ok(if there { Look::Found(()) } else { Look::NotYet("it is not there".into()) })
    })
    .await
    .map_err(|error| match error {
        FlowError::Deadline { waiting_for, seconds, last_seen, .. } => {
            let next = "look why the primary cannot archive: its log, and `remount-wal push` by hand";
            FlowError::Deadline { waiting_for, seconds, last_seen, next: Some(next.into()) }
        }
        other => other,
    })
}

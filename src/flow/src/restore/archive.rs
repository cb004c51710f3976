//! Looks at the archive that more than one step needs: a segment that was closed, a timeline that began, the end.

use remount_core::{Fork, Lsn, TimelineId, WalSegment};
use remount_host::Poll;

use super::context::RestoreContext;
use crate::wait::until;
use crate::{FlowError, Result};

/// Waits until a segment is in the archive.
///
/// # Errors
/// [`FlowError::Deadline`]; or the store does not answer.
pub async fn archived(restore: &RestoreContext<'_>, segment: &WalSegment) -> Result<()> {
    let wal = &restore.cluster.wal(restore.plan.path.system_identifier);
    let what = format!("segment {segment} in the archive");
    let there = until(restore.ctx, what, restore.ctx.timeouts.archived, || async move {
        let found = wal.contains(segment).await;
        let found = found.map_err(FlowError::store(format!("look for segment {segment}")))?;
        Ok(if found { Poll::Ready(()) } else { Poll::NotYet("it is not there".into()) })
    });
    there.await.map_err(|error| match error {
        FlowError::Deadline { waiting_for, seconds, last_seen, .. } => {
            let next = "look why the primary cannot archive: its log, and `remount-wal push` by hand";
            FlowError::Deadline { waiting_for, seconds, last_seen, next: Some(next.into()) }
        }
        other => other,
    })
}

/// Where a timeline left its parent, once its history is archived.
///
/// # Errors
/// [`FlowError::Deadline`]; or the store does not answer.
pub async fn fork_of(restore: &RestoreContext<'_>, timeline: TimelineId) -> Result<Fork> {
    let wal = &restore.cluster.wal(restore.plan.path.system_identifier);
    let what = format!("history of timeline {timeline} in the archive");
    let found = until(restore.ctx, what, restore.ctx.timeouts.archived, || async move {
        let history = wal.history(timeline).await;
        let history =
            history.map_err(FlowError::store(format!("read the history of timeline {timeline}")))?;
        let fork = history.and_then(|history| history.forks.last().cloned());
        Ok(fork.map_or_else(|| Poll::NotYet("it is not there".into()), Poll::Ready))
    });
    found.await
}

/// How many segments a primary can have archived between step 5 and its end.
const SEGMENTS_SEARCHED: u32 = 65_536;

/// Where the last archived segment of the planned timeline begins. All before it was replayed, or a restore to
/// `latest` is not good. (Where in the last segment the log ends only its content says.)
///
/// # Errors
/// The store does not answer.
pub async fn last_segment_begins(restore: &RestoreContext<'_>) -> Result<Lsn> {
    let path = &restore.plan.path;
    let wal = restore.cluster.wal(path.system_identifier);
    let mut last = path.segments.1;
    for _ in 0..SEGMENTS_SEARCHED {
        let next = last.next(path.segment_size);
        let there = wal.contains(&next).await;
        if !there.map_err(FlowError::store(format!("look for segment {next}")))? {
            break;
        }
        last = next;
    }
    Ok(last.start(path.segment_size))
}

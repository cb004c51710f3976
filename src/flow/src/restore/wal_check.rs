//! Whether the WAL that a restore needs is what was archived: damage is found before anything is stopped.
//!
//! | part | when | what |
//! |---|---|---|
//! | every segment | preflight | it is there, its header is readable, its length is a segment's |
//! | as many as fit into a bounded time (`recent`), or all (`all`) | preflight | its whole content, by its checksum |
//! | more of the rest (`recent`) | while disks are made | the same; what is left then is said |
//!
//! The order is fixed, so that a step can go on where preflight ended: what makes the backup consistent first, then
//! the newest.

use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{StreamExt as _, iter};
use remount_core::WalSegment;
use remount_core::documents::{RecoveryPath, VerifyWal};
use remount_store::WalArchive;
use tokio::time::Instant;

use super::context::RestoreContext;
use super::preflight::Findings;
use crate::{FlowContext, FlowError, Problem, Result};

/// How long preflight reads content.
const PREFLIGHT: Duration = Duration::from_secs(20);
/// Headers asked for at a time.
const HEADERS_AT_ONCE: usize = 32;
/// Contents read at a time: each may be 1 GiB, and is decompressed.
const CONTENTS_AT_ONCE: usize = 4;
/// Every damaged segment is a problem, but a list of thousands helps nobody.
const DAMAGED_NAMED: usize = 10;

/// Looks at all headers and at as much content as is wanted; answers how many segments of the order were read whole.
///
/// # Errors
/// The store does not answer.
pub async fn preflight(
    ctx: &FlowContext,
    wal: &WalArchive,
    path: &RecoveryPath,
    wanted: VerifyWal,
    findings: &mut Findings,
) -> Result<u64> {
    let order = in_order(path);
    let there = headers(wal, path, &order, findings).await?;
    let limit = match wanted {
        VerifyWal::All => None,
        VerifyWal::Recent => Some(Instant::now() + PREFLIGHT),
        VerifyWal::None => Some(Instant::now()),
    };
    let mut read = 0;
    for some in order.chunks(CONTENTS_AT_ONCE) {
        if limit.is_some_and(|until| Instant::now() >= until) || ctx.cancellation.is_cancelled() {
            break;
        }
        for damaged in contents(wal, some).await? {
            findings.problems.push(damaged);
        }
        read += some.len() as u64;
    }
    let all = order.len() as u64;
    findings.check(format!(
        "WAL: {there} of {all} segments are there with the right header, {read} were read and verified"
    ));
    if read < all && wanted == VerifyWal::Recent {
        findings.check(format!(
            "WAL: the other {} are verified while disks are made, as far as time allows",
            all - read
        ));
    } else if read < all {
        findings.warn(format!("the content of {} WAL segments was not verified (`--verify`)", all - read));
    }
    Ok(read)
}

/// Reads on where preflight ended, until `disks`, which goes on meanwhile, is done. Damage that is found ends the
/// step only after the disks were made: a disk made after an undo would leak.
///
/// # Errors
/// What `disks` answers; a damaged segment.
pub async fn while_making<T>(
    restore: &RestoreContext<'_>,
    disks: impl Future<Output = Result<T>>,
) -> Result<T> {
    let order = in_order(&restore.plan.path);
    let verified = usize::try_from(restore.plan.segments_verified).unwrap_or(usize::MAX).min(order.len());
    if restore.plan.options.verify == VerifyWal::None || verified == order.len() {
        return disks.await;
    }
    let rest = &order[verified..];
    let read = std::sync::atomic::AtomicUsize::new(0);
    let wal = restore.cluster.wal(restore.plan.path.system_identifier);
    let wal = wal.with_segments_of(restore.plan.path.segment_size);
    let reading = Box::pin(async {
        for some in rest.chunks(CONTENTS_AT_ONCE) {
            if let Some(damaged) = contents(&wal, some).await?.into_iter().next() {
                return Err(FlowError::Check { what: damaged.what, next: damaged.next });
            }
            read.fetch_add(some.len(), std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    });
    match select(reading, Box::pin(disks)).await {
        Either::Left((read, disks)) => {
            let made = disks.await?;
            read.map(|()| made)
        }
        Either::Right((made, _)) => {
            let left = rest.len() - read.load(std::sync::atomic::Ordering::Relaxed).min(rest.len());
            if left > 0 {
                restore.reporter.note(format!("the content of {left} WAL segments was not verified"));
            }
            made
        }
    }
}

/// The segments that replay reads, in the order in which they are verified.
fn in_order(path: &RecoveryPath) -> Vec<WalSegment> {
    let size = path.segment_size;
    let number = |segment: WalSegment| segment.number(size);
    let (first, last) = (number(path.segments.0), number(path.segments.1));
    let consistent = (path.consistent_lsn.0.saturating_sub(1) / u64::from(size.bytes())).clamp(first, last);
    let numbers = (first..=consistent).chain((consistent + 1..=last).rev());
    numbers.map(|number| path.history.expected(number, size)).collect()
}

/// Asks for every header; answers how many are good. A segment that a running primary has still to archive is none yet.
async fn headers(
    wal: &WalArchive,
    path: &RecoveryPath,
    order: &[WalSegment],
    findings: &mut Findings,
) -> Result<usize> {
    let size = path.segment_size;
    let asked =
        iter(order.to_vec()).map(|segment| async move { (segment, wal.verify_header(&segment, size).await) });
    let asked: Vec<_> = asked.buffered(HEADERS_AT_ONCE).collect().await;
    let (mut good, mut damaged) = (0, 0);
    for (segment, answer) in asked {
        match answer {
            Ok(found) => good += usize::from(found),
            Err(error @ remount_store::Error::Damaged { .. }) => {
                damaged += 1;
                if damaged <= DAMAGED_NAMED {
                    findings.problems.push(damage(&segment, &error));
                }
            }
            Err(error) => return Err(FlowError::store(format!("look at segment {segment}"))(error)),
        }
    }
    if damaged > DAMAGED_NAMED {
        findings.problem(
            format!("{} more WAL segments are damaged", damaged - DAMAGED_NAMED),
            "choose a target before them, or a backup after them",
        );
    }
    Ok(good)
}

/// The damaged ones of these segments.
async fn contents(wal: &WalArchive, segments: &[WalSegment]) -> Result<Vec<Problem>> {
    let reads =
        iter(segments.to_vec()).map(|segment| async move { (segment, wal.verify_content(&segment).await) });
    let reads: Vec<_> = reads.buffered(CONTENTS_AT_ONCE).collect().await;
    let mut damaged = Vec::new();
    for (segment, read) in reads {
        match read {
            Ok(_) => {}
            Err(error @ remount_store::Error::Damaged { .. }) => damaged.push(damage(&segment, &error)),
            Err(error) => return Err(FlowError::store(format!("read segment {segment}"))(error)),
        }
    }
    Ok(damaged)
}

fn damage(segment: &WalSegment, error: &remount_store::Error) -> Problem {
    let Problem { what, .. } = Problem::of(error);
    Problem::new(
        format!("WAL segment {segment}, which this restore needs, is damaged: {what}"),
        format!(
            "put {segment} back into the archive if an instance still has it in `pg_wal`; or choose a target before it, or a backup after it"
        ),
    )
}

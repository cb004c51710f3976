//! WAL that is not in the archive: who else has it, and whether a restore to `latest` may go on without it.
//!
//! | the primary | who archives what its archiver did not | what is known |
//! |---|---|---|
//! | serves and archives | itself, in `last_wal` and when it stops | its note: nothing is missing |
//! | serves, its disk is full | its `post-stop`; nobody makes it checkpoint before | the same |
//! | serves and cannot archive | a standby, up to now | its note says what is missing, or there is none |
//! | is down, its VM is there | its `post-stop`, with the records of the last segment | the same |
//! | has no VM | a standby, up to what it has replayed | nothing: the old disk may hold more |
//!
//! What is not known to be in the archive is lost only where an operator has accepted that by name.

use remount_core::documents::{
    AcceptedLoss, FORMAT, JournalEvent, PlannedInstance, StopNote, TailRecord, WalTail,
};
use remount_core::{Lsn, RecoveryTarget, TimelineId, WalSegment};
use remount_director::Instance;
use remount_saga::StepOutputs;

use super::context::RestoreContext;
use super::steps::last_wal::LastWal;
use super::steps::primary::StopPrimary;
use super::stop_note;
use crate::{FlowError, Result};

/// How the loss is accepted.
pub const ACCEPT: &str =
    "`--accept-loss unarchived-wal` (property `restore.accept_loss`) restores without it";

/// What the stop of the primary has left.
#[derive(Debug, Default)]
pub struct Left {
    /// The records that end this restore's WAL, where they are in no segment of the archive.
    pub tail: Option<WalTail>,
    /// Where the last record of the old primary ends, where nothing before it is missing.
    pub end: Option<Lsn>,
    /// What is missing in the archive, as was accepted, or does not matter to the target.
    pub missing: Option<String>,
}

/// What the journal of a restore says is missing in the archive: as was accepted, or as did not matter to its target.
///
/// # Errors
/// Another version of Remount wrote it.
pub fn missing_wal(events: &[JournalEvent]) -> Result<Option<String>> {
    let outputs = StepOutputs::of_journal(events);
    let stopped = outputs.get::<RestoreContext<'_>, StopPrimary>()?;
    Ok(stopped.and_then(|stopped| stopped.missing))
}

/// Whether the restore is to have every commit.
pub const fn wants_all(restore: &RestoreContext<'_>) -> bool {
    matches!(restore.plan.target.target, RecoveryTarget::Latest)
}

/// Whether it matters what the primary leaves: to `latest`, and to a restore that pauses and can be moved there. By then
/// the stops of the restored disk have taken the place of the note.
pub const fn matters(restore: &RestoreContext<'_>) -> bool {
    wants_all(restore) || restore.plan.pause
}

/// Looks what the stop of the primary has left. `answers` says whether a note may still be on its way, `before` is the
/// primary as it was before it was stopped.
///
/// # Errors
/// The restore is to have all, and something is missing, or may be, and the operator has not accepted that; or it is on
/// another timeline. The store does not answer.
pub async fn after_stop(restore: &RestoreContext<'_>, answers: bool, before: &Instance) -> Result<Left> {
    let primary = restore.primary()?;
    let note = stop_note::of_primary(restore, primary, answers).await?;
    let doubt = if before.desired == "started" {
        None // An earlier note was deleted before this stop.
    } else {
        stop_note::doubt(restore.ctx, &restore.cluster, &restore.plan.deployment, before).await?
    };
    let mut missing = match note.as_ref() {
        Some(_) if doubt.is_some() => doubt,
        Some(note) if note.system_identifier != restore.plan.path.system_identifier => {
            Some("the note of its stop is of another cluster's data".to_owned())
        }
        note => stop_note::missing_by(&restore.cluster, note).await?,
    };
    if let Some((what, timeline)) = elsewhere(restore, primary, note.as_ref()).await? {
        if wants_all(restore) {
            return Err(on_another_timeline(restore, what, timeline));
        }
        missing = missing.or(Some(what));
    }
    let is_clean = missing.is_none();
    let streamed = restore.output::<LastWal>()?.and_then(|done| done.tail);
    // A clean note's tail, or its absence, is all there is.
    let streamed = streamed.filter(|_| !is_clean);
    let history = &restore.plan.path.history;
    let clean = note.as_ref().filter(|note| is_clean && history.holds(note.timeline, note.end));
    let end = clean.and_then(|note| note.end);
    let (tail, beyond) =
        furthest(restore, note.and_then(|note| note.tail).into_iter().chain(streamed)).await?;
    if is_clean && let Some(tail) = beyond {
        missing = Some(format!("what lies before its last records, in segment {}", tail.segment));
    }
    if let Some(missing) = missing.as_ref().filter(|_| wants_all(restore)) {
        accept(restore, primary, missing)?;
    }
    record(restore, tail.as_ref()).await?;
    Ok(Left { tail, end: end.filter(|_| missing.is_none()), missing })
}

/// The tail that goes furthest of those that replay gets to, and one that it does not get to, because there is a gap
/// before it. A segment that is archived by now has all that its tail has.
async fn furthest(
    restore: &RestoreContext<'_>,
    tails: impl Iterator<Item = WalTail>,
) -> Result<(Option<WalTail>, Option<WalTail>)> {
    let path = &restore.plan.path;
    let (mut reached, mut beyond): (Option<WalTail>, _) = (None, None);
    for tail in tails.filter(|tail| tail.segment.timeline == path.history.timeline) {
        if has(restore, &tail.segment).await? {
            continue;
        }
        if touches(restore, &tail).await? {
            reached = reached.into_iter().chain([tail]).max_by_key(|tail| tail.end);
        } else {
            beyond = Some(tail);
        }
    }
    Ok((reached, beyond))
}

/// Whether the archive has all segments up to a tail's. Between the plan's last and it there are a few; where the plan
/// ends far before, the plan to the later target looks at all.
async fn touches(restore: &RestoreContext<'_>, tail: &WalTail) -> Result<bool> {
    let path = &restore.plan.path;
    let wanted = tail.segment.number(path.segment_size);
    let before = wanted.saturating_sub(1);
    let planned = path.segments.1.number(path.segment_size);
    for number in if wants_all(restore) { planned.min(before) } else { before }..wanted {
        if !has(restore, &path.history.expected(number, path.segment_size)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn has(restore: &RestoreContext<'_>, segment: &WalSegment) -> Result<bool> {
    let wal = restore.cluster.wal(restore.plan.path.system_identifier);
    wal.contains(segment).await.map_err(FlowError::store(format!("look for segment {segment}")))
}

/// Where the note of this disk's stop says that its last WAL is not on the planned timelines: what it says, and which
/// timeline that is.
async fn elsewhere(
    restore: &RestoreContext<'_>,
    primary: &PlannedInstance,
    note: Option<&StopNote>,
) -> Result<Option<(String, TimelineId)>> {
    let Some(note) = note.filter(|note| !note.follows) else { return Ok(None) };
    if note.system_identifier != restore.plan.path.system_identifier
        || !stop_note::is_of_this_disk(&restore.cluster, note).await?
    {
        return Ok(None);
    }
    let of = primary.instance.to_string();
    Ok(beside_the_plan(restore, &of, note.timeline, note.end).map(|what| (what, note.timeline)))
}

/// Where WAL up to `end` is not on the planned timelines, and the operator has not named one.
pub(super) fn beside_the_plan(
    restore: &RestoreContext<'_>,
    of: &str,
    timeline: TimelineId,
    end: Option<Lsn>,
) -> Option<String> {
    let history = &restore.plan.path.history;
    if restore.plan.target.timeline.is_some() || history.holds(timeline, end) {
        return None;
    }
    let end = end.map(|end| format!(" up to {end}")).unwrap_or_default();
    let planned = history.timeline;
    Some(format!(
        "{of} has written on timeline {timeline}{end}, which is not on the planned timeline {planned}"
    ))
}

pub(super) fn on_another_timeline(
    restore: &RestoreContext<'_>,
    what: String,
    timeline: TimelineId,
) -> FlowError {
    let planned = restore.plan.path.history.timeline;
    let next = format!(
        "restore again and name the timeline on which the cluster ran last: `--timeline {timeline}` or `--timeline {planned}`"
    );
    FlowError::check(what, next)
}

fn accept(restore: &RestoreContext<'_>, primary: &PlannedInstance, missing: &str) -> Result<()> {
    let holds = primary.old_disk.as_ref().map(|disk| format!("; disk {disk} holds it")).unwrap_or_default();
    let what = format!("commits of {} may be missing in the archive: {missing}{holds}", primary.instance);
    if restore.plan.accepts(AcceptedLoss::UnarchivedWal) {
        let director = restore.ctx.old_disks.told(jiff::Timestamp::now());
        restore
            .warn(format!("{what}; accepted. The disk is kept until it is released by name, but {director}"));
        return Ok(());
    }
    let next = format!("fix what keeps it from archiving, and restore again; or {ACCEPT}");
    Err(FlowError::check(what, next))
}

/// Records the tail for who starts on the new disks.
async fn record(restore: &RestoreContext<'_>, tail: Option<&WalTail>) -> Result<()> {
    let Some(tail) = tail else { return Ok(()) };
    let record = TailRecord { format: FORMAT, restore: restore.plan.id.clone(), tail: tail.clone() };
    let written = restore.cluster.write_tail(&record, &restore.lease).await;
    written.map_err(FlowError::store("record the last WAL"))?;
    restore.reporter.note(format!("the last records, up to {}, come from an unfinished segment", tail.end));
    Ok(())
}

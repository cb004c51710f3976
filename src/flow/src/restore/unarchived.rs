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
use remount_core::{RecoveryTarget, Role};
use remount_host::Poll;
use remount_postgres::StreamedWal;
use remount_saga::StepOutputs;
use remount_store::ClusterStore;

use super::context::RestoreContext;
use super::state::{RestorePhase, RestoreState};
use super::steps::last_wal::LastWal;
use super::steps::primary::StopPrimary;
use crate::wait::until;
use crate::{FlowError, Problem, Result, instances};

/// How the loss is accepted.
pub const ACCEPT: &str = "`--accept-loss unarchived-wal` restores without it";
/// Calls to a standby: each archives for some seconds.
const CALLS: u32 = 1000;

/// What the stop of the primary has left.
#[derive(Debug, Default)]
pub struct Left {
    /// The records that end this restore's WAL, where they are in no segment of the archive.
    pub tail: Option<WalTail>,
    /// What is missing in the archive, as was accepted.
    pub missing: Option<String>,
}

/// What the journal of a restore says is missing in the archive, as was accepted.
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

/// Has the standbys archive what they have streamed and the archive lacks. Answers the records that go furthest beyond
/// its last segment.
pub async fn from_standbys(restore: &RestoreContext<'_>) -> Result<Option<WalTail>> {
    let timeline = restore.plan.path.history.timeline;
    let mut furthest: Option<WalTail> = None;
    for planned in restore.plan.standbys() {
        match from_standby(restore, planned).await {
            Ok(Some(streamed)) => {
                restore.reporter.note(format!(
                    "{}: archived what it had streamed, up to {}",
                    planned.instance, streamed.end
                ));
                let tail = streamed.tail.filter(|tail| tail.segment.timeline == timeline);
                furthest = furthest.into_iter().chain(tail).max_by_key(|tail| tail.end);
            }
            Ok(None) => {}
            Err(error) if error.is_fenced() => return Err(error),
            Err(error) => restore.reporter.note(Problem::of(&error).what),
        }
    }
    Ok(furthest)
}

/// None where the instance does not run, or is no standby.
async fn from_standby(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
) -> Result<Option<StreamedWal>> {
    let instance = restore.instance(&planned.instance).await?;
    if instance.vm.is_none() || instance.desired != "started" {
        return Ok(None);
    }
    if instances::status_with_retry(restore.ctx, &instance).await?.role != Role::Standby {
        return Ok(None);
    }
    let server = instances::server(restore.ctx, &instance)?;
    for _ in 0..CALLS {
        let streamed = server.archive_streamed().await;
        let streamed = streamed.map_err(FlowError::server("archive what was streamed", &planned.instance))?;
        if streamed.left == 0 {
            return Ok(Some(streamed));
        }
    }
    let what = format!("{} has more WAL to archive than can be waited for", planned.instance);
    Err(FlowError::check(what, "look why its archive is so slow: the agent's log on that instance"))
}

/// Looks what the stop of the primary has left. `answers` says whether a note may still be on its way.
///
/// # Errors
/// Something is missing, or may be, and the operator has not accepted that; the store does not answer.
pub async fn after_stop(restore: &RestoreContext<'_>, answers: bool) -> Result<Left> {
    let primary = restore.primary()?;
    let note = note(restore, primary, answers).await?;
    let missing = match note.as_ref() {
        Some(note) if note.system_identifier != restore.plan.path.system_identifier => {
            Some("the note of its stop is of another cluster's data".to_owned())
        }
        note => missing_by(&restore.cluster, note).await?,
    };
    if let Some(missing) = &missing {
        accept(restore, primary, missing)?;
    }
    let streamed = restore.output::<LastWal>()?.and_then(|done| done.tail);
    let noted = note.and_then(|note| note.tail);
    // A clean note's tail, or its absence, is all there is.
    let tail =
        if missing.is_none() { noted } else { noted.into_iter().chain(streamed).max_by_key(|tail| tail.end) };
    Ok(Left { tail: record(restore, tail).await?, missing })
}

/// What the note of a stop leaves open; none where it says that nothing is missing.
///
/// An instance keeps its id when its disk is swapped: a note of the disk that a rollback has put aside says nothing of
/// the one that was put back.
///
/// # Errors
/// The store does not answer.
pub async fn missing_by(store: &ClusterStore, note: Option<&StopNote>) -> Result<Option<String>> {
    let Some(note) = note else {
        return Ok(Some("its stop has left no note in the store of what is not archived".into()));
    };
    if let Some(id) = &note.restore
        && matches!(
            RestoreState::read(store, id).await?.phase,
            RestorePhase::RolledBack | RestorePhase::Undone
        )
    {
        return Ok(Some(format!(
            "the note of its stop is of the disk that restore {id} had made and put aside"
        )));
    }
    Ok(note.missing())
}

async fn note(
    restore: &RestoreContext<'_>,
    primary: &PlannedInstance,
    answers: bool,
) -> Result<Option<StopNote>> {
    let id = &primary.instance.id;
    let read = || async {
        restore.cluster.stop_note(id).await.map_err(FlowError::store("read the note of the stop"))
    };
    if !answers {
        return read().await;
    }
    let what = format!("the note of the stop of {}", primary.instance);
    let found = until(restore.ctx, what, restore.ctx.timeouts.lost_answer, || async {
        Ok(read().await?.map_or_else(|| Poll::NotYet("it is not there".into()), Poll::Ready))
    });
    match found.await {
        Ok(note) => Ok(Some(note)),
        Err(FlowError::Deadline { .. }) => Ok(None),
        Err(error) => Err(error),
    }
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

/// Records the tail for who starts on the new disks. A segment that is archived by now has all that its tail has.
async fn record(restore: &RestoreContext<'_>, tail: Option<WalTail>) -> Result<Option<WalTail>> {
    let Some(tail) = tail else { return Ok(None) };
    let path = &restore.plan.path;
    let wal = restore.cluster.wal(path.system_identifier);
    let archived = wal.contains(&tail.segment).await;
    let archived = archived.map_err(FlowError::store(format!("look for segment {}", tail.segment)))?;
    if archived || tail.segment.timeline != path.history.timeline {
        return Ok(None);
    }
    let record = TailRecord { format: FORMAT, restore: restore.plan.id.clone(), tail: tail.clone() };
    let written = restore.cluster.write_tail(&record, &restore.lease).await;
    written.map_err(FlowError::store("record the last WAL"))?;
    restore.reporter.note(format!("the last records, up to {}, come from an unfinished segment", tail.end));
    Ok(Some(tail))
}

//! On which timeline the cluster lived at a time.
//!
//! A history names a state only together with a timeline. Where the cluster went back to an earlier point, what it
//! had lived through since lies on a timeline that the present one left: PostgreSQL, asked for a time from there,
//! replays the present history, stops at the fork and calls that the target.

use jiff::Timestamp;

use super::PlanError;
use super::error::{Life, Lives};
use crate::{ArchiveListing, CommitSpan, Lsn, RecoveryTarget, RestoreTarget, TimelineHistory, TimelinePart};

/// Refuses a time at which the cluster lived on a part of a timeline that the history does not have. A timeline
/// that was named is an answer to this.
pub(super) fn refuse_a_time_of_another_branch(
    archive: &ArchiveListing,
    history: &TimelineHistory,
    target: &RestoreTarget,
) -> Result<(), PlanError> {
    let RecoveryTarget::Time(time) = target.target else { return Ok(()) };
    if target.timeline.is_some() {
        return Ok(());
    }
    let (kept, left): (Vec<&CommitSpan>, Vec<_>) =
        archive.spans.iter().partition(|span| is_on(history, &span.part));
    let lived = left.into_iter().filter(|span| span.first <= time && lived_there(history, span, &kept, time));
    let Some(lived) = lived.max_by_key(|span| span.first) else {
        return refuse_unknown(archive, history, target, &kept, time);
    };
    Err(PlanError::AbandonedTime {
        target: target.target.clone(),
        wanted: history.timeline,
        lives: Box::new(Lives {
            then: Life::of(lived),
            before: kept
                .iter()
                .filter(|span| span.last <= time)
                .max_by_key(|span| span.last)
                .map(|s| Life::of(s)),
            after: kept
                .iter()
                .filter(|span| span.first > time)
                .min_by_key(|span| span.first)
                .map(|s| Life::of(s)),
        }),
    })
}

/// A part lies on the history as a whole or not at all: parts are cut where timelines were left.
fn is_on(history: &TimelineHistory, part: &TimelinePart) -> bool {
    history.includes(part.timeline) && history.owner_of(part.from) == part.timeline
}

/// Not known is not "it did not live there": parts whose commits could not be found out, and that may hold the time.
fn refuse_unknown(
    archive: &ArchiveListing,
    history: &TimelineHistory,
    target: &RestoreTarget,
    kept: &[&CommitSpan],
    time: Timestamp,
) -> Result<(), PlanError> {
    let parts = archive.unknown_parts.iter().filter(|part| {
        let fork = history.left(part.timeline).filter(|fork| *fork <= part.from);
        !is_on(history, part)
            && !fork.is_some_and(|fork| begun_after(kept, fork, time))
            && !comes_later(archive, part, kept, time)
    });
    let parts: Vec<TimelinePart> = parts.copied().collect();
    if parts.is_empty() || target.accept_unverified {
        return Ok(());
    }
    Err(PlanError::UnknownLives { target: target.target.clone(), wanted: history.timeline, parts })
}

/// Whether what the part followed had a commit after the time: then all of the part's are later still.
fn comes_later(archive: &ArchiveListing, part: &TimelinePart, kept: &[&CommitSpan], time: Timestamp) -> bool {
    let first = TimelineHistory::first();
    let own = archive.histories.get(&part.timeline).unwrap_or(&first);
    kept.iter().any(|span| span.part.from < part.from && is_on(own, &span.part) && time < span.last)
}

/// Whether the cluster lived on the part `left` at `time` rather than on the history, whose parts are `kept`.
/// The part has a commit before the time.
fn lived_there(history: &TimelineHistory, left: &CommitSpan, kept: &[&CommitSpan], time: Timestamp) -> bool {
    let fork = history.left(left.part.timeline).filter(|fork| *fork <= left.part.from);
    if let Some(fork) = fork {
        // It was the history's own timeline until the fork, and went on. What followed it on the history has to
        // have begun by then.
        return !begun_after(kept, fork, time);
    }
    // A timeline that was begun and given up beside the history: a restore that was rolled back, or gone back from.
    if time <= left.last {
        return true;
    }
    let before = kept.iter().filter(|span| span.first <= time).max_by_key(|span| span.first.min(time));
    let after = kept.iter().filter(|span| span.first > time).min_by_key(|span| span.first);
    match (before, after) {
        // Between two lives of the history, and its own came later than the first of them.
        (Some(before), Some(_)) => before.last <= time && before.last < left.last,
        _ => false,
    }
}

/// Whether the history, from this position on, has a commit that is not later than `time`.
fn begun_after(kept: &[&CommitSpan], from: Lsn, time: Timestamp) -> bool {
    kept.iter().any(|span| span.part.from >= from && span.first <= time)
}

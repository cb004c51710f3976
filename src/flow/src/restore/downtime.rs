//! How long nothing served: measured by the process that did all of it, else computed from the journal.

use remount_core::documents::{JournalEvent, StepTimes, What};

use super::steps::RestoreStep;
use super::steps::promote::Promoted;

/// The downtime of a restore, and the part of it in which nobody worked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Downtime {
    /// From the stop of the primary until it was promoted.
    pub times: StepTimes,
    /// The part of it between two processes.
    pub idle_seconds: f64,
}

/// The downtime of a restore. Where one process did all of it, that process measured it; where another went on, what the
/// last one measured is only its own part.
pub fn of(promoted: Option<Promoted>, events: &[JournalEvent]) -> Downtime {
    let down = while_down(events);
    let idle = || down.windows(2).filter(|pair| pair[0].epoch != pair[1].epoch);
    match promoted.and_then(|promoted| promoted.downtime) {
        Some(times) if idle().next().is_none() => Downtime { times, idle_seconds: 0.0 },
        _ => Downtime {
            times: by_journal(down),
            idle_seconds: idle().map(|pair| seconds_between(&pair[0], &pair[1])).sum(),
        },
    }
}

/// From the first time that the primary was to be stopped until it was promoted; nothing where it was not.
fn while_down(events: &[JournalEvent]) -> &[JournalEvent] {
    let about = |event: &JournalEvent, step: RestoreStep| event.what.step() == Some(step.as_str());
    let is_done = |event: &JournalEvent| matches!(event.what, What::Done { .. });
    let stopped = events.iter().position(|event| about(event, RestoreStep::StopPrimary));
    let promoted = events.iter().rposition(|event| about(event, RestoreStep::Promote) && is_done(event));
    stopped.zip(promoted).and_then(|(from, to)| events.get(from..=to)).unwrap_or_default()
}

/// The steps' own times are those of their last attempts.
fn by_journal(down: &[JournalEvent]) -> StepTimes {
    let seconds = down.first().zip(down.last()).map(|(first, last)| seconds_between(first, last));
    let shares = || {
        down.iter().filter_map(|event| match &event.what {
            What::Done { times, .. } => Some(times),
            _ => None,
        })
    };
    StepTimes {
        seconds: seconds.unwrap_or_default(),
        director_seconds: shares().map(|times| times.director_seconds).sum(),
        postgres_seconds: shares().map(|times| times.postgres_seconds).sum(),
    }
}

/// Two processes' clocks may differ: no time is negative.
fn seconds_between(first: &JournalEvent, second: &JournalEvent) -> f64 {
    second.at.duration_since(first.at).as_secs_f64().max(0.0)
}

//! Where a restore is: computed from its journal, here and nowhere else.

use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use remount_core::documents::{JournalEvent, Outcome, What};
use remount_core::{RestoreId, Role};
use remount_saga::{Position, PositionError, StepState};
use remount_store::{ClusterStore, Error as StoreError, LeaseHolder, Purpose};

use super::steps::{self, RestoreStep};
use crate::{FlowError, Problem, Result};

/// A restore's journal, and what it says of the restore.
#[derive(Clone, Debug)]
pub struct RestoreState {
    /// How far it is.
    pub phase: RestorePhase,
    position: Position,
    events: Vec<JournalEvent>,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePhase {
    /// It has a plan, and nothing of it ever began.
    NotBegun,
    /// Neither it nor its rollback has ended.
    Unfinished,
    /// It has ended well, its checks passed.
    Restored,
    /// It failed before users can have written to it, and was undone: it has put no disk aside for good.
    Undone,
    /// It had ended well, or users may have written to it, and it was rolled back: its own disks are put aside.
    RolledBack,
}

impl RestoreState {
    /// Reads a restore's journal.
    ///
    /// # Errors
    /// The store does not answer, or [`FlowError::Journal`].
    pub async fn read(cluster: &ClusterStore, restore: &RestoreId) -> Result<Self> {
        let read = cluster.journal(restore).await;
        let events = read.map_err(FlowError::store(format!("read the journal of restore {restore}")))?;
        Self::of(restore, events)
    }

    /// The same, where it has the steps of this version: only then it can be resumed, rolled back or aborted.
    ///
    /// # Errors
    /// As [`Self::of`]; or another version of Remount with other steps began it.
    pub fn with_our_steps(self, restore: &RestoreId) -> Result<Self> {
        self.position.require_steps(&steps::names()).map_err(unreadable(restore))?;
        Ok(self)
    }

    /// What a journal says.
    ///
    /// # Errors
    /// [`FlowError::Journal`]: it cannot be followed.
    pub fn of(restore: &RestoreId, events: Vec<JournalEvent>) -> Result<Self> {
        let position = match events.as_slice() {
            [] => Position::start(&steps::names()),
            events => Position::replay(events).map_err(unreadable(restore))?,
        };
        let phase = phase(&position, &events);
        Ok(Self { phase, position, events })
    }

    /// Its events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[JournalEvent] {
        &self.events
    }

    /// Where its steps are.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The state of one step.
    #[must_use]
    pub fn step(&self, step: RestoreStep) -> StepState {
        self.position.state_of(step.as_str())
    }

    /// The step that its last events are about.
    #[must_use]
    pub fn at_step(&self) -> Option<&str> {
        self.events.iter().rev().find_map(|event| event.what.step())
    }

    /// What is answered to who wants to go on with it after its rollback.
    #[must_use]
    pub fn rolled_back(&self, restore: &RestoreId) -> FlowError {
        let at = self.events.last().map(|event| event.at).unwrap_or_default();
        let source = self.position.failure.as_ref().map(|(step, error)| {
            let what = if error.is_empty() {
                format!("step `{step}` failed")
            } else {
                format!("step `{step}`: {error}")
            };
            Box::new(FlowError::Check { what, next: None })
        });
        FlowError::RolledBack { restore: restore.clone(), at, source }
    }

    /// Whether it waits for a person, and how: its last event says so.
    #[must_use]
    pub fn waiting_state(&self) -> Option<&'static str> {
        let last = self.events.last().map(|event| &event.what)?;
        matches!(last, What::Held { .. } | What::Stuck { .. } | What::Paused { .. }).then(|| last.name())
    }

    /// Whether it stands at its target, in recovery, for a person to look.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        matches!(self.events.last().map(|event| &event.what), Some(What::Paused { .. }))
    }

    /// Why its disks are not deleted where it is rolled back; none where they are.
    #[must_use]
    pub fn put_aside_because(&self) -> Option<String> {
        let reason = self.events.iter().find_map(|event| match &event.what {
            What::PutAside { reason } => Some(reason.clone()),
            _ => None,
        });
        reason.or_else(|| self.may_have_served().then(|| "it was promoted, so users may have written".into()))
    }

    /// Whether users may have written to the restored primary, or it is not known that they have not.
    #[must_use]
    pub fn may_have_served(&self) -> bool {
        may_have_served(&self.events)
    }

    /// Since when an old disk of a restore that has not ended may be an orphan of the Director, which deletes those. By
    /// the clock of the process that swapped it; none where none was swapped.
    #[must_use]
    pub fn swapped_since(&self) -> Option<jiff::Timestamp> {
        if self.phase != RestorePhase::Unfinished {
            return None;
        }
        let swaps = [RestoreStep::SwapStandbys, RestoreStep::SwapPrimary];
        let is_out = |name: &str| {
            let swap = swaps.iter().find(|swap| swap.as_str() == name);
            swap.is_some_and(|swap| !matches!(self.step(*swap), StepState::Pending | StepState::Undone))
        };
        let begun = |event: &&JournalEvent| matches!(&event.what, What::Intended { step } if is_out(step));
        self.events.iter().find(begun).map(|event| event.at)
    }

    /// When the disks of a role were taken out: the old ones, or by a rollback the restored ones. By the clock of
    /// the process that did it.
    #[must_use]
    pub fn swapped_at(&self, role: Role, by_rollback: bool) -> Option<jiff::Timestamp> {
        let wanted = match role {
            Role::Primary => RestoreStep::SwapPrimary,
            Role::Standby => RestoreStep::SwapStandbys,
        };
        let swapped = |event: &&JournalEvent| match &event.what {
            What::Undone { step } => by_rollback && step == wanted.as_str(),
            What::Done { step, .. } => !by_rollback && step == wanted.as_str(),
            _ => false,
        };
        self.events.iter().rfind(swapped).map(|event| event.at)
    }
}

fn unreadable(restore: &RestoreId) -> impl FnOnce(PositionError) -> FlowError {
    move |error| FlowError::Journal { restore: restore.clone(), detail: error.0 }
}

/// The end alone is not believed: without its checks the old disks are the only good ones.
fn phase(position: &Position, events: &[JournalEvent]) -> RestorePhase {
    let verified = [RestoreStep::Verify, RestoreStep::Promote]
        .iter()
        .all(|step| position.state_of(step.as_str()) == StepState::Done);
    match position.finished {
        _ if events.is_empty() => RestorePhase::NotBegun,
        Some(Outcome::Completed) if verified && !position.rolling_back => RestorePhase::Restored,
        Some(Outcome::Undone) if may_have_served(events) => RestorePhase::RolledBack,
        Some(Outcome::Undone) => RestorePhase::Undone,
        _ => RestorePhase::Unfinished,
    }
}

/// It was about to be promoted; or something else was noted by which users may have written. That it is not what was
/// planned does not make what users wrote worth less.
fn may_have_served(events: &[JournalEvent]) -> bool {
    let promote = RestoreStep::Promote.as_str();
    events.iter().any(|event| match &event.what {
        What::Intended { step } => step == promote,
        What::PutAside { .. } => true,
        _ => false,
    })
}

/// How many restores, the newest by their ids, are looked at. An id is drawn when a restore is asked for, and one that was
/// asked for long ago may run now.
const RESTORES_SEARCHED: usize = 500;
/// So many of them are read as a whole; of the others only the last event, where that is an end.
const READ_WHOLE: usize = 10;
const AT_ONCE: usize = 8;

/// A restore that was begun and has not ended, as the reason why nothing else may begin: its process lives, or it has to
/// be resumed or rolled back first. The newest where there are several. What the others have come to says nothing of it:
/// they may have run in any order.
///
/// # Errors
/// The store does not answer.
pub async fn unfinished(cluster: &ClusterStore) -> Result<Option<Problem>> {
    let Some((restore, state)) = newest_unfinished(cluster).await? else { return Ok(None) };
    let holder = cluster.lease_holder().await.map_err(FlowError::store("read the lease"))?;
    let restore_runs =
        |holder: &LeaseHolder| !holder.expired && holder.purpose == Purpose::Restore.to_string();
    let Some(holder) = holder.filter(restore_runs) else {
        return Ok(Some(Problem::new(
            format!("restore {restore} was begun and never ended"),
            format!("`remount resume {restore}` or `remount rollback {restore}`"),
        )));
    };
    let step = state.as_ref().and_then(RestoreState::at_step);
    let at = step.map(|step| format!(", and is at step `{step}`")).unwrap_or_default();
    Ok(Some(Problem::new(
        format!("restore {restore} runs: {} drives it since {}{at}", holder.owner, holder.since),
        format!(
            "wait for it (`remount journal {restore}`), or have it rolled back: `remount abort {restore}`"
        ),
    )))
}

/// Without a state where this version cannot follow its journal: a version that knows its steps has to end it.
async fn newest_unfinished(cluster: &ClusterStore) -> Result<Option<(RestoreId, Option<RestoreState>)>> {
    let restores = cluster.restores().await.map_err(FlowError::store("list the restores"))?;
    let newest = restores.into_iter().rev().take(RESTORES_SEARCHED).enumerate();
    let looked = iter(newest).map(|(age, id)| async move {
        if age >= READ_WHOLE && has_end(cluster, &id).await? {
            return Ok(None);
        }
        open(cluster, id).await
    });
    looked.buffered(AT_ONCE).try_filter_map(|open| async { Ok(open) }).boxed().try_next().await
}

/// Whether the last event of a journal is an end.
async fn has_end(cluster: &ClusterStore, restore: &RestoreId) -> Result<bool> {
    match cluster.last_event(restore).await {
        Ok(last) => Ok(last.is_some_and(|event| matches!(event.what, What::Finished { .. }))),
        // Reading all of it tells what that means.
        Err(StoreError::Document { .. }) => Ok(false),
        Err(error) => Err(FlowError::store(format!("read the journal of restore {restore}"))(error)),
    }
}

/// The restore, where it has not ended.
async fn open(cluster: &ClusterStore, id: RestoreId) -> Result<Option<(RestoreId, Option<RestoreState>)>> {
    match RestoreState::read(cluster, &id).await {
        Ok(state) => Ok((state.phase == RestorePhase::Unfinished).then_some((id, Some(state)))),
        // A version that knows its steps has to end it.
        Err(FlowError::Journal { .. }) => Ok(Some((id, None))),
        Err(error) => Err(error),
    }
}

//! Where a restore is: computed from its journal, here and nowhere else.

use remount_core::documents::{JournalEvent, Outcome, What};
use remount_core::{RestoreId, Role};
use remount_saga::{Position, PositionError, StepState};
use remount_store::ClusterStore;

use super::steps::{self, RestoreStep};
use crate::{FlowError, Result};

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

/// How many of the newest restores are looked at where they were never begun, or rolled back.
const RESTORES_SEARCHED: usize = 10;

/// The newest restore that was begun and never ended: it has to be resumed or rolled back first.
///
/// # Errors
/// The store does not answer.
pub async fn unfinished(cluster: &ClusterStore) -> Result<Option<RestoreId>> {
    let restores = cluster.restores().await.map_err(FlowError::store("list the restores"))?;
    for id in restores.iter().rev().take(RESTORES_SEARCHED) {
        let phase = match RestoreState::read(cluster, id).await {
            Ok(state) => state.phase,
            // A version that knows its steps has to end it.
            Err(FlowError::Journal { .. }) => RestorePhase::Unfinished,
            Err(error) => return Err(error),
        };
        match phase {
            // An older one that had never ended would have kept this one from beginning.
            RestorePhase::Restored => return Ok(None),
            // The one before it may be rolling back, long after its end.
            RestorePhase::Undone | RestorePhase::RolledBack | RestorePhase::NotBegun => {}
            RestorePhase::Unfinished => return Ok(Some(id.clone())),
        }
    }
    Ok(None)
}

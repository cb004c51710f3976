//! Asking a restore that goes on to go no further. Its driver looks before each step, until the new state serves.

use remount_core::RestoreId;
use remount_saga::{Position, StepState};
use remount_store::{ClusterStore, LeaseHolder};

use super::state::{RestorePhase, RestoreState};
use super::steps::{RestoreStep, restore_saga};
use crate::{FlowError, Problem, Result};

/// Where a restore that was aborted will stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortPoint {
    /// The step that runs now, and is never cut; none before the first.
    pub running: Option<RestoreStep>,
    /// The step that will not begin.
    pub before: RestoreStep,
}

impl AbortPoint {
    /// Where a restore at this position stops; none where it has no such point any more.
    #[must_use]
    pub fn of(position: &Position) -> Option<Self> {
        if position.rolling_back || position.finished.is_some() {
            return None;
        }
        let done = position.states.iter().take_while(|state| **state == StepState::Done).count();
        let running = (*position.states.get(done)? == StepState::Intended).then(|| RestoreStep::ALL[done]);
        let next = done + usize::from(running.is_some());
        (next < restore_saga().turning_point()).then(|| Self { running, before: RestoreStep::ALL[next] })
    }
}

/// Asks the driver of a restore to go back before its next step; answers where that is, and who was asked.
///
/// # Errors
/// [`FlowError::Refused`] where there is nothing to stop: it has ended, is rolling back already, serves, or no process
/// drives it.
pub async fn abort_restore(
    cluster: &ClusterStore,
    restore: &RestoreId,
    by: &str,
) -> Result<(AbortPoint, LeaseHolder)> {
    let state = RestoreState::read(cluster, restore).await?.with_our_steps(restore)?;
    let holder = cluster.lease_holder().await.map_err(FlowError::store("read the lease"))?;
    let driver = holder.filter(|holder| !holder.expired);
    let asked = AbortPoint::of(state.position()).zip(driver).ok_or_else(|| refused(restore, &state))?;
    cluster.request_abort(restore, by).await.map_err(FlowError::store("ask for the abort"))?;
    Ok(asked)
}

fn refused(restore: &RestoreId, state: &RestoreState) -> FlowError {
    let look = format!("`remount journal {restore}` shows what it did");
    let (why, next) = match state.phase {
        RestorePhase::Restored => (
            "it has ended, and the cluster is restored",
            format!("{look}; `remount rollback {restore}` rolls it back"),
        ),
        RestorePhase::Undone | RestorePhase::RolledBack => {
            ("it was rolled back already", format!("nothing is left to do; {look}"))
        }
        _ if state.position().rolling_back => (
            "it is being rolled back already",
            format!("{look}; where its process has died, `remount rollback {restore}` goes on"),
        ),
        _ => (
            "no process drives it, or its restored primary serves already",
            format!("{look}; `remount rollback {restore}` rolls it back"),
        ),
    };
    FlowError::Refused {
        what: format!("the abort of restore {restore}"),
        problems: vec![Problem::new(why, next)],
    }
}

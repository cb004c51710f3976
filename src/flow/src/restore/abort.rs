//! Asking a restore that goes on to go no further. Its driver looks before each step, until the new state serves.

use std::time::Duration;

use remount_core::RestoreId;
use remount_store::ClusterStore;

use super::steps;
use crate::saga::{self, Position, StepState};
use crate::wait::retrying;
use crate::{FlowError, Problem, Result};

/// Where a restore that was aborted will stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortPoint {
    /// The step that runs now, and is never cut; none before the first.
    pub running: Option<&'static str>,
    /// The step that will not begin.
    pub before: &'static str,
}

/// Asks the driver of a restore to go back before its next step.
///
/// # Errors
/// [`FlowError::Refused`] where there is nothing to stop: it has ended, goes back already, serves, or nobody
/// drives it.
pub async fn abort_restore(
    cluster: &ClusterStore,
    restore: &RestoreId,
    by: &str,
    retry: Duration,
) -> Result<AbortPoint> {
    let events = saga::read(cluster, restore, retry).await?;
    let position = Position::replay(&steps::restore_saga().names(), &events)
        .map_err(|detail| FlowError::Journal { restore: restore.clone(), detail })?;
    let holder = retrying(retry, || cluster.lease_holder()).await;
    let driven = holder.map_err(FlowError::store("read the lease"))?.is_some_and(|holder| !holder.expired);
    let point = point(&position).filter(|_| driven).ok_or_else(|| refused(restore, &position))?;
    retrying(retry, || cluster.ask_abort(restore, by))
        .await
        .map_err(FlowError::store("ask for the abort"))?;
    Ok(point)
}

/// Where it stops; none where it has no such point any more.
fn point(position: &Position) -> Option<AbortPoint> {
    let saga = steps::restore_saga();
    let names = saga.names();
    if position.unwinding || position.finished.is_some() {
        return None;
    }
    let done = position.states.iter().take_while(|state| **state == StepState::Done).count();
    let running = (*position.states.get(done)? == StepState::Intended).then(|| names[done]);
    let next = done + usize::from(running.is_some());
    (next < saga.turning_point()).then(|| AbortPoint { running, before: names[next] })
}

fn refused(restore: &RestoreId, position: &Position) -> FlowError {
    let why = match position.finished.as_deref() {
        Some("restored") => "it has ended, and the cluster is restored",
        Some(_) => "it was taken back already",
        None if position.unwinding => "it goes back already",
        None => "no process drives it, or its restored primary serves already",
    };
    let next =
        format!("`remount journal {restore}` shows where it is; `remount rollback {restore}` takes it back");
    FlowError::Refused {
        what: format!("the abort of restore {restore}"),
        problems: vec![Problem::new(why, next)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(done: usize, intended: bool) -> Position {
        let names = steps::restore_saga().names();
        let mut position = Position::start(names.len());
        position.states[..done].fill(StepState::Done);
        if intended {
            position.states[done] = StepState::Intended;
        }
        position
    }

    #[test]
    fn a_step_is_never_cut_and_a_serving_primary_never_taken_away() {
        let names = steps::restore_saga().names();
        let at = |done, intended| point(&position(done, intended));
        assert_eq!(at(0, false), Some(AbortPoint { running: None, before: "begin" }));
        let recover = names.iter().position(|name| *name == "recover").unwrap();
        assert_eq!(at(recover, true), Some(AbortPoint { running: Some("recover"), before: "verify" }));
        assert_eq!(at(recover + 1, true), None, "verify is followed by a serving primary");
        assert_eq!(at(names.len(), false), None);
    }
}

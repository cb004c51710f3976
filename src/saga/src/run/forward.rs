//! A step forward, and what follows where it fails.

use remount_core::documents::{OnFailure, StepTimes, What};
use serde_json::Value;

use super::{Ended, Run};
use crate::step::AnyStep;
use crate::{
    AfterFailure, Context, Failure, Position, Probe, ProgressKind, SagaError as _, StepName as _, StepState,
    WaitTimes,
};

/// Why a step did not become done.
pub(super) enum Stop<E> {
    /// The step itself.
    Failed(E),
    /// This process was asked to stop.
    Cancelled,
    /// Its journal: the process may do nothing more.
    Journal(E),
}

impl<C: Context> Run<'_, C> {
    pub(super) async fn forward(
        &self,
        index: usize,
        step: &dyn AnyStep<C>,
        position: &mut Position,
    ) -> Result<(), Stop<C::Error>> {
        self.may_begin(step).await?;
        let name = step.name().as_str();
        self.reporter.begin(name, self.steps_before + index + 1, ProgressKind::Begun);
        let before = self.reporter.waited();
        let was_open = position.states[index] == StepState::Intended;
        if was_open && let Probe::Done(output) = self.probe(step).await {
            self.reporter.note("was done already by the process before");
            self.done(step, output, before).await?;
        } else {
            self.begin_journal(position).await.map_err(Stop::Journal)?;
            self.journal.append(What::Intended { step: name.into() }).await.map_err(Stop::Journal)?;
            position.states[index] = StepState::Intended;
            position.last = position.last.max(1);
            let output = step.act(self.context).await.map_err(Stop::Failed)?;
            self.done(step, output, before).await?;
        }
        position.states[index] = StepState::Done;
        Ok(())
    }

    /// Between two steps is where a run can be stopped: this process, by a signal, which leaves the rest to the
    /// next one; or the run, by a request to abort, until its new state serves.
    pub(super) async fn may_begin(&self, step: &dyn AnyStep<C>) -> Result<(), Stop<C::Error>> {
        if self.cancellation.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if step.after_failure() == AfterFailure::Hold {
            return Ok(());
        }
        let requested = self.journal.abort_requested().await.map_err(Stop::Journal)?;
        let name = step.name().as_str();
        requested.map_or(Ok(()), |by| Err(Stop::Failed(C::Error::aborted(by, name))))
    }

    async fn probe(&self, step: &dyn AnyStep<C>) -> Probe<Value> {
        step.probe(self.context).await.unwrap_or_else(|error| {
            self.reporter.note(format!("how it ended cannot be found out: {}", error.problem()));
            Probe::Unknown
        })
    }

    async fn done(
        &self,
        step: &dyn AnyStep<C>,
        output: Value,
        before: WaitTimes,
    ) -> Result<(), Stop<C::Error>> {
        let waited = self.reporter.waited().since(before);
        let times = StepTimes {
            seconds: self.reporter.report(ProgressKind::Done, None),
            director_seconds: waited.director.as_secs_f64(),
            postgres_seconds: waited.postgres.as_secs_f64(),
        };
        let name = step.name().as_str();
        self.context.outputs().set(name, output.clone());
        self.journal.append(What::Done { step: name.into(), times, output }).await.map_err(Stop::Journal)
    }

    pub(super) async fn failed(
        &self,
        index: usize,
        step: &dyn AnyStep<C>,
        stop: Stop<C::Error>,
        position: Position,
    ) -> Ended<C> {
        let name = step.name();
        let error = match stop {
            Stop::Journal(error) => return self.stopped(name, error),
            Stop::Cancelled => return self.cancelled(step, position).await,
            // A step that was cut in a wait stays open: the next process asks the world how it ended.
            Stop::Failed(error) if error.is_fenced() || self.is_cut(&error) => {
                return self.stopped(name, error);
            }
            Stop::Failed(error) => error,
        };
        let problem = error.problem();
        self.reporter.turn_to(name.as_str(), self.steps_before + index + 1);
        self.reporter.report(ProgressKind::Failed, Some(problem.clone()));
        if position.states[index] == StepState::Intended {
            let failed = What::Failed { step: name.as_str().into(), error: problem };
            if let Err(lost) = self.journal.append(failed).await {
                return self.stopped(name, lost);
            }
        }
        let hold = self.on_failure == OnFailure::Hold || step.after_failure() == AfterFailure::Hold;
        if hold && !error.is_aborted() {
            return self.hold(name, error).await;
        }
        match self.roll_back(position).await {
            Ok(()) => Failure::Undone { step: name, source: error },
            Err(ended) => ended,
        }
    }

    /// This process was asked to stop. What was begun stays as it is for the next process.
    async fn cancelled(&self, step: &dyn AnyStep<C>, position: Position) -> Ended<C> {
        let name = step.name();
        if position.states.iter().any(|state| state.touched()) {
            return Failure::Interrupted { step: name, next: self.context.next_steps() };
        }
        match self.roll_back(position).await {
            Ok(()) => Failure::Undone { step: name, source: C::Error::cancelled(name.as_str()) },
            Err(ended) => ended,
        }
    }

    async fn hold(&self, step: C::Step, error: C::Error) -> Ended<C> {
        let next = self.next_steps(&error);
        let held = What::Held { step: step.as_str().into(), error: error.problem(), next: next.clone() };
        if let Err(lost) = self.journal.append(held).await {
            return self.stopped(step, lost);
        }
        Failure::Held { step, next, source: error }
    }
}

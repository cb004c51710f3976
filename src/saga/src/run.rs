//! One run of a saga: forward, and back.

mod forward;
mod rollback;

use remount_core::documents::{OnFailure, Outcome, What};
use remount_core::{OperatorError as _, Retry};
use tokio_util::sync::CancellationToken;

use crate::step::AnyStep;
use crate::{Context, Failure, Journal, Position, ProgressReporter, Saga, SagaError as _, StepState};

/// How a run of `C` ends that does not end well.
type Ended<C> = Failure<<C as Context>::Step, <C as Context>::Error>;

/// One run of a saga.
pub struct Run<'a, C: Context> {
    /// Its steps.
    pub saga: &'a Saga<C>,
    /// What they act on.
    pub cx: &'a C,
    /// Its journal.
    pub journal: &'a dyn Journal<C::Error>,
    /// Tells what happens.
    pub reporter: &'a ProgressReporter<'a>,
    /// Steps that came before the saga: its first has the number after them.
    pub steps_before: usize,
    /// Cancelled to stop before the next step.
    pub cancellation: &'a CancellationToken,
    /// What to do where a step fails for good.
    pub on_failure: OnFailure,
    /// The step before which the run stops for a person to look; one that was begun is not stopped before.
    pub pause_before: Option<C::Step>,
}

/// How a run ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All steps are done.
    Completed,
    /// It stands before the step that it was to stop before.
    Paused,
}

impl<C: Context> Run<'_, C> {
    /// Goes on from `position` to the end.
    ///
    /// # Errors
    /// Every [`Failure`]: undone, held, stuck, taken over or interrupted; never between.
    pub async fn run(&self, mut position: Position) -> Result<RunEnd, Ended<C>> {
        if position.rolling_back {
            return Err(self.go_on_back(position).await);
        }
        for (index, step) in self.saga.steps().iter().enumerate() {
            if position.states[index] == StepState::Done {
                continue;
            }
            let pauses =
                self.pause_before == Some(step.name()) && position.states[index] == StepState::Pending;
            let went = if pauses {
                self.may_begin(step.as_ref()).await
            } else {
                self.forward(index, step.as_ref(), &mut position).await
            };
            if let Err(stop) = went {
                return Err(self.failed(index, step.as_ref(), stop, position).await);
            }
            if pauses {
                return self.pause(step.as_ref()).await;
            }
        }
        self.finish(Outcome::Completed).await.map(|()| RunEnd::Completed)
    }

    /// Stops before a step, for a person to look.
    async fn pause(&self, step: &dyn AnyStep<C>) -> Result<RunEnd, Ended<C>> {
        let next = self.cx.ways_on_when_paused();
        let paused = What::Paused { step: crate::StepName::as_str(step.name()).into(), next };
        self.journal.append(paused).await.map_err(|error| self.stopped(step.name(), error))?;
        Ok(RunEnd::Paused)
    }

    /// Undoes everything that was begun.
    ///
    /// # Errors
    /// [`Failure::Stuck`], [`Failure::TakenOver`], [`Failure::Interrupted`].
    pub async fn roll_back(&self, mut position: Position) -> Result<(), Ended<C>> {
        for (index, step) in self.saga.steps().iter().enumerate().rev() {
            if position.states[index].touched() {
                self.undo(index, step.as_ref()).await?;
                position.states[index] = StepState::Undone;
            }
        }
        self.begin_journal(&position).await.map_err(|error| self.stopped(self.last_step(), error))?;
        self.finish(Outcome::Undone).await
    }

    /// Goes on with a rollback that another process began.
    async fn go_on_back(&self, position: Position) -> Ended<C> {
        let (step, error) = position.failure.clone().unwrap_or_default();
        if let Err(ended) = self.roll_back(position).await {
            return ended;
        }
        let failed = self
            .saga
            .steps()
            .iter()
            .map(|known| known.name())
            .find(|name| crate::StepName::as_str(*name) == step);
        let step = failed.unwrap_or_else(|| self.last_step());
        Failure::Undone { step, source: C::Error::journalled(error) }
    }

    async fn finish(&self, outcome: Outcome) -> Result<(), Ended<C>> {
        let written = self.journal.append(What::Finished { outcome }).await;
        written.map_err(|error| self.stopped(self.last_step(), error))
    }

    /// The first event names the steps.
    async fn begin_journal(&self, position: &Position) -> Result<(), C::Error> {
        if position.last > 0 {
            return Ok(());
        }
        let steps = self.saga.names().into_iter().map(str::to_owned).collect();
        self.journal.append(What::Begun { steps }).await
    }

    /// Whether this process was asked to stop, and the error is what that did: nothing is wrong with the step.
    fn is_cut(&self, error: &C::Error) -> bool {
        error.is_cancelled() || (self.cancellation.is_cancelled() && error.retry() == Retry::Soon)
    }

    /// The journal cannot be written, or a wait was cut: nothing more may be done by this process.
    fn stopped(&self, step: C::Step, error: C::Error) -> Ended<C> {
        if error.is_fenced() {
            return Failure::TakenOver { step, source: error };
        }
        if self.is_cut(&error) {
            return Failure::Interrupted { step, next: self.cx.ways_on() };
        }
        let next = self.ways_on(&error);
        Failure::Held { step, next, source: error }
    }

    /// What a person can do with a run that stands still because of this.
    fn ways_on(&self, error: &C::Error) -> Vec<String> {
        error.next_step().into_iter().chain(self.cx.ways_on()).collect()
    }

    fn last_step(&self) -> C::Step {
        let last: Option<&dyn AnyStep<C>> = self.saga.steps().last().map(AsRef::as_ref);
        last.expect("a saga has steps").name()
    }
}

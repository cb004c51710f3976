//! A step, and the list of them.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Context, SagaError as _, StepName as _};

/// What the world says of a step whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe<O> {
    /// It happened; this is what it leaves.
    Done(O),
    /// It did not, or not wholly: act again.
    NotDone,
    /// The world does not say: act again, the step looks for itself.
    Unknown,
}

/// What becomes of a run where a step fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Back to the old state, unless a person asked to hold.
    RollBack,
    /// Never back by itself: the new state serves.
    Hold,
}

/// One step of a run.
#[async_trait]
pub trait Step<C: Context>: Send + Sync + 'static {
    /// What it leaves for the steps after it.
    type Output: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Its name, as the journal has it.
    const NAME: C::Step;

    /// What becomes of the run where it fails for good.
    const AFTER_FAILURE: AfterFailure = AfterFailure::RollBack;

    /// Makes it so.
    ///
    /// # Idempotence
    /// Acting again, after a crash at any point of the first time, ends in the same state.
    async fn act(&self, context: &C) -> Result<Self::Output, C::Error>;

    /// Makes it as it was before. Also called where the step's outcome is unknown, and more than once.
    async fn undo(&self, context: &C) -> Result<(), C::Error>;

    /// What the world says of the step.
    async fn probe(&self, context: &C) -> Result<Probe<Self::Output>, C::Error>;

    /// How a person undoes it, one command or sentence each.
    fn by_hand(&self, _cx: &C) -> Vec<String> {
        Vec::new()
    }
}

/// A step whose output is JSON: steps of different outputs are one list.
#[async_trait]
pub trait AnyStep<C: Context>: Send + Sync {
    /// As [`Step::NAME`].
    fn name(&self) -> C::Step;
    /// As [`Step::AFTER_FAILURE`].
    fn after_failure(&self) -> AfterFailure;
    /// As [`Step::act`].
    async fn act(&self, context: &C) -> Result<Value, C::Error>;
    /// As [`Step::undo`].
    async fn undo(&self, context: &C) -> Result<(), C::Error>;
    /// As [`Step::probe`].
    async fn probe(&self, context: &C) -> Result<Probe<Value>, C::Error>;
    /// As [`Step::by_hand`].
    fn by_hand(&self, context: &C) -> Vec<String>;
}

/// A step in a list.
pub type BoxedStep<C> = Box<dyn AnyStep<C>>;

/// Puts a step into the form of a list.
#[must_use]
pub fn boxed<C: Context, S: Step<C>>(step: S) -> BoxedStep<C> {
    Box::new(Erased(step))
}

struct Erased<S>(S);

#[async_trait]
impl<C: Context, S: Step<C>> AnyStep<C> for Erased<S> {
    fn name(&self) -> C::Step {
        S::NAME
    }

    fn after_failure(&self) -> AfterFailure {
        S::AFTER_FAILURE
    }

    async fn act(&self, context: &C) -> Result<Value, C::Error> {
        json::<C, S>(&self.0.act(context).await?)
    }

    async fn undo(&self, context: &C) -> Result<(), C::Error> {
        self.0.undo(context).await
    }

    async fn probe(&self, context: &C) -> Result<Probe<Value>, C::Error> {
        Ok(match self.0.probe(context).await? {
            Probe::Done(output) => Probe::Done(json::<C, S>(&output)?),
            Probe::NotDone => Probe::NotDone,
            Probe::Unknown => Probe::Unknown,
        })
    }

    fn by_hand(&self, context: &C) -> Vec<String> {
        self.0.by_hand(context)
    }
}

fn json<C: Context, S: Step<C>>(output: &S::Output) -> Result<Value, C::Error> {
    serde_json::to_value(output).map_err(|error| C::Error::output(S::NAME.as_str(), &error))
}

/// The steps of one kind of run, in order.
pub struct Saga<C>(Vec<BoxedStep<C>>);

impl<C: Context> Saga<C> {
    /// These steps.
    #[must_use]
    pub fn of(steps: impl IntoIterator<Item = BoxedStep<C>>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// The steps' names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|step| step.name().as_str()).collect()
    }

    /// The number of the first step that only goes forward: from there on the new state serves.
    #[must_use]
    pub fn turning_point(&self) -> usize {
        let held = self.0.iter().position(|step| step.after_failure() == AfterFailure::Hold);
        held.unwrap_or(self.0.len())
    }

    pub(crate) fn steps(&self) -> &[BoxedStep<C>] {
        &self.0
    }
}

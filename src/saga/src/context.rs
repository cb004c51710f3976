//! What a run acts on, and how its steps fail.

use async_trait::async_trait;
use remount_core::OperatorError;

use crate::{StepName, StepOutputs};

/// What the steps of one kind of run act on.
#[async_trait]
pub trait Context: Send + Sync {
    /// The names of its steps.
    type Step: StepName;
    /// How they fail.
    type Error: SagaError;

    /// What the steps that are done have left for those after them.
    fn outputs(&self) -> &StepOutputs;

    /// What is where now, one sentence each, for a person who has to finish by hand.
    async fn status_report(&self) -> Vec<String>;

    /// What a person can do with a run that stands still, one command or sentence each.
    fn ways_on(&self) -> Vec<String>;

    /// What a person can do with a run that was paused, one command or sentence each.
    fn ways_on_when_paused(&self) -> Vec<String> {
        self.ways_on()
    }

    /// How a person has a run rolled back again whose undo failed, as a command or sentence.
    fn roll_back_again(&self) -> String;
}

/// How the steps of a run fail.
pub trait SagaError: OperatorError + Sized {
    /// Whether another process acts by now: nothing more may be done by this one.
    fn is_fenced(&self) -> bool;

    /// Whether somebody asked that the run goes no further: it is then rolled back, whatever else was wished.
    fn is_aborted(&self) -> bool;

    /// Whether this process was asked to stop in the middle of a wait: nothing is wrong with the step.
    fn is_cancelled(&self) -> bool;

    /// Somebody asked that the run goes no further than before this step.
    fn aborted(by: String, step: &str) -> Self;

    /// This process was asked to stop before this step.
    fn cancelled(step: &str) -> Self;

    /// A failure that another process journalled.
    fn journalled(error: String) -> Self;

    /// What a step left cannot be put into the journal, or cannot be read from it.
    fn output(step: &str, error: &serde_json::Error) -> Self;

    /// What failed and why, in one line.
    fn problem(&self) -> String;
}

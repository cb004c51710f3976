//! The saga engine: runs a list of steps forward, and back where one fails. It is tied to no kind of run: what
//! the steps act on is a [`Context`], where the journal lies is a [`Journal`]'s business.
//!
//! | to | see |
//! |---|---|
//! | name the steps of a kind of run, once | [`step_names!`] |
//! | write a step | [`Step`] |
//! | run a list of steps, go on with one, roll it back | [`Run`] |
//! | know where a run is, from its journal | [`Position`] |
//! | read what a step left for those after it | [`StepOutputs`] |
//! | tell what happens, and where the time goes | [`ProgressReporter`] |
//!
//! The intent is journalled before a step acts, its outcome after. Where the journal ends with an open step, the
//! next process asks the step's `probe` what the world says. An undo runs for a step of unknown outcome too.
//!
//! Never here: what a step does, where a journal is kept, a clock, a socket.

mod context;
mod failure;
mod journal;
mod names;
mod outputs;
mod position;
mod progress;
mod reporter;
mod run;
mod step;
mod wait_timer;

pub use context::{Context, SagaError};
pub use failure::Failure;
pub use journal::Journal;
pub use names::StepName;
pub use outputs::StepOutputs;
pub use position::{Position, PositionError, StepState};
pub use progress::{Progress, ProgressEvent, ProgressKind, Quiet};
pub use reporter::ProgressReporter;
pub use run::{Run, RunEnd};
pub use step::{AfterFailure, BoxedStep, Probe, Saga, Step, boxed};
pub use wait_timer::{WaitTimes, Waiting};

//! The engine: runs a list of steps forward, and back where one fails.
//!
//! Intent is journalled before a step acts and its outcome after, each under the lease, so that a process
//! that lost the lease stops before its next step. Where the journal ends with an open step, the next
//! process asks the step's `probe` what the world says. An undo runs for a step of unknown outcome too.

mod event;
mod journal;
mod watch;

use async_trait::async_trait;
use remount_core::Advice as _;
use remount_store::OnFailure;
use serde_json::{Value, json};

pub use event::{Event, EventKind, Position, StepState};
pub use journal::{Journal, read};
pub use watch::{Spent, Watch};

use crate::{Cancellation, FlowError, Problem, Result, StepEventKind};

/// What the world says of a step whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It happened.
    Done,
    /// It did not, or not wholly: act again.
    NotDone,
    /// The world does not say: act again, the step looks for itself.
    Unknown,
}

/// What becomes of the saga where a step fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Back to the old state, unless a person asked to hold.
    Unwind,
    /// Never back: the new state serves and is verified.
    Hold,
}

/// One step of a saga.
#[async_trait]
pub trait Step<C: Sync>: Send + Sync {
    /// Its name, as the journal has it.
    fn name(&self) -> &'static str;

    /// Makes it so; what is to be remembered goes to the journal.
    ///
    /// # Idempotence
    /// Acting again, after a crash at any point of the first time, ends in the same state.
    async fn act(&self, cx: &C) -> Result<Value>;

    /// Makes it as it was before. Also called where the step's outcome is unknown, and more than once.
    async fn undo(&self, cx: &C) -> Result<()>;

    /// What the world says of the step.
    async fn probe(&self, cx: &C) -> Result<Probe>;

    /// How a person undoes it, one command or sentence each.
    fn by_hand(&self, _cx: &C) -> Vec<String> {
        Vec::new()
    }

    /// What becomes of the saga where the step fails for good.
    fn after_failure(&self) -> AfterFailure {
        AfterFailure::Unwind
    }
}

/// What a saga acts on can be described to a person.
#[async_trait]
pub trait Standing: Sync {
    /// What is where now, one sentence each.
    async fn standing(&self) -> Vec<String>;
}

/// A list of steps.
pub struct Saga<C>(Vec<Box<dyn Step<C>>>);

impl<C: Sync> Saga<C> {
    /// No step yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// With one more step.
    #[must_use]
    pub fn step(mut self, step: impl Step<C> + 'static) -> Self {
        self.0.push(Box::new(step));
        self
    }

    /// The number of the first step that only goes forward: by then the new state serves.
    #[must_use]
    pub fn turning_point(&self) -> usize {
        let held = self.0.iter().position(|step| step.after_failure() == AfterFailure::Hold);
        held.unwrap_or(self.0.len())
    }

    /// The steps' names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|step| step.name()).collect()
    }
}

/// One run of a saga.
pub struct Run<'a, C> {
    /// Its steps.
    pub saga: &'a Saga<C>,
    /// What they act on.
    pub cx: &'a C,
    /// Its journal.
    pub journal: &'a Journal,
    /// Its voice.
    pub watch: &'a Watch<'a>,
    /// Steps that came before the saga: its first has the number after them.
    pub before: usize,
    /// Set to stop before the next step.
    pub cancellation: &'a Cancellation,
    /// What to do where a step fails for good.
    pub on_failure: OnFailure,
}

/// How often an undo is tried before a person is called: what fails in passing must not.
const UNDO_ATTEMPTS: u32 = 3;

impl<C: Standing> Run<'_, C> {
    /// Goes on from `position` to the end.
    ///
    /// # Errors
    /// Undone, held, stuck or taken over; never between.
    pub async fn run(&self, mut position: Position) -> Result<()> {
        if position.unwinding {
            return self.go_on_back(position).await;
        }
        for (index, step) in self.saga.0.iter().enumerate() {
            if position.states[index] == StepState::Done {
                continue;
            }
            let open = position.states[index] == StepState::Intended;
            if let Err(error) = self.forward(index, step.as_ref(), open, &mut position).await {
                return self.failed(index, step.as_ref(), error, position).await;
            }
            position.states[index] = StepState::Done;
        }
        self.journal
            .append("", EventKind::Finished, json!({"outcome": "restored"}))
            .await
            .map_err(|error| self.interrupted("finish", error))
    }

    /// Takes everything back that was begun.
    ///
    /// # Errors
    /// [`FlowError::Stuck`], [`FlowError::TakenOver`].
    pub async fn back(&self, position: Position) -> Result<()> {
        let mut position = position;
        for (index, step) in self.saga.0.iter().enumerate().rev() {
            if position.states[index].touched() {
                self.undo(index, step.as_ref()).await?;
                position.states[index] = StepState::Undone;
            }
        }
        self.journal
            .append("", EventKind::Finished, json!({"outcome": "undone"}))
            .await
            .map_err(|error| self.interrupted("finish", error))
    }

    async fn forward(
        &self,
        index: usize,
        step: &dyn Step<C>,
        open: bool,
        position: &mut Position,
    ) -> Result<(), Stop> {
        self.stop_here(step).await?;
        self.watch.begin(step.name(), self.before + index + 1, StepEventKind::Begun);
        let spent = self.watch.spent();
        if open && self.probe(step).await == Probe::Done {
            self.watch.note("was done already by the process before");
            return self.done(step, json!({"found_done": true}), spent).await;
        }
        self.journal.append(step.name(), EventKind::Intended, Value::Null).await.map_err(Stop::Journal)?;
        position.states[index] = StepState::Intended;
        let outcome = step.act(self.cx).await.map_err(Stop::Failed)?;
        self.done(step, outcome, spent).await
    }

    /// Between two steps is where a restore can be stopped: this process, by a signal, which leaves the rest to
    /// the next one; or the restore, by `remount abort`, until its new state serves.
    async fn stop_here(&self, step: &dyn Step<C>) -> Result<(), Stop> {
        if self.cancellation.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if step.after_failure() == AfterFailure::Hold {
            return Ok(());
        }
        let step = step.name().into();
        let asked = self.journal.abort_asked().await.map_err(Stop::Journal)?;
        asked.map_or(Ok(()), |by| Err(Stop::Failed(FlowError::Aborted { by, step })))
    }

    async fn probe(&self, step: &dyn Step<C>) -> Probe {
        step.probe(self.cx).await.unwrap_or_else(|error| {
            self.watch.note(format!("the world does not say how it ended: {}", Problem::of(&error).what));
            Probe::Unknown
        })
    }

    async fn done(&self, step: &dyn Step<C>, outcome: Value, before: Spent) -> Result<(), Stop> {
        let spent = self.watch.spent().since(before);
        let seconds = self.watch.tell(StepEventKind::Done, None);
        let detail = json!({
            "seconds": seconds,
            "director_seconds": spent.director.as_secs_f64(),
            "postgres_seconds": spent.postgres.as_secs_f64(),
            "outcome": outcome,
        });
        self.journal.append(step.name(), EventKind::Done, detail).await.map_err(Stop::Journal)
    }

    async fn failed(&self, index: usize, step: &dyn Step<C>, stop: Stop, position: Position) -> Result<()> {
        let error = match stop {
            Stop::Journal(error) => return Err(self.interrupted(step.name(), error)),
            Stop::Cancelled => return self.cancelled(step, position).await,
            Stop::Failed(error) if error.is_fenced() => return Err(self.interrupted(step.name(), error)),
            Stop::Failed(error) => error,
        };
        let problem = Problem::of(&error).what;
        self.watch.tell(StepEventKind::Failed, Some(problem.clone()));
        if position.states[index] == StepState::Intended {
            self.journal
                .append(step.name(), EventKind::Failed, json!({"error": problem}))
                .await
                .map_err(|lost| self.interrupted(step.name(), lost))?;
        }
        let aborted = matches!(error, FlowError::Aborted { .. });
        let hold = self.on_failure == OnFailure::Hold || step.after_failure() == AfterFailure::Hold;
        if hold && !aborted {
            return Err(self.hold(step, error).await);
        }
        self.back(position).await?;
        Err(FlowError::Undone {
            restore: self.journal.restore().clone(),
            step: step.name().into(),
            source: Box::new(error),
        })
    }

    /// This process was asked to stop. What was begun stays as it is for the next process.
    async fn cancelled(&self, step: &dyn Step<C>, position: Position) -> Result<()> {
        let (restore, name) = (self.journal.restore().clone(), step.name().to_owned());
        if position.states.iter().any(|state| state.touched()) {
            return Err(FlowError::Interrupted { restore, step: name, commands: self.ways_on(None) });
        }
        self.back(position).await?;
        let source = Box::new(FlowError::Cancelled { step: name.clone() });
        Err(FlowError::Undone { restore, step: name, source })
    }

    async fn hold(&self, step: &dyn Step<C>, error: FlowError) -> FlowError {
        let restore = self.journal.restore().clone();
        let commands = self.ways_on(error.next_step());
        let detail = json!({"error": Problem::of(&error).what, "next": commands});
        if let Err(lost) = self.journal.append(step.name(), EventKind::Held, detail).await {
            return self.interrupted(step.name(), lost);
        }
        FlowError::Held { restore, step: step.name().into(), commands, source: Box::new(error) }
    }

    /// What a person can do with a restore that stands still.
    fn ways_on(&self, first: Option<String>) -> Vec<String> {
        let restore = self.journal.restore();
        let on = format!("go on with `remount resume {restore}`");
        let back = format!("or go back with `remount rollback {restore}`");
        first.into_iter().chain([on, back]).collect()
    }

    async fn go_on_back(&self, position: Position) -> Result<()> {
        let (step, error) = position.failure.clone().unwrap_or_default();
        self.back(position).await?;
        Err(FlowError::Undone {
            restore: self.journal.restore().clone(),
            step,
            source: Box::new(FlowError::Check { what: error, next: None }),
        })
    }

    async fn undo(&self, index: usize, step: &dyn Step<C>) -> Result<()> {
        self.watch.begin(step.name(), self.before + index + 1, StepEventKind::UndoBegun);
        let mut attempt = 1;
        loop {
            self.journal
                .append(step.name(), EventKind::UndoIntended, Value::Null)
                .await
                .map_err(|error| self.interrupted(step.name(), error))?;
            let error = match step.undo(self.cx).await {
                Ok(()) => break,
                Err(error) if error.is_fenced() => return Err(self.interrupted(step.name(), error)),
                Err(error) => error,
            };
            if attempt == UNDO_ATTEMPTS {
                return Err(self.stuck(index, step, error).await);
            }
            self.watch.note(format!("undo failed, trying again: {}", Problem::of(&error).what));
            attempt += 1;
        }
        self.watch.tell(StepEventKind::Undone, None);
        self.journal
            .append(step.name(), EventKind::Undone, Value::Null)
            .await
            .map_err(|error| self.interrupted(step.name(), error))
    }

    async fn stuck(&self, index: usize, step: &dyn Step<C>, error: FlowError) -> FlowError {
        let problem = Problem::of(&error).what;
        self.watch.tell(StepEventKind::UndoFailed, Some(problem.clone()));
        let mut commands: Vec<String> = error.next_step().into_iter().collect();
        commands.push("this is how it stands:".into());
        commands.extend(self.cx.standing().await);
        commands.push("finish by hand, in this order:".into());
        commands.extend(self.saga.0[..=index].iter().rev().flat_map(|step| step.by_hand(self.cx)));
        commands.push(format!("or try again with `remount rollback {}`", self.journal.restore()));
        let detail = json!({"error": problem, "next": commands});
        for kind in [EventKind::UndoFailed, EventKind::Stuck] {
            if let Err(lost) = self.journal.append(step.name(), kind, detail.clone()).await {
                return self.interrupted(step.name(), lost);
            }
        }
        FlowError::Stuck {
            restore: self.journal.restore().clone(),
            step: step.name().into(),
            commands,
            source: Box::new(error),
        }
    }

    /// The journal cannot be written: nothing more may be done by this process.
    fn interrupted(&self, step: &str, error: FlowError) -> FlowError {
        let restore = self.journal.restore().clone();
        let (step, fenced) = (step.to_owned(), error.is_fenced());
        let source = Box::new(error);
        if fenced {
            return FlowError::TakenOver { restore, step, source };
        }
        let commands = self.ways_on(source.next_step());
        FlowError::Held { restore, step, commands, source }
    }
}

/// Why a step did not become done.
enum Stop {
    /// The step itself.
    Failed(FlowError),
    /// This process was asked to stop.
    Cancelled,
    /// Its journal: the process may do nothing more.
    Journal(FlowError),
}

//! A step back, and what follows where its undo fails.

use remount_core::OperatorError as _;
use remount_core::documents::What;

use super::{Ended, Run};
use crate::step::AnyStep;
use crate::{Context, Failure, ProgressKind, SagaError as _, StepName as _};

/// How often an undo is tried before a person is called: what fails in passing must not.
const UNDO_ATTEMPTS: u32 = 3;

impl<C: Context> Run<'_, C> {
    pub(super) async fn undo(&self, index: usize, step: &dyn AnyStep<C>) -> Result<(), Ended<C>> {
        let name = step.name();
        self.reporter.begin(name.as_str(), self.steps_before + index + 1, ProgressKind::UndoBegun);
        let mut attempt = 1;
        loop {
            let intended = What::UndoIntended { step: name.as_str().into() };
            self.journal.append(intended).await.map_err(|error| self.stopped(name, error))?;
            let error = match step.undo(self.context).await {
                Ok(()) => break,
                Err(error) if error.is_fenced() || self.is_cut(&error) => {
                    return Err(self.stopped(name, error));
                }
                Err(error) => error,
            };
            if attempt == UNDO_ATTEMPTS {
                return Err(self.stuck(index, step, error).await);
            }
            self.reporter.note(format!("undo failed, trying again: {}", error.problem()));
            attempt += 1;
        }
        self.reporter.report(ProgressKind::Undone, None);
        let undone = What::Undone { step: name.as_str().into() };
        self.journal.append(undone).await.map_err(|error| self.stopped(name, error))
    }

    async fn stuck(&self, index: usize, step: &dyn AnyStep<C>, error: C::Error) -> Ended<C> {
        let (name, problem) = (step.name(), error.problem());
        self.reporter.report(ProgressKind::UndoFailed, Some(problem.clone()));
        let mut next: Vec<String> = error.next_step().into_iter().collect();
        next.push("this is the state now:".into());
        next.extend(self.context.status_report().await);
        next.push("finish by hand, in this order:".into());
        next.extend(self.saga.steps()[..=index].iter().rev().flat_map(|step| step.by_hand(self.context)));
        next.push(format!("or try again with {}", self.context.roll_back_again()));
        let step = name.as_str().to_owned();
        let failed = What::UndoFailed { step: step.clone(), error: problem.clone() };
        let stuck = What::Stuck { step, error: problem, next: next.clone() };
        for what in [failed, stuck] {
            if let Err(lost) = self.journal.append(what).await {
                return self.stopped(name, lost);
            }
        }
        Failure::Stuck { step: name, next, source: error }
    }
}

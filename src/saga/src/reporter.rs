//! Tells what a run does, and measures it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use remount_core::RunId;

use crate::wait_timer::WaitTimer;
use crate::{Progress, ProgressEvent, ProgressKind, WaitTimes, Waiting};

/// Tells what one run does and where its time goes.
pub struct ProgressReporter<'a> {
    progress: &'a dyn Progress,
    run: RunId,
    total: usize,
    current: Mutex<Current>,
    director: WaitTimer,
    postgres: WaitTimer,
}

/// The step that runs.
#[derive(Clone, Debug)]
struct Current {
    step: String,
    number: usize,
    since: Instant,
}

impl<'a> ProgressReporter<'a> {
    /// Of a run of `total` steps.
    #[must_use]
    pub fn new(progress: &'a dyn Progress, run: impl Into<RunId>, total: usize) -> Self {
        let current = Current { step: String::new(), number: 0, since: Instant::now() };
        Self {
            progress,
            run: run.into(),
            total,
            current: Mutex::new(current),
            director: WaitTimer::default(),
            postgres: WaitTimer::default(),
        }
    }

    /// A step, or its undo, begins.
    pub fn begin(&self, step: &str, number: usize, kind: ProgressKind) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { step: step.to_owned(), number, since: Instant::now() };
        self.report(kind, None);
    }

    /// What is reported next is about this step, which need not have begun.
    pub(crate) fn turn_to(&self, step: &str, number: usize) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.step != step {
            *current = Current { step: step.to_owned(), number, since: Instant::now() };
        }
    }

    /// The current step ends, or says something. Returns its seconds so far.
    pub fn report(&self, kind: ProgressKind, detail: Option<String>) -> f64 {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = current.since.elapsed().as_secs_f64();
        self.progress.event(&ProgressEvent {
            run: self.run.clone(),
            step: current.step,
            number: current.number,
            total: self.total,
            kind,
            seconds,
            detail,
        });
        seconds
    }

    /// One line for people.
    pub fn note(&self, line: impl Into<String>) {
        self.report(ProgressKind::Note, Some(line.into()));
    }

    /// How long others were waited for so far.
    #[must_use]
    pub fn waited(&self) -> WaitTimes {
        WaitTimes { director: self.director.total(), postgres: self.postgres.total() }
    }

    /// Counts until the guard is dropped; what runs in parallel counts once.
    #[must_use]
    pub fn waiting_for_director(&self) -> Waiting<'_> {
        self.director.enter()
    }

    /// Counts until the guard is dropped; what runs in parallel counts once.
    #[must_use]
    pub fn waiting_for_postgres(&self) -> Waiting<'_> {
        self.postgres.enter()
    }
}

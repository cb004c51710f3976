//! What a run tells while it goes on, and where its time goes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Progress, StepEvent, StepEventKind};

/// One run's voice and stop watches.
pub struct Watch<'a> {
    progress: &'a dyn Progress,
    run: String,
    total: usize,
    current: Mutex<Current>,
    director: Meter,
    postgres: Meter,
}

#[derive(Clone, Debug)]
struct Current {
    step: String,
    number: usize,
    since: Instant,
}

/// Time spent waiting for others since the run began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// For Director tasks.
    pub director: Duration,
    /// For PostgreSQL.
    pub postgres: Duration,
}

impl Spent {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            director: self.director.saturating_sub(earlier.director),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }
}

impl<'a> Watch<'a> {
    /// A run of `total` steps.
    #[must_use]
    pub fn new(progress: &'a dyn Progress, run: impl Into<String>, total: usize) -> Self {
        let current = Current { step: String::new(), number: 0, since: Instant::now() };
        Self {
            progress,
            run: run.into(),
            total,
            current: Mutex::new(current),
            director: Meter::default(),
            postgres: Meter::default(),
        }
    }

    /// A step, or its undo, begins.
    pub fn begin(&self, step: &str, number: usize, kind: StepEventKind) {
        *lock(&self.current) = Current { step: step.to_owned(), number, since: Instant::now() };
        self.tell(kind, None);
    }

    /// The current step ends, or says something. Returns its seconds so far.
    pub fn tell(&self, kind: StepEventKind, detail: Option<String>) -> f64 {
        let current = lock(&self.current).clone();
        let seconds = current.since.elapsed().as_secs_f64();
        self.progress.step(&StepEvent {
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
        self.tell(StepEventKind::Note, Some(line.into()));
    }

    /// What was spent waiting so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        Spent { director: self.director.total(), postgres: self.postgres.total() }
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

/// A stop watch that runs while at least one guard lives.
#[derive(Debug, Default)]
struct Meter(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    guards: usize,
    since: Option<Instant>,
    total: Duration,
}

/// Lives as long as something is waited for.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Meter);

impl Meter {
    fn enter(&self) -> Waiting<'_> {
        let mut reading = lock(&self.0);
        reading.guards += 1;
        reading.since.get_or_insert_with(Instant::now);
        Waiting(self)
    }

    fn total(&self) -> Duration {
        let reading = lock(&self.0);
        reading.total + reading.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut reading = lock(&self.0.0);
        reading.guards -= 1;
        if reading.guards == 0
            && let Some(since) = reading.since.take()
        {
            reading.total += since.elapsed();
        }
    }
}

/// Nothing that holds these locks can panic midway and leave them half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

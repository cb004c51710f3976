//! Errors for the operator: what failed, why, and what to do next.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// In seconds: a lost connection, a throttle, a lock.
    Soon,
    /// When somebody or something else has finished: minutes.
    Later,
    /// Not until an operator changes something.
    Never,
}

/// What every error says beyond its text.
pub trait OperatorError: Error + Send + Sync + 'static {
    /// Whether asking again can help.
    fn retry(&self) -> Retry;

    /// How long the other side asked us to wait before the next try.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// What to do next: a command or a property, as a sentence.
    fn next_step(&self) -> Option<String>;
}

/// How often something was tried. Shows as nothing where it was tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Tries in all.
    pub tries: u32,
    /// From the first to the end of the last.
    pub elapsed: Duration,
}

impl Attempts {
    /// It was tried once.
    pub const ONCE: Self = Self { tries: 1, elapsed: Duration::ZERO };
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tries <= 1 {
            return Ok(());
        }
        write!(f, " ({} attempts in {:.0} s)", self.tries, self.elapsed.as_secs_f64())
    }
}

/// The three lines an operator reads: what failed, why (the chain of sources), what to do next.
#[must_use]
pub fn report(error: &dyn OperatorError) -> String {
    let mut text = format!("error: {error}");
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if !causes.is_empty() {
        text.push_str("\ncause: ");
        text.push_str(&causes.join(": "));
    }
    if let Some(next) = error.next_step() {
        text.push_str("\n next: ");
        text.push_str(&next);
    }
    text
}

/// What a command's exit code tells of the state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Failed; nothing was changed.
    Unchanged = 1,
    /// Wrong usage or configuration; nothing was changed.
    Usage = 2,
    /// Failed; what had been changed was undone.
    Undone = 3,
    /// Stuck: an operator is needed.
    Stuck = 4,
}

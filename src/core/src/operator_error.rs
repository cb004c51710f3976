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

/// An error and the chain of its sources, in one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The three lines an operator reads: what failed, why (the chain of sources), what to do next.
#[must_use]
pub fn report(error: &dyn OperatorError) -> String {
    let mut text = format!("error: {error}");
    if let Some(cause) = error.source() {
        text.push_str("\ncause: ");
        text.push_str(&with_causes(cause));
    }
    if let Some(next) = error.next_step() {
        text.push_str("\n next: ");
        text.push_str(&next);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_the_error_from_the_outermost_to_the_first() {
        let first = Layer("connection refused", None);
        assert_eq!(with_causes(&first), "connection refused");
        let outermost = Layer("read the plan", Some(Box::new(Layer("ask the store", Some(Box::new(first))))));
        assert_eq!(with_causes(&outermost), "read the plan: ask the store: connection refused");
    }
}

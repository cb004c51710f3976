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

/// An error and the chain of its sources, in one line. A source without a text says nothing.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    texts.extend(causes(error));
    texts.join(": ")
}

/// The texts of an error's sources, the nearest first.
fn causes(error: &dyn Error) -> impl Iterator<Item = String> {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.map(ToString::to_string).filter(|text| !text.trim().is_empty())
}

/// The three lines an operator reads: what failed, why (the chain of sources), what to do next.
#[must_use]
pub fn report(error: &dyn OperatorError) -> String {
    let mut text = format!("error: {error}");
    let causes: Vec<String> = causes(error).collect();
    for (head, line) in [("cause", Some(causes.join(": "))), (" next", error.next_step())] {
        if let Some(line) = line.filter(|line| !line.trim().is_empty()) {
            text.push_str(&format!("\n{head}: {line}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    impl OperatorError for Layer {
        fn retry(&self) -> Retry {
            Retry::Never
        }

        fn next_step(&self) -> Option<String> {
            Some(String::new())
        }
    }

    #[test]
    fn no_line_is_printed_that_says_nothing() {
        let silent = Layer("restore", Some(Box::new(Layer("", None))));
        assert_eq!((report(&silent), with_causes(&silent)), ("error: restore".into(), "restore".into()));
        let caused = Layer("restore", Some(Box::new(Layer("", Some(Box::new(Layer("no room", None)))))));
        assert_eq!(report(&caused), "error: restore\ncause: no room");
    }

    #[test]
    fn causes_follow_the_error_from_the_outermost_to_the_first() {
        let first = Layer("connection refused", None);
        assert_eq!(with_causes(&first), "connection refused");
        let outermost = Layer("read the plan", Some(Box::new(Layer("ask the store", Some(Box::new(first))))));
        assert_eq!(with_causes(&outermost), "read the plan: ask the store: connection refused");
    }
}

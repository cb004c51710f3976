//! Running a suite: every check on a subject of its own, and a report that names each check that is broken.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// How a check ended that did not panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The subject does what the check asks for.
    Holds,
    /// The subject cannot be brought into the state that the check looks at; why.
    NotShown(&'static str),
}

/// A check on its way.
pub type Running = Pin<Box<dyn Future<Output = Verdict>>>;

/// One check of a suite. It panics with a sentence where the subject breaks it.
#[derive(Debug)]
pub struct Check<S> {
    /// Its name, as a sentence.
    pub name: &'static str,
    /// What it does with a subject.
    pub run: fn(S) -> Running,
}

/// Lists checks: each is an `async fn(S) -> Verdict`, and is named as the function is.
macro_rules! checks {
    ($subject:ty: $($module:ident :: $check:ident),+ $(,)?) => {
        &[$($crate::contract::Check::<$subject> {
            name: stringify!($check),
            run: |subject| Box::pin($module::$check(subject)),
        }),+]
    };
}
pub(crate) use checks;

/// No check of a suite takes longer, real clouds apart: their suite asks for more.
pub(crate) const CHECK_LIMIT: Duration = Duration::from_secs(180);

/// Runs every check on a subject that `fresh` makes, one after the other.
pub(crate) async fn run<S>(
    suite: &'static str,
    subject: &str,
    checks: &[Check<S>],
    limit: Duration,
    fresh: impl AsyncFn() -> S,
) -> Report {
    let mut results = Vec::new();
    for check in checks {
        let subject = fresh().await;
        let outcome = match tokio::time::timeout(limit, caught((check.run)(subject))).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Broken(format!("it was not over after {} s", limit.as_secs())),
        };
        results.push((check.name, outcome));
    }
    Report { suite, subject: subject.to_owned(), results }
}

/// A panic ends the check and not the suite.
async fn caught(mut running: Running) -> Outcome {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Verdict::Holds)) => Poll::Ready(Outcome::Holds),
        Ok(Poll::Ready(Verdict::NotShown(why))) => Poll::Ready(Outcome::NotShown(why)),
        Err(panic) => Poll::Ready(Outcome::Broken(text_of(panic.as_ref()))),
    })
    .await
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked without a text".to_owned())
}

#[derive(Clone, Debug)]
enum Outcome {
    Holds,
    NotShown(&'static str),
    Broken(String),
}

/// What a suite has found of a subject.
#[derive(Clone, Debug)]
#[must_use = "a report that nobody looks at shows nothing"]
pub struct Report {
    suite: &'static str,
    subject: String,
    results: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The checks that the subject breaks.
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        let broken = |(name, outcome): &(&'static str, Outcome)| match outcome {
            Outcome::Broken(_) => Some(*name),
            _ => None,
        };
        self.results.iter().filter_map(broken).collect()
    }

    /// The checks for which the subject could not be brought into the state that they look at.
    #[must_use]
    pub fn not_shown(&self) -> Vec<&'static str> {
        let not_shown = |(name, outcome): &(&'static str, Outcome)| match outcome {
            Outcome::NotShown(_) => Some(*name),
            _ => None,
        };
        self.results.iter().filter_map(not_shown).collect()
    }

    /// Every check was shown but those named, and none is broken.
    ///
    /// # Panics
    /// Where one is broken, or others were not shown than those named: a subject that loses an ability shall not
    /// lose its checks in silence.
    pub fn assert_holds_but(&self, not_shown: &[&str]) {
        assert!(self.broken().is_empty(), "{self}");
        assert_eq!(self.not_shown(), not_shown, "{self}");
    }

    /// Every check was shown, and none is broken.
    ///
    /// # Panics
    /// Else.
    pub fn assert_holds(&self) {
        self.assert_holds_but(&[]);
    }

    /// The names of all checks.
    #[must_use]
    pub fn checks(&self) -> Vec<&'static str> {
        self.results.iter().map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the {} contract on {}: {} of {} checks are broken",
            self.suite,
            self.subject,
            self.broken().len(),
            self.results.len()
        )?;
        for (name, outcome) in &self.results {
            match outcome {
                Outcome::Holds => {}
                Outcome::NotShown(why) => writeln!(f, "  not shown  {name}: {why}")?,
                Outcome::Broken(why) => writeln!(f, "  BROKEN     {name}: {why}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod toy {
        use super::Verdict;

        pub async fn two_is_even(number: u32) -> Verdict {
            assert_eq!(number % 2, 0, "{number} is odd");
            Verdict::Holds
        }

        pub async fn it_is_small(number: u32) -> Verdict {
            if number > 99 { Verdict::NotShown("too large to be counted") } else { Verdict::Holds }
        }

        pub async fn it_ends(number: u32) -> Verdict {
            if number == 5 {
                std::future::pending::<()>().await;
            }
            Verdict::Holds
        }
    }

    const CHECKS: &[Check<u32>] = checks![u32: toy::two_is_even, toy::it_is_small, toy::it_ends];

    async fn report(number: u32) -> Report {
        run("toy", "a number", CHECKS, Duration::from_millis(50), async || number).await
    }

    #[tokio::test]
    async fn a_failure_names_suite_subject_and_check_and_ends_no_other() {
        let broken = report(5).await;
        assert_eq!(broken.broken(), ["two_is_even", "it_ends"]);
        let text = broken.to_string();
        for part in ["toy contract on a number: 2 of 3", "BROKEN     two_is_even: ", "5 is odd", "after 0 s"]
        {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }

    #[tokio::test]
    async fn what_was_not_shown_has_to_be_named() {
        report(2).await.assert_holds();
        let large = report(100).await;
        large.assert_holds_but(&["it_is_small"]);
        assert!(std::panic::catch_unwind(|| large.assert_holds()).is_err());
    }
}

//! How a command fails: three lines for the operator and an exit code for scripts.

use std::process;

use crate::output::message;
use remount_core::{ExitCode, OperatorError, report};
use remount_flow::FlowError;
use remount_host::NoRemountJob;

/// A command failed.
#[derive(Debug)]
pub struct Failure {
    code: ExitCode,
    text: String,
}

impl Failure {
    /// Wrong usage or configuration, and what to do.
    pub fn usage(what: impl AsRef<str>, next: impl AsRef<str>) -> Self {
        Self::with(ExitCode::Usage, what, next)
    }

    /// What was asked for is not there, and what to do.
    pub fn missing(what: impl AsRef<str>, next: impl AsRef<str>) -> Self {
        Self::with(ExitCode::Unchanged, what, next)
    }

    /// It failed and nothing was changed.
    pub fn unchanged(what: impl AsRef<str>) -> Self {
        Self { code: ExitCode::Unchanged, text: format!("error: {}", what.as_ref()) }
    }

    /// What is true afterwards, what failed, and what to do.
    pub fn with(code: ExitCode, what: impl AsRef<str>, next: impl AsRef<str>) -> Self {
        Self { code, text: format!("error: {}\n next: {}", what.as_ref(), next.as_ref()) }
    }

    /// What failed, why, and what to do.
    pub fn because(
        code: ExitCode,
        what: impl AsRef<str>,
        cause: impl AsRef<str>,
        next: impl AsRef<str>,
    ) -> Self {
        let (what, cause, next) = (what.as_ref(), cause.as_ref(), next.as_ref());
        if cause.trim().is_empty() {
            return Self::with(code, what, next);
        }
        Self { code, text: format!("error: {what}\ncause: {cause}\n next: {next}") }
    }

    /// Several things failed and each was printed; the worst exit code is used.
    pub fn summary(code: ExitCode, what: impl AsRef<str>) -> Self {
        Self { code, text: format!("error: {}", what.as_ref()) }
    }

    /// The exit code.
    pub const fn code(&self) -> ExitCode {
        self.code
    }

    /// The lines.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Prints the lines and returns the exit code.
    pub fn print(&self) -> process::ExitCode {
        message!("{}", self.text);
        process::ExitCode::from(self.code as u8)
    }

    fn of(error: &dyn OperatorError, is_config: bool) -> Self {
        let code = if is_config { ExitCode::Usage } else { ExitCode::Unchanged };
        Self { code, text: report(error) }
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        Self { code: error.exit_code(), text: report(&error) }
    }
}

impl From<NoRemountJob> for Failure {
    fn from(error: NoRemountJob) -> Self {
        Self::of(&error, true)
    }
}

impl From<remount_store::Error> for Failure {
    fn from(error: remount_store::Error) -> Self {
        use remount_store::Error::{Config, NotMounted};
        Self::of(&error, matches!(error, Config(_) | NotMounted { .. }))
    }
}

impl From<remount_director::Error> for Failure {
    fn from(error: remount_director::Error) -> Self {
        Self::of(&error, matches!(error, remount_director::Error::Config(_)))
    }
}

impl From<remount_postgres::Error> for Failure {
    fn from(error: remount_postgres::Error) -> Self {
        Self::of(&error, matches!(error, remount_postgres::Error::Config(_)))
    }
}

impl From<remount_cloud::Error> for Failure {
    fn from(error: remount_cloud::Error) -> Self {
        Self::of(
            &error,
            matches!(error, remount_cloud::Error::Refused { .. } | remount_cloud::Error::NoAdapter { .. }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_printed_that_says_nothing() {
        let failure = Failure::because(ExitCode::Unchanged, "a", "", "b");
        assert_eq!(failure.text(), "error: a\n next: b");
        let failure = Failure::because(ExitCode::Unchanged, "a", "c", "b");
        assert_eq!(failure.text(), "error: a\ncause: c\n next: b");
    }
}

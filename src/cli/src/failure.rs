//! How a command fails: three lines for the operator and an exit code for the pipeline.

use std::process;

use remount_core::{ExitCode, report};
use remount_flow::FlowError;

/// A command failed.
#[derive(Debug)]
pub struct Failure {
    code: ExitCode,
    text: String,
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(what: impl AsRef<str>, next: impl AsRef<str>) -> Self {
        let text = format!("error: {}\n next: {}", what.as_ref(), next.as_ref());
        Self { code: ExitCode::Usage, text }
    }

    /// Nothing was changed.
    pub fn unchanged(what: impl AsRef<str>) -> Self {
        Self { code: ExitCode::Unchanged, text: format!("error: {}", what.as_ref()) }
    }

    /// What was asked for is not there.
    pub fn missing(what: impl AsRef<str>, next: impl AsRef<str>) -> Self {
        let text = format!("error: {}\n next: {}", what.as_ref(), next.as_ref());
        Self { code: ExitCode::Unchanged, text }
    }

    /// Several things failed; the worst code stands for all, each text was printed already.
    pub fn worst(code: ExitCode, what: impl AsRef<str>) -> Self {
        Self { code, text: format!("error: {}", what.as_ref()) }
    }

    /// The exit code.
    pub const fn code(&self) -> ExitCode {
        self.code
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Prints it.
    pub fn report(&self) -> process::ExitCode {
        eprintln!("{}", self.text);
        process::ExitCode::from(self.code as u8)
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        Self { code: error.exit_code(), text: report(&error) }
    }
}

impl From<remount_store::Error> for Failure {
    fn from(error: remount_store::Error) -> Self {
        Self { code: code_of(matches!(error, remount_store::Error::Config(_))), text: report(&error) }
    }
}

impl From<remount_director::Error> for Failure {
    fn from(error: remount_director::Error) -> Self {
        Self { code: code_of(matches!(error, remount_director::Error::Config(_))), text: report(&error) }
    }
}

impl From<remount_postgres::Error> for Failure {
    fn from(error: remount_postgres::Error) -> Self {
        Self { code: code_of(matches!(error, remount_postgres::Error::Config(_))), text: report(&error) }
    }
}

impl From<remount_cloud::Error> for Failure {
    fn from(error: remount_cloud::Error) -> Self {
        Self { code: ExitCode::Unchanged, text: report(&error) }
    }
}

const fn code_of(is_config: bool) -> ExitCode {
    if is_config { ExitCode::Usage } else { ExitCode::Unchanged }
}

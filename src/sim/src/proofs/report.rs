//! What was found in each case.

use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Column, Outcome};

/// What was found in each case.
#[derive(Default, Serialize)]
pub struct Report {
    /// Row by row.
    pub cases: Vec<ProofCase>,
}

/// One step, broken in one way.
#[derive(Serialize)]
pub struct ProofCase {
    flow: &'static str,
    step: &'static str,
    column: Column,
    outcome: Outcome,
    /// What was not as it must be.
    violation: Option<String>,
}

impl ProofCase {
    /// Waits for a case; a panic in it is a violation.
    pub async fn of(
        flow: &'static str,
        step: &'static str,
        column: Column,
        case: JoinHandle<Outcome>,
    ) -> Self {
        let (outcome, violation) = match case.await {
            Ok(outcome) => (outcome, None),
            Err(error) => (Outcome::Violation, Some(said(error))),
        };
        Self { flow, step, column, outcome, violation }
    }
}

impl Report {
    /// The promises that were broken, one sentence each.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let wrong = self.cases.iter().filter(|case| case.outcome == Outcome::Violation);
        let line = |case: &ProofCase| {
            let said = case.violation.as_deref().unwrap_or_default();
            format!("{} {} × {:?}: {said}", case.flow, case.step, case.column)
        };
        wrong.map(line).collect()
    }

    /// One line per step, one letter per column.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![Column::legend(), Outcome::legend()];
        let mut row = ("", "");
        for case in &self.cases {
            if row != (case.flow, case.step) {
                row = (case.flow, case.step);
                lines.push(format!("{:<8}{:<15}", case.flow, case.step));
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(&format!("  {}", case.outcome.letter()));
            }
        }
        lines.join("\n")
    }
}

fn said(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "it panicked".into()),
        Err(error) => error.to_string(),
    }
}

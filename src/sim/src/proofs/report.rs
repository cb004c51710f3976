//! What was found in each cell.

use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Column, Outcome};

/// What was found in each cell.
#[derive(Default, Serialize)]
pub struct Report {
    /// Row by row.
    pub cells: Vec<Cell>,
}

/// One step, broken in one way.
#[derive(Serialize)]
pub struct Cell {
    flow: &'static str,
    step: &'static str,
    column: Column,
    outcome: Outcome,
    /// What was not as it must be.
    violation: Option<String>,
}

impl Cell {
    /// Waits for a cell; a panic in it is a violation.
    pub async fn of(
        flow: &'static str,
        step: &'static str,
        column: Column,
        cell: JoinHandle<Outcome>,
    ) -> Self {
        let (outcome, violation) = match cell.await {
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
        let wrong = self.cells.iter().filter(|cell| cell.outcome == Outcome::Violation);
        let line = |cell: &Cell| {
            let said = cell.violation.as_deref().unwrap_or_default();
            format!("{} {} × {:?}: {said}", cell.flow, cell.step, cell.column)
        };
        wrong.map(line).collect()
    }

    /// One line per step, one letter per column.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![Column::legend(), Outcome::legend()];
        let mut row = ("", "");
        for cell in &self.cells {
            if row != (cell.flow, cell.step) {
                row = (cell.flow, cell.step);
                lines.push(format!("{:<8}{:<15}", cell.flow, cell.step));
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(&format!("  {}", cell.outcome.letter()));
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

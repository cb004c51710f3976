//! What a trial did and found.

use serde::{Deserialize, Serialize};

/// One act.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialEvent {
    /// Its number.
    pub n: usize,
    /// When it began.
    pub at_seconds: f64,
    /// What was done.
    pub what: String,
    /// The commands that did it.
    pub commands: Vec<String>,
    /// What came of it.
    pub outcome: String,
    /// What must not be.
    pub violations: Vec<String>,
}

/// A whole trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialReport {
    /// What chose the acts.
    pub seed: u64,
    /// How long it went on.
    pub seconds: f64,
    /// The transactions that were acknowledged.
    pub acknowledged: usize,
    /// The restores that ended restored.
    pub restored: usize,
    /// The restores that ended as the cluster was.
    pub as_before: usize,
    /// Every act, in order.
    pub events: Vec<TrialEvent>,
}

impl TrialReport {
    /// Whether a promise was broken.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.events.iter().any(|event| !event.violations.is_empty())
    }

    /// What happened, and where a promise was broken what to type to see it again.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines: Vec<String> = self.events.iter().map(line).collect();
        lines.push(format!(
            "seed {}: {} acts in {:.0} s, {} transactions acknowledged, {} restored, {} as before",
            self.seed,
            self.events.len(),
            self.seconds,
            self.acknowledged,
            self.restored,
            self.as_before
        ));
        for event in self.events.iter().filter(|event| !event.violations.is_empty()) {
            lines.push(format!("VIOLATED in act {}:", event.n));
            lines.extend(event.violations.iter().map(|what| format!("  {what}")));
            lines.push("commands:".into());
            // What it began from, and the act itself.
            let backup = self.events.iter().rev().filter(|other| other.n < event.n);
            let backup = backup.into_iter().find(|other| other.what.contains("backup"));
            let commands = backup.into_iter().chain([event]).flat_map(|event| &event.commands);
            lines.extend(commands.map(|command| format!("  {command}")));
            lines.push(format!("  remount-lab trial --seed {} --keep", self.seed));
        }
        lines.join("\n")
    }
}

/// An act on a line.
pub fn line(event: &TrialEvent) -> String {
    let verdict = if event.violations.is_empty() { "" } else { "  VIOLATED" };
    format!("[{:>3}] {:>6.1} s  {:<60}  {}{verdict}", event.n, event.at_seconds, event.what, event.outcome)
}

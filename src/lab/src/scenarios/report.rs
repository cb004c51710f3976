//! What `scripts/demo --report FILE` writes, and the table it prints.

use serde::{Deserialize, Serialize};

/// The demo's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoReport {
    /// The rows that had to be there, and those that were.
    pub ledger: LedgerReport,
    /// The restore by swapped disks.
    pub swap: SwapReport,
    /// The restore the old way.
    pub copy: CopyReport,
    /// How many times longer the old way kept the database away.
    pub ratio: f64,
    /// What was estimated before the restore.
    pub estimate_seconds: f64,
    /// Bytes on the data disk.
    pub data_bytes: u64,
    /// Bytes of WAL between the backup's start and the instant: what both had to replay.
    pub wal_bytes: i64,
}

/// Rows of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// Committed by the instant, by the server's own commit timestamps.
    pub expected: i64,
    /// On the restored primary.
    pub primary: i64,
    /// On its standby.
    pub standby: i64,
}

/// The restore by swapped disks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwapReport {
    /// Seconds without a serving primary, as the restore measured them.
    pub downtime_seconds: f64,
    /// The same of every restore, ascending, where there were several: the report is of the median.
    pub all_downtimes_seconds: Vec<f64>,
    /// Remount's own share of it: all that is neither the Director's task time nor PostgreSQL's.
    pub own_seconds: f64,
    /// Every step of the restore, those while the database served too.
    pub steps: Vec<StepTime>,
}

/// One step of a restore.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepTime {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether the database was away meanwhile.
    pub downtime: bool,
}

/// The restore the old way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CopyReport {
    /// Seconds without a serving primary.
    pub downtime_seconds: f64,
    /// Its steps.
    pub steps: Vec<StepTime>,
}

impl DemoReport {
    /// Both restores side by side, for a terminal of 80 columns.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines =
            vec![String::new(), format!("{:<34}{:>14}{:>16}", "downtime (seconds)", "swap", "copy back")];
        let steps =
            |steps: &[StepTime]| steps.iter().filter(|step| step.downtime).cloned().collect::<Vec<_>>();
        for step in steps(&self.swap.steps) {
            lines.push(format!("  {:<32}{:>14.2}", step.name, step.seconds));
        }
        for step in steps(&self.copy.steps) {
            lines.push(format!("  {:<32}{:>14}{:>16.2}", step.name, "", step.seconds));
        }
        let total = (self.swap.downtime_seconds, self.copy.downtime_seconds);
        lines.push(format!("  {:<32}{:>14.2}{:>16.2}", "total", total.0, total.1));
        lines.push(format!("  {:<32}{:>14.2}", "estimated before", self.estimate_seconds));
        lines.push(format!("  {:<32}{:>14.1}", "times shorter", self.ratio));
        let LedgerReport { expected, primary, standby } = self.ledger;
        lines.push(format!(
            "rows committed by the instant: {expected}; restored: primary {primary}, standby {standby}"
        ));
        lines.push(format!(
            "{} MiB of data, {} MiB of WAL to replay",
            self.data_bytes >> 20,
            self.wal_bytes >> 20
        ));
        lines.join("\n")
    }
}

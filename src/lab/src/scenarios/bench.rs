//! `cargo xtask bench restore`: the same restore at several sizes of database, by swapped disks and by copying
//! back, in one run on one machine. What is compared is the downtime; the limits are those of the issue.

use std::num::NonZeroU8;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::demo::Demo;
use super::report::DemoReport;

/// The largest database may keep the swap at most this many times longer than the smallest.
const GROWTH_LIMIT: f64 = 1.1;
/// Remount's own share of the downtime, in seconds, at most.
const OWN_LIMIT_SECONDS: f64 = 1.0;
/// The swap is at least this many times shorter than the copy, at the largest size.
const RATIO_LIMIT: f64 = 25.0;

/// Restores per size: the median keeps one stray second of the machine out of a ratio of two.
const RESTORES: NonZeroU8 = NonZeroU8::new(3).expect("3 is not 0");

/// What to measure.
#[derive(Clone, Debug)]
pub struct Bench {
    /// This program.
    pub program: PathBuf,
    /// Where the landscapes go, one after the other.
    pub dir: PathBuf,
    /// Sizes of database, in GiB, ascending.
    pub sizes_gib: Vec<u32>,
}

/// One size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Size of the database, in GiB.
    pub data_gib: u32,
    /// What the demo reported.
    pub report: DemoReport,
}

/// All sizes, and whether the limits hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchReport {
    /// One row per size.
    pub rows: Vec<Row>,
    /// Downtime of the swap at the largest size over that at the smallest.
    pub growth: f64,
    /// The largest own share of a downtime, in seconds.
    pub own_seconds: f64,
    /// Copy over swap at the largest size.
    pub ratio: f64,
    /// Limits that do not hold; empty is good.
    pub violations: Vec<String>,
}

impl Bench {
    /// Measures.
    ///
    /// # Errors
    /// A restore failed, or no size was given.
    pub async fn run(&self) -> Result<BenchReport> {
        ensure!(!self.sizes_gib.is_empty(), "no size was given");
        let mut rows = Vec::new();
        for &data_gib in &self.sizes_gib {
            let dir = self.dir.join(format!("{data_gib}-gib"));
            let demo = Demo {
                program: self.program.clone(),
                dir,
                data_gib,
                restores: RESTORES,
                keep: false,
                packages: None,
            };
            rows.push(Row { data_gib, report: demo.run().await? });
        }
        Ok(BenchReport::of(rows))
    }
}

impl BenchReport {
    fn of(rows: Vec<Row>) -> Self {
        let swap = |row: Option<&Row>| row.map_or(0.0, |row| row.report.swap.downtime_seconds);
        let growth = swap(rows.last()) / swap(rows.first()).max(f64::EPSILON);
        let ratio = rows.last().map_or(0.0, |row| row.report.ratio);
        let own_seconds = rows.iter().map(|row| row.report.swap.own_seconds).fold(0.0, f64::max);
        let mut violations = Vec::new();
        let mut limit = |holds: bool, text: String| {
            if !holds {
                violations.push(text);
            }
        };
        limit(
            growth <= GROWTH_LIMIT,
            format!("the swap grows {growth:.2} times with the data (limit {GROWTH_LIMIT})"),
        );
        limit(
            own_seconds <= OWN_LIMIT_SECONDS,
            format!("Remount's own share is {own_seconds:.2} s (limit {OWN_LIMIT_SECONDS})"),
        );
        limit(
            ratio >= RATIO_LIMIT,
            format!("the swap is {ratio:.1} times shorter than the copy (limit {RATIO_LIMIT})"),
        );
        Self { rows, growth, own_seconds, ratio, violations }
    }

    /// A table for a terminal of 80 columns.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!(
            "{:>8}{:>10}{:>14}{:>14}{:>14}{:>12}",
            "GiB", "WAL MiB", "swap s", "own share s", "copy s", "ratio"
        )];
        for Row { data_gib, report } in &self.rows {
            let (swap, copy) = (report.swap.downtime_seconds, report.copy.downtime_seconds);
            let own = report.swap.own_seconds;
            let wal = report.wal_bytes >> 20;
            lines.push(format!(
                "{data_gib:>8}{wal:>10}{swap:>14.2}{own:>14.2}{copy:>14.2}{:>12.1}",
                report.ratio
            ));
        }
        lines.push(format!(
            "the swap's downtime grows {:.2} times from the smallest to the largest",
            self.growth
        ));
        lines.extend(self.violations.iter().map(|violation| format!("VIOLATION: {violation}")));
        lines.join("\n")
    }
}

//! The demo of a failure: the same restore, but one of its steps fails for good. The database comes back by
//! itself as it was before the restore, or, where the restored one serves already, the restore waits.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::cluster::{Cluster, EndState};
use super::injected_fault::{FaultyRestore, InjectedFault};
use super::landscape::Landscape;
use super::ledger::Writer;
use super::output::progress;
use remount_flow::RestoreStep;

/// A restore with its rollback takes no longer.
const RESTORE_LIMIT: Duration = Duration::from_secs(600);
/// Rows per second that the ledger's writer tries.
const ROWS_PER_SECOND: u32 = 100;

/// What became of a restore that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailureReport {
    /// The step that failed.
    pub step: String,
    /// The exit code of the restore: 3 undone, 4 held.
    pub exit_code: i32,
    /// The longest time between two commits that the ledger's writer had acknowledged.
    pub away_seconds: f64,
    /// Whether the database is as before the restore; else the restore was held, and resumed.
    pub rolled_back: bool,
}

/// What `scripts/demo --fail-at STEP --report FILE` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailedDemoReport {
    /// What became of it.
    pub failure: FailureReport,
}

/// Tells it on a landscape whose database is filled.
///
/// # Errors
/// The first thing that was not as it must be.
pub async fn fail_at(lab: Landscape, step: RestoreStep) -> Result<FailureReport> {
    let cluster = Cluster::open(lab).await?;
    progress("a ledger writer begins; it never stops from here on");
    let writer = Writer::start(cluster.primary.clone(), ROWS_PER_SECOND);
    writer.next_row(Duration::from_secs(10)).await?;
    progress("backing up");
    cluster.lab.lab(&["run-errand", "backup"]).await?.success().context("run the errand backup")?;
    let noted = cluster.note("the rows of a faulty release").await?;
    progress(&format!("DISASTER after {}: a faulty release writes wrong rows", noted.instant));
    cluster.await_good().await?;
    writer.forget_observations().await;

    let name = step.as_str();
    progress(&format!("restoring to the instant before; step `{name}` is going to fail for good"));
    let fault = InjectedFault::failing(&cluster, step);
    let mut restore_run = FaultyRestore::begin(&cluster, &noted.instant.to_string(), &fault, true).await?;
    let restore = restore_run.restore.clone();
    let failed = restore_run.process.end(RESTORE_LIMIT).await?;
    restore_run.mend().await?;
    progress(&format!("the restore ended with exit code {}", failed.code));
    let expected = if step.only_forward() { 4 } else { 3 };
    ensure!(failed.code == expected, "exit code {} instead of {expected}", failed.code);
    ensure!(failed.text().contains(name), "the failed step is not named");
    if step.only_forward() {
        resume(&cluster, &restore).await?;
    }
    let state = cluster.end_state(&noted, &writer).await?;
    let observed = writer.stop().await;
    let rolled_back = state == EndState::AsBefore;
    ensure!(rolled_back != step.only_forward(), "the database is {state:?}");
    report(rolled_back, observed.longest_gap);
    Ok(FailureReport {
        step: name.to_owned(),
        exit_code: failed.code,
        away_seconds: observed.longest_gap.as_secs_f64(),
        rolled_back,
    })
}

async fn resume(cluster: &Cluster, restore: &str) -> Result<()> {
    progress(&format!("the fault is removed; resuming: remount resume {restore}"));
    let resumed = cluster.lab.remount(&["resume", restore]).await?;
    eprint!("{}", resumed.stderr);
    resumed.success().context("resume the restore").map(drop)
}

fn report(rolled_back: bool, away: Duration) {
    let rows =
        if rolled_back { "every acknowledged row is there" } else { "exactly the instant's rows are there" };
    progress(&format!("verified: {rows}, on the primary and on its standby, which streams"));
    progress(&format!("the database was away for {:.2} s", away.as_secs_f64()));
}

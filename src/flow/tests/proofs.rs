//! The proofs: every step of backup and of restore, in every way that it can go wrong. Each cell is a world of
//! its own; after it an independent look says whether the cluster is restored and verified, or as it was, with
//! every row, disk, snapshot, lease and journal accounted for. `cargo xtask proofs` prints the matrix;
//! `REMOUNT_PROOFS_JSON` names a file for it.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what it did not expect")]

mod matrix;
mod stage;

use futures_util::stream::{self, StreamExt as _};
use matrix::cell::Column;
use matrix::{Cell, Report, backup, restore};

/// Cells that run beside each other: most of a cell's time is waiting for a deadline.
const BESIDE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_in_every_way_ends_restored_or_as_before() {
    let restores = restore::ROWS.iter().flat_map(|row| Column::ALL.map(|column| (row, column)));
    let restores = restores.map(async |(row, column)| {
        Cell::of("restore", row.step, column, tokio::spawn(restore::prove(*row, column))).await
    });
    let backups = backup::ROWS.iter().flat_map(|row| Column::ALL.map(|column| (row, column)));
    let backups = backups.map(async |(row, column)| {
        Cell::of("backup", row.step, column, tokio::spawn(backup::prove(*row, column))).await
    });
    let mut report = Report::default();
    report.cells.extend(stream::iter(restores).buffered(BESIDE).collect::<Vec<_>>().await);
    report.cells.extend(stream::iter(backups).buffered(BESIDE).collect::<Vec<_>>().await);
    println!("{}", report.table());
    if let Ok(file) = std::env::var("REMOUNT_PROOFS_JSON") {
        std::fs::write(&file, serde_json::to_string_pretty(&report).unwrap()).unwrap();
    }
    assert!(report.violations().is_empty(), "violations:\n{}", report.violations().join("\n"));
}

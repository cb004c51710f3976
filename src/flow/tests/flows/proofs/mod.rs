//! The proofs of backup and restore: every step, in every way that it can go wrong (`remount_sim::proofs`).
//! `cargo xtask proofs` prints the table of cases; `REMOUNT_PROOFS_JSON` names a file for it.

mod backup;
mod restore;

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt as _};
use remount_sim::proofs::{Column, ProofCase, Report, Subject, prove};

/// Cases that run beside each other: most of a case's time is waiting for a deadline.
const BESIDE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_in_every_way_ends_restored_or_as_before() {
    let mut report = Report::default();
    report.cases.extend(proved::<restore::RestoreProof>().await);
    report.cases.extend(proved::<backup::BackupProof>().await);
    println!("{}", report.table());
    if let Ok(file) = std::env::var("REMOUNT_PROOFS_JSON") {
        std::fs::write(&file, serde_json::to_string_pretty(&report).unwrap()).unwrap();
    }
    assert!(report.violations().is_empty(), "violations:\n{}", report.violations().join("\n"));
}

/// How each case's cloud lags: another seed for each, from the one that `REMOUNT_SEED` gives.
fn seed() -> u64 {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let given = std::env::var("REMOUNT_SEED").ok().and_then(|seed| seed.parse::<u64>().ok()).unwrap_or(0);
    given.wrapping_mul(1 << 32) + CASES.fetch_add(1, Ordering::Relaxed)
}

async fn proved<S: Subject>() -> Vec<ProofCase> {
    let cases = S::rows().into_iter().flat_map(|row| Column::ALL.map(|column| (row, column)));
    let cases = cases.map(async |(row, column)| {
        ProofCase::of(S::FLOW, row.step, column, tokio::spawn(prove::<S>(row, column))).await
    });
    stream::iter(cases).buffered(BESIDE).collect().await
}

//! Scenarios on a landscape, through the commands that an operator types: the demo and the benchmarks.

mod bench;
mod bench_programs;
mod cluster;
mod copy_back;
mod demo;
mod fail_at;
mod fill;
mod injected_fault;
mod landscape;
pub mod ledger;
mod lost_answer;
mod output;
mod pgbench;
mod proofs;
mod remount_process;
mod report;
mod signed;
pub(crate) mod step;
mod trial;

pub use bench::{Bench, BenchReport};
pub use bench_programs::{ProgramsBench, ProgramsReport};
pub use cluster::{Cluster, EndState, Noted};
pub use copy_back::{CopyBack, await_writable};
pub use demo::{Demo, write_report};
pub use fail_at::{FailedDemoReport, FailureReport};
pub use fill::fill;
pub use injected_fault::{FaultyRestore, InjectedFault};
pub use landscape::{DeploymentStatus, InstanceStatus, Landscape, Ran, Status};
pub use pgbench::Pgbench;
pub use proofs::{Breakage, CaseReport, Outcome, Proofs, ProofsReport};
pub use remount_process::RemountProcess;
pub use report::{CopyReport, DemoReport, LedgerReport, StepTime, SwapReport};
pub use signed::signed_document;
pub use trial::{Trial, TrialEvent, TrialReport};

//! Stories told on a landscape, through the commands that an operator types: the demo and the benchmarks.

mod bench;
mod bench_programs;
mod cluster;
mod copy_back;
mod demo;
mod driver;
mod fail_at;
mod fill;
mod landscape;
pub mod ledger;
mod lost_answer;
mod pgbench;
mod proofs;
mod report;
pub(crate) mod step;
mod trouble;

pub use bench::{Bench, BenchReport};
pub use bench_programs::{ProgramsBench, ProgramsReport};
pub use cluster::{Cluster, EndState, Noted};
pub use copy_back::{CopyBack, await_writable};
pub use demo::{Demo, write_report};
pub use driver::Driver;
pub use fail_at::{FailedDemoReport, FailureReport};
pub use fill::fill;
pub use landscape::{DeploymentStatus, InstanceStatus, Landscape, Ran, Status};
pub use pgbench::Pgbench;
pub use proofs::{Cell, Outcome, Proofs, ProofsReport, Way};
pub use report::{CopyReport, DemoReport, LedgerReport, StepTime, SwapReport};
pub use trouble::{Trouble, Troubled};

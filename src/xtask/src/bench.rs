//! `cargo xtask bench NAME`: the measurements that the README quotes.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::command::{cargo, succeeds};
use crate::workspace::Workspace;

/// Which measurement, and how it is built.
#[derive(Args)]
pub(crate) struct Bench {
    /// What to measure
    name: BenchName,
    /// Builds without optimisation: for working on the measurement itself
    #[arg(long)]
    dev: bool,
    /// Passed on to the measurement (after `--`)
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The measurements.
#[derive(Clone, Copy, ValueEnum)]
enum BenchName {
    /// Downtime of a restore: swapped disks against copied data
    Restore,
    /// Start of `remount-wal`, memory of `remount-agent`
    Programs,
}

impl Bench {
    /// Builds every program (the measurement starts them) and runs it in the lab.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        let profile: &[&str] = if self.dev { &[] } else { &["--release"] };
        let built =
            succeeds(cargo(workspace).args(["build", "--workspace", "--bins", "--locked"]).args(profile))?;
        if !built {
            return Ok(ExitCode::FAILURE);
        }
        let [package, name] = match self.name {
            BenchName::Restore => ["remount-lab", "restore"],
            BenchName::Programs => ["remount-lab", "programs"],
        };
        let mut run = cargo(workspace);
        run.args(["run", "--quiet", "--locked", "--package", package, "--bin", package]).args(profile);
        let passed = succeeds(run.args(["--", "bench", name]).args(&self.arguments))?;
        Ok(ExitCode::from(u8::from(!passed)))
    }
}

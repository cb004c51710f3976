//! `remount-lab demo` and `remount-lab bench`.

use std::num::NonZeroU8;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::folder::Folder;
use crate::scenarios::step::{self, FailAt};
use crate::scenarios::{Bench, Demo, FailedDemoReport, ProgramsBench, write_report};

/// The demo.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Size of the database, in GiB.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    data_gib: u32,
    /// Write the outcome here, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Leave the landscape up at the end.
    #[arg(long)]
    keep: bool,
    /// Run on these compiled packages (see `remount-lab up --packages`).
    #[arg(long, value_name = "DIR", value_parser = super::existing_dir)]
    packages: Option<PathBuf>,
    /// Let this step of the restore fail for good, and show what becomes of the database; `help` lists the steps.
    #[arg(long, value_name = "STEP", value_parser = step::parser())]
    fail_at: Option<FailAt>,
}

impl DemoArguments {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        if self.fail_at == Some(FailAt::Help) {
            print!("{}", step::list());
            return Ok(());
        }
        let demo = Demo {
            program: std::env::current_exe().context("find this program")?,
            dir: folder.0.clone(),
            data_gib: self.data_gib,
            restores: NonZeroU8::MIN,
            keep: self.keep,
            packages: self.packages.clone(),
        };
        if let Some(FailAt::Step(step)) = self.fail_at {
            let failure = super::runtime()?.block_on(demo.run_failing(step))?;
            let report = FailedDemoReport { failure };
            return self.report.as_deref().map_or(Ok(()), |file| write_report(&report, file));
        }
        let report = super::runtime()?.block_on(demo.run())?;
        println!("{}", report.table());
        self.report.as_deref().map_or(Ok(()), |file| write_report(&report, file))
    }
}

/// A benchmark.
#[derive(Debug, Args)]
pub(super) struct BenchArguments {
    #[command(subcommand)]
    what: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Restores by swapped disks and by copying back, at several sizes.
    Restore {
        /// Sizes of database, in GiB, ascending.
        #[arg(long, value_delimiter = ',', default_value = "1,8,16")]
        sizes: Vec<u32>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// How soon `remount-wal` asks the store, and what `remount-agent` has resident.
    Programs {
        /// Print JSON instead of lines.
        #[arg(long)]
        json: bool,
    },
}

impl BenchArguments {
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        let program = std::env::current_exe().context("find this program")?;
        let dir = folder.0.clone();
        match &self.what {
            Benchmark::Restore { sizes, json } => {
                let bench = Bench { program, dir, sizes_gib: sizes.clone() };
                let report = super::runtime()?.block_on(bench.run())?;
                told(&report, &report.table(), &report.violations, *json)
            }
            Benchmark::Programs { json } => {
                let report = super::runtime()?.block_on(ProgramsBench { program, dir }.run())?;
                told(&report, &report.table(), &report.violations, *json)
            }
        }
    }
}

/// Prints a report; the exit code is 1 where a limit does not hold.
fn told(report: &impl Serialize, table: &str, violations: &[String], json: bool) -> Result<u8> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{table}");
    }
    Ok(u8::from(!violations.is_empty()))
}

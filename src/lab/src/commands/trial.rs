//! `remount-lab trial`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::folder::Folder;
use crate::scenarios::Trial;

/// The ledger trial.
#[derive(Debug, Args)]
pub(super) struct TrialArguments {
    /// How long, in minutes; the act that is on its way then is the last.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// What chooses the acts; without it one is thrown, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave the landscape up where a promise was broken.
    #[arg(long)]
    keep: bool,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
}

impl TrialArguments {
    /// The exit code is 1 where a promise was broken.
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        let trial = Trial {
            program: std::env::current_exe().context("find this program")?,
            dir: folder.0.clone(),
            lasts: Duration::from_secs(60 * self.minutes),
            seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            keep: self.keep,
        };
        eprintln!("seed {}", trial.seed);
        let report = super::runtime()?.block_on(trial.run())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{}", report.table());
        }
        Ok(u8::from(report.is_violated()))
    }
}

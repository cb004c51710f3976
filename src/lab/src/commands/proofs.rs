//! `remount-lab proofs`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::folder::Folder;
use crate::scenarios::{Proofs, write_report};

/// The table of cases: every broken step.
#[derive(Debug, Args)]
pub(super) struct ProofsArguments {
    /// Write all cases here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only a few cases, in a few minutes.
    #[arg(long)]
    sample: bool,
    /// Only cases whose name contains this, as "restore rejoin" or "killed".
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl ProofsArguments {
    /// The exit code is 1 where a promise was broken.
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        let proofs = Proofs {
            program: std::env::current_exe().context("find this program")?,
            dir: folder.0.clone(),
            sample: self.sample,
            only: self.only.clone(),
        };
        let report = super::runtime()?.block_on(proofs.run())?;
        println!("{}", report.table());
        if let Some(file) = &self.json {
            write_report(&report, file)?;
        }
        Ok(u8::from(report.is_violated()))
    }
}

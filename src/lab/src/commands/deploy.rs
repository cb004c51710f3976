//! `remount-lab manifest` and `remount-lab deploy`: a deployment read, changed and deployed again, as with `bosh`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::bosh::Bosh;
use crate::folder::Folder;

/// Prints a manifest.
#[derive(Debug, Args)]
pub(super) struct Manifest {
    /// The deployment
    deployment: String,
}

impl Manifest {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        println!("{}", Bosh::new(&folder.access()?)?.manifest(&self.deployment)?);
        Ok(())
    }
}

/// Deploys a manifest.
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// The manifest, as `remount-lab manifest` printed it and you have changed it
    manifest: PathBuf,
    /// Recreate every VM
    #[arg(long)]
    recreate: bool,
    /// Recreate the VMs whose agents do not answer
    #[arg(long)]
    fix: bool,
}

impl Deploy {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let path = self.manifest.display();
        let text = fs::read_to_string(&self.manifest).with_context(|| format!("read {path}"))?;
        let query = format!("?recreate={}&fix={}", self.recreate, self.fix);
        let end = Bosh::new(&folder.access()?)?.deploy(&text, &query)?;
        println!("task {}: {}", end.id, end.message);
        Ok(())
    }
}

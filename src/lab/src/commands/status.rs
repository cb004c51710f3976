//! `remount-lab status`: what is where.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::instance::instances;
use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::folder::Folder;

/// What is where.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let access = folder.access()?;
        let bosh = Bosh::new(&access)?;
        let mut deployments = Vec::new();
        for name in bosh.deployments()? {
            let instances = instances(&bosh, &name)?;
            deployments.push((name, instances));
        }
        if self.json {
            let list: Vec<_> = deployments
                .iter()
                .map(|(name, instances)| json!({"name": name, "instances": instances}))
                .collect();
            let status = json!({"director": access.url, "dir": folder.0, "deployments": list});
            println!("{}", serde_json::to_string_pretty(&status)?);
            return Ok(());
        }
        println!("Director {}   folder {}", access.url, folder.0.display());
        for (name, instances) in deployments {
            for i in instances {
                let (state, disk) =
                    (i.job_state.unwrap_or_else(|| "no VM".into()), i.disk.unwrap_or_default());
                println!(
                    "{:<28} {:<10} {:<4} {:<15} {disk}",
                    format!("{name}/{}/{}", i.group, i.index),
                    state,
                    i.az.unwrap_or_default(),
                    i.ip
                );
            }
        }
        Ok(())
    }
}

/// Prints the customer's password.
#[derive(Debug, Args)]
pub(super) struct SecretOf {
    /// The cluster's deployment.
    deployment: String,
}

impl SecretOf {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let deployment = self.deployment.clone();
        println!("{}", control::ask(&folder.socket(), &Request::AppPassword { deployment })?);
        Ok(())
    }
}

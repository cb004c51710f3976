//! Instances by the name an operator types, and what can be done to them through the Director.

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::folder::Folder;

/// An instance, as the Director shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) deployment: String,
    pub(super) group: String,
    pub(super) id: String,
    pub(super) index: u32,
    pub(super) az: Option<String>,
    pub(super) ip: String,
    pub(super) vm: Option<String>,
    pub(super) disk: Option<String>,
    pub(super) job_state: Option<String>,
    pub(super) state: Option<String>,
}

/// Every instance of a deployment, by the Director.
pub(super) fn instances(bosh: &Bosh, deployment: &str) -> Result<Vec<Instance>> {
    let lines = bosh.instances(deployment)?;
    let mut instances: Vec<Instance> = lines.iter().map(|line| of(deployment, line)).collect();
    instances.sort_by(|a, b| (&a.group, a.index).cmp(&(&b.group, b.index)));
    Ok(instances)
}

fn of(deployment: &str, line: &Value) -> Instance {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    Instance {
        deployment: deployment.to_owned(),
        group: text("job_name").unwrap_or_default(),
        id: text("id").unwrap_or_default(),
        index: line["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or_default(),
        az: text("az"),
        ip: line["ips"][0].as_str().unwrap_or_default().to_owned(),
        vm: text("vm_cid"),
        disk: text("disk_cid"),
        job_state: text("job_state"),
        state: text("state"),
    }
}

/// The instance `deployment/group/index-or-id`.
pub(super) fn find(bosh: &Bosh, name: &str) -> Result<Instance> {
    let parts: Vec<&str> = name.split('/').collect();
    let [deployment, group, which] = parts[..] else {
        bail!("`{name}` names no instance: write DEPLOYMENT/GROUP/INDEX, as pg-0001/postgres/0");
    };
    let all = instances(bosh, deployment)?;
    let found = all.into_iter().find(|i| i.group == group && (i.id == which || i.index.to_string() == which));
    found.with_context(|| format!("there is no instance {name}: `remount-lab status` shows them"))
}

/// Stops an instance.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
    /// Delete its VM too.
    #[arg(long)]
    hard: bool,
}

impl Stop {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        act(folder, &self.instance, if self.hard { "stop?hard=true" } else { "stop" })
    }
}

/// Starts an instance.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
}

impl Start {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        act(folder, &self.instance, "start")
    }
}

/// Restarts an instance.
#[derive(Debug, Args)]
pub(super) struct Restart {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
}

impl Restart {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        act(folder, &self.instance, "restart")
    }
}

/// Makes an instance's VM anew.
#[derive(Debug, Args)]
pub(super) struct Recreate {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
}

impl Recreate {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        act(folder, &self.instance, "recreate")
    }
}

/// Does what the health monitor does about a silent agent.
#[derive(Debug, Args)]
pub(super) struct Resurrect {
    /// DEPLOYMENT/GROUP/INDEX
    instance: String,
}

impl Resurrect {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let bosh = Bosh::new(&folder.access()?)?;
        let instance = find(&bosh, &self.instance)?;
        let end = bosh.scan_and_fix(&instance.deployment, &instance.group, &instance.id)?;
        println!("task {}: {}", end.id, end.message);
        Ok(())
    }
}

fn act(folder: &Folder, name: &str, action: &str) -> Result<()> {
    let bosh = Bosh::new(&folder.access()?)?;
    let instance = find(&bosh, name)?;
    bosh.action(&instance.deployment, &instance.group, &instance.id, action).map(drop)
}

/// Attaches a disk.
#[derive(Debug, Args)]
pub(super) struct AttachDisk {
    /// DEPLOYMENT/GROUP/INDEX of a stopped instance
    instance: String,
    /// The disk's CID
    disk: String,
}

impl AttachDisk {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let bosh = Bosh::new(&folder.access()?)?;
        let instance = find(&bosh, &self.instance)?;
        bosh.attach_disk(&instance.deployment, &instance.group, &instance.id, &self.disk).map(drop)
    }
}

/// Makes a disk from the newest snapshot.
#[derive(Debug, Args)]
pub(super) struct CloneSnapshot {
    /// DEPLOYMENT/GROUP/INDEX whose zone the disk goes to
    instance: String,
}

impl CloneSnapshot {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let instance = find(&Bosh::new(&folder.access()?)?, &self.instance)?;
        let az = instance.az.context("the instance has no zone")?;
        println!("{}", control::ask(&folder.socket(), &Request::CloneSnapshot { az })?);
        Ok(())
    }
}

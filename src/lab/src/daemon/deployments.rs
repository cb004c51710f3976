//! Brings up what a landscape is made of: the machine, the Director, the control plane, the clusters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::Shape;
use super::addresses::Block;
use super::manifest::for_the_lab;
use super::packages;
use crate::bosh::{Access, Bosh};
use crate::director::{Account, DirectorHandle, DirectorServer, LabDirectorConfig, Secret, fill_in};
use crate::folder::Folder;
use crate::vm::{Machine, MachineConfig};

/// A landscape that is up.
pub(super) struct Landscape {
    pub(super) machine: Arc<Machine>,
    pub(super) director: DirectorHandle,
    _block: Block,
}

impl Landscape {
    /// Ends this process once the command has its answer.
    pub(super) fn ends(&self) {
        std::thread::spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            std::process::exit(0);
        });
    }
}

/// Brings it up; progress goes to standard output.
pub(super) fn bring_up(folder: &Folder, shape: &Shape) -> Result<Landscape> {
    let block = Block::take()?;
    vcap_owns(&folder.store())?;
    let machine = Arc::new(machine(folder, shape)?);
    let password = random_hex(16);
    let mut config = LabDirectorConfig::new(machine.clone(), shape.release.clone());
    config.addresses = block.addresses;
    config.users = vec![Account {
        name: "admin".into(),
        secret: Secret::new(password.clone()),
        scopes: vec!["bosh.admin".into()],
    }];
    let director = DirectorServer::start(config).context("start the Director")?;
    let access =
        Access { url: director.url(), ca: director.ca_pem().to_owned(), username: "admin".into(), password };
    folder.keep_access(&access)?;
    println!("director: {}", access.url);
    let values = values(folder, shape, &access);
    let bosh = Bosh::new(&access)?;
    deploy(&bosh, shape, "remount.yml", "remount", &values)?;
    for number in 1..=shape.deployments {
        deploy(&bosh, shape, "postgres.yml", &format!("pg-{number:04}"), &values)?;
    }
    Ok(Landscape { machine, director, _block: block })
}

/// The CPI and the agents.
fn machine(folder: &Folder, shape: &Shape) -> Result<Machine> {
    let program = std::env::current_exe().context("find this program")?;
    let binds = match &shape.packages {
        Some(compiled) => packages::compiled(compiled)?,
        None => packages::of_this_build(&program)?,
    };
    let config = MachineConfig { vms: folder.0.join("vms"), cloud: folder.cloud(), program, binds };
    Machine::new(config).context("prepare the machine for VMs")
}

fn deploy(
    bosh: &Bosh,
    shape: &Shape,
    file: &str,
    name: &str,
    values: &BTreeMap<String, Value>,
) -> Result<()> {
    let mut values = values.clone();
    values.insert("deployment_name".into(), json!(name));
    let path = shape.release.join("manifests").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let filled = fill_in(&text, &values).with_context(|| format!("read {}", path.display()))?;
    let mut manifest: Value = serde_json::from_str(&filled).context("read the manifest again")?;
    for_the_lab(&mut manifest);
    let began = std::time::Instant::now();
    bosh.deploy(&manifest.to_string(), "").with_context(|| format!("deploy {name}"))?;
    println!("deployed: {name} ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// The operator's variables.
fn values(folder: &Folder, shape: &Shape, access: &Access) -> BTreeMap<String, Value> {
    let clusters: Vec<String> = (1..=shape.deployments).map(|number| format!("pg-{number:04}")).collect();
    BTreeMap::from([
        ("store".into(), json!({"type": "fs", "root": folder.store()})),
        ("cloud".into(), json!({"type": "local", "local": {"root": folder.cloud()}})),
        (
            "director".into(),
            json!({"url": access.url, "ca": access.ca, "username": access.username, "password": access.password}),
        ),
        ("backup_deployments".into(), json!(clusters)),
        ("persistent_disk_mib".into(), json!(shape.disk_mib)),
    ])
}

/// The archive is written by PostgreSQL's user.
fn vcap_owns(store: &Path) -> Result<()> {
    let status =
        std::process::Command::new("chown").arg("vcap:vcap").arg(store).status().context("run chown")?;
    anyhow::ensure!(status.success(), "there is no user vcap: `scripts/setup` adds it");
    Ok(())
}

fn random_hex(bytes: usize) -> String {
    let mut text = String::new();
    let mut random = rand::rng();
    for _ in 0..bytes {
        write!(text, "{:02x}", random.random::<u8>()).expect("a String takes everything");
    }
    text
}

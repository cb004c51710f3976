//! Brings up what a landscape is made of: the machine, the Director, the control plane, the clusters.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Shape;
use super::addresses::Block;
use super::manifest::{for_the_lab, interpolated};
use crate::bosh::{Access, Bosh};
use crate::director::{Account, DirectorHandle, DirectorServer, LabDirectorConfig, Secret};
use crate::folder::Folder;
use crate::vm::{Machine, MachineConfig};

/// PostgreSQL, where Debian puts it.
const POSTGRES: (&str, &str) = ("postgres-15", "/usr/lib/postgresql/15");

/// A landscape that is up.
pub(super) struct Landscape {
    pub(super) machine: Arc<Machine>,
    pub(super) director: DirectorHandle,
    pub(super) app_password: String,
    _block: Block,
}

/// Brings it up; progress goes to standard output.
pub(super) fn bring_up(folder: &Folder, shape: &Shape) -> Result<Landscape> {
    let block = Block::take()?;
    vcap_owns(&folder.store())?;
    let machine = Arc::new(machine(folder)?);
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
    let app_password = random_hex(12);
    let values = values(folder, shape, &access, &app_password);
    let bosh = Bosh::new(&access)?;
    deploy(&bosh, shape, "remount.yml", "remount", &values)?;
    for number in 1..=shape.deployments {
        deploy(&bosh, shape, "postgres.yml", &format!("pg-{number:04}"), &values)?;
    }
    Ok(Landscape { machine, director, app_password, _block: block })
}

/// The CPI and the agents.
fn machine(folder: &Folder) -> Result<Machine> {
    let program = std::env::current_exe().context("find this program")?;
    let binaries = program.parent().context("find the programs beside this one")?.to_owned();
    for name in ["remount", "remount-agent", "remount-wal"] {
        let path = binaries.join(name);
        anyhow::ensure!(path.exists(), "{} is missing: `cargo build --workspace --bins`", path.display());
    }
    let binds = BTreeMap::from([
        ("packages/remount/bin".into(), binaries),
        (Path::new("packages").join(POSTGRES.0), POSTGRES.1.into()),
    ]);
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
    let mut manifest = interpolated(&shape.release.join("manifests").join(file), &values)?;
    for_the_lab(&mut manifest);
    let began = std::time::Instant::now();
    bosh.deploy(&manifest.to_string()).with_context(|| format!("deploy {name}"))?;
    println!("deployed: {name} ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// The operator's variables.
fn values(folder: &Folder, shape: &Shape, access: &Access, app_password: &str) -> BTreeMap<String, Value> {
    let clusters: Vec<String> = (1..=shape.deployments).map(|number| format!("pg-{number:04}")).collect();
    BTreeMap::from([
        ("store".into(), json!({"type": "fs", "root": folder.store(), "signing_key": random_hex(32)})),
        ("cloud".into(), json!({"type": "local", "root": folder.cloud()})),
        (
            "director".into(),
            json!({"url": access.url, "ca": access.ca, "username": access.username, "password": access.password}),
        ),
        ("backup_deployments".into(), json!(clusters)),
        ("persistent_disk_mib".into(), json!(shape.disk_mib)),
        ("postgres_app_password".into(), json!(app_password)),
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
    (0..bytes).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}

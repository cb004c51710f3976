//! A cluster with a ledger whose writer never stops, and what a Director may do to it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::ledger::Writer;
use remount_lab::scenarios::{Cluster, Driver, EndState, Landscape, Noted, Ran};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::stage::{DEPLOYMENT, Stage};

/// Rows per second of the ledger's writer.
const ROWS_PER_SECOND: u32 = 50;
/// No restore takes longer here, with its way back and the waits that the tests order.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);

/// The scene.
pub struct Scene {
    /// The landscape.
    pub stage: Stage,
    /// Its cluster.
    pub cluster: Cluster,
    /// Goes on until the end.
    pub writer: Writer,
}

impl Scene {
    /// Brings up a landscape with a backup.
    pub async fn up() -> Result<Self> {
        let stage = Stage::empty().await?;
        let program = Path::new(env!("CARGO_BIN_EXE_remount-lab"));
        let cluster = Cluster::open(Landscape::at(program, stage.lab.dir())).await?;
        let writer = Writer::start(cluster.primary.clone(), ROWS_PER_SECOND);
        writer.next_row(Duration::from_secs(10)).await?;
        stage.back_up().await?;
        Ok(Self { stage, cluster, writer })
    }

    /// Ends the test in good order.
    pub async fn down(self) -> Result<()> {
        self.writer.stop().await;
        self.stage.down().await
    }

    /// Begins a restore to an instant that lies behind by now.
    pub async fn begin_restore(&self, mark: &str) -> Result<Restoring<'_>> {
        let noted = self.cluster.note(mark).await?;
        self.writer.begin_anew().await;
        let to = noted.instant.to_string();
        let arguments = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-time", &to];
        let driver = Driver::start(&self.cluster.lab, &arguments, false)?;
        Ok(Restoring { scene: self, noted, driver })
    }

    /// Restores, and finds exactly what was asked for.
    pub async fn restore(&self, mark: &str) -> Result<Noted> {
        let restore = self.begin_restore(mark).await?;
        let noted = restore.noted.clone();
        let (ran, state) = restore.end().await?;
        ensure!(state == EndState::Restored, "{state:?}:\n{}", ran.text());
        ran.success().map(|_| noted)
    }

    /// The id of the newest restore.
    pub async fn newest_restore(&self) -> Result<String> {
        let journal =
            self.stage.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
        let journal: Value = serde_json::from_str(&journal.stdout).context("read the journal")?;
        Ok(journal["restore"].as_str().context("the journal has no id")?.to_owned())
    }

    /// Orders a fault of the Director.
    pub async fn fault(&self, fault: &Value) -> Result<()> {
        self.stage.lab.lab(&["break", "director", &fault.to_string()]).await?.success().map(drop)
    }

    /// A deploy of the cluster's manifest with a change in it.
    pub async fn deploy(&self, change: impl FnOnce(&mut Group<'_>)) -> Result<Command> {
        let text = self.stage.lab.lab(&["manifest", DEPLOYMENT]).await?.success()?.stdout;
        let mut manifest: Value = serde_json::from_str(&text).context("read the manifest")?;
        let group = manifest["instance_groups"].get_mut(0).context("the manifest has no group")?;
        let stemcell = group["stemcell"].as_str().context("the group names no stemcell")?.to_owned();
        let mut changed = Group { group, stemcell: None };
        change(&mut changed);
        if let Some(version) = changed.stemcell.take() {
            let all = manifest["stemcells"].as_array_mut().context("the manifest has no stemcells")?;
            let found = all.iter_mut().find(|found| found["alias"] == stemcell.as_str());
            found.context("the stemcell is not among the manifest's")?["version"] = json!(version);
        }
        let path = self.stage.lab.dir().join("manifest.json");
        fs::write(&path, manifest.to_string()).context("keep the manifest")?;
        let mut deploy = self.stage.lab.command(&["deploy"]);
        deploy.arg(path).stdout(Stdio::null());
        Ok(deploy)
    }

    /// The disks of primary and standby, by the Director's record.
    pub async fn disks(&self) -> Result<Vec<Option<String>>> {
        Ok(vec![self.stage.instance(0).await?.disk, self.stage.instance(1).await?.disk])
    }
}

/// The instance group of the databases in a manifest.
pub struct Group<'a> {
    group: &'a mut Value,
    stemcell: Option<String>,
}

impl Group<'_> {
    /// Sets a setting of PostgreSQL.
    pub fn set(&mut self, name: &str, value: &str) {
        self.postgres()["settings"][name] = json!(value);
    }

    /// Sets how many may connect, which a standby must allow as its primary does.
    pub fn allow_connections(&mut self, max: u32) {
        self.postgres()["max_connections"] = json!(max);
    }

    fn postgres(&mut self) -> &mut Value {
        let mut jobs = self.group["jobs"].as_array_mut().into_iter().flatten();
        &mut jobs.find(|job| job["name"] == "postgres").expect("the group runs PostgreSQL")["properties"]
    }

    /// Sets the number of instances.
    pub fn scale(&mut self, instances: u32) {
        self.group["instances"] = json!(instances);
    }

    /// Resizes the persistent disks.
    pub fn resize(&mut self, mib: u64) {
        self.group["persistent_disk"] = json!(mib);
    }

    /// Names another version of the stemcell.
    pub fn stemcell(&mut self, version: &str) {
        self.stemcell = Some(version.to_owned());
    }
}

/// A restore under way.
pub struct Restoring<'a> {
    scene: &'a Scene,
    noted: Noted,
    driver: Driver,
}

impl Restoring<'_> {
    /// Waits until it is at a step, or beyond.
    pub async fn is_at(&mut self, step: &str) -> Result<()> {
        let what = format!("step {step}");
        self.driver.says(&what, RESTORE_LIMIT, |line| line.split_whitespace().any(|word| word == step)).await
    }

    /// Its driver sleeps from here on.
    pub fn pause(&self) -> Result<()> {
        self.driver.signal(Signal::STOP)
    }

    /// It goes on.
    pub fn wake(&self) -> Result<()> {
        self.driver.wake()
    }

    /// What it left, and how the cluster is: wholly restored or wholly as before, and nothing leaked.
    pub async fn end(mut self) -> Result<(Ran, EndState)> {
        let ran = self.driver.end(RESTORE_LIMIT).await?;
        let state = self.scene.cluster.end_state(&self.noted, &self.scene.writer).await;
        let state = state.with_context(|| ran.text())?;
        self.scene.cluster.lease_is_free()?;
        self.scene.cluster.nothing_leaks().await?;
        Ok((ran, state))
    }
}

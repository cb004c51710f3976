//! A cluster with a ledger whose writer never stops, and what a Director may do to it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::ledger::Writer;
use remount_lab::scenarios::{Cluster, EndState, Landscape, Noted, Ran, RemountProcess};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::test_landscape::{DEPLOYMENT, TestLandscape};

/// Rows per second of the ledger's writer.
const ROWS_PER_SECOND: u32 = 50;
/// No restore takes longer here, with its rollback and the waits that the tests order.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);

/// The under_load.
pub struct UnderLoad {
    /// The landscape.
    pub landscape: TestLandscape,
    /// Its cluster.
    pub cluster: Cluster,
    /// Goes on until the end.
    pub writer: Writer,
}

impl UnderLoad {
    /// Brings up a landscape with a backup.
    pub async fn up() -> Result<Self> {
        let landscape = TestLandscape::empty().await?;
        let program = Path::new(env!("CARGO_BIN_EXE_remount-lab"));
        let cluster = Cluster::open(Landscape::at(program, landscape.lab.dir())).await?;
        let writer = Writer::start(cluster.primary.clone(), ROWS_PER_SECOND);
        writer.next_row(Duration::from_secs(10)).await?;
        landscape.back_up().await?;
        Ok(Self { landscape, cluster, writer })
    }

    /// Ends the test in good order.
    pub async fn down(self) -> Result<()> {
        self.writer.stop().await;
        self.landscape.down().await
    }

    /// Begins a restore to an instant that lies behind by now.
    pub async fn begin_restore(&self, mark: &str) -> Result<Restoring<'_>> {
        let noted = self.cluster.note(mark).await?;
        self.writer.forget_observations().await;
        let to = noted.instant.to_string();
        let arguments = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-time", &to];
        let process = RemountProcess::start(&self.cluster.lab, &arguments, false)?;
        Ok(Restoring { under_load: self, noted, process })
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
        let journal = self
            .landscape
            .lab
            .remount(&["journal", "--deployment", DEPLOYMENT, "--json"])
            .await?
            .success()?;
        let journal: Value = serde_json::from_str(&journal.stdout).context("read the journal")?;
        Ok(journal["restore"].as_str().context("the journal has no id")?.to_owned())
    }

    /// Orders a fault of the Director.
    pub async fn fault(&self, fault: &Value) -> Result<()> {
        self.landscape.lab.lab(&["break", "director", &fault.to_string()]).await?.success().map(drop)
    }

    /// A deploy of the cluster's manifest with a change in it.
    pub async fn deploy(&self, change: impl FnOnce(&mut Group<'_>)) -> Result<Command> {
        let text = self.landscape.lab.lab(&["manifest", DEPLOYMENT]).await?.success()?.stdout;
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
        let path = self.landscape.lab.dir().join("manifest.json");
        fs::write(&path, manifest.to_string()).context("keep the manifest")?;
        let mut deploy = self.landscape.lab.command(&["deploy"]);
        deploy.arg(path).stdout(Stdio::null());
        Ok(deploy)
    }

    /// The disks of primary and standby, by the Director's record.
    pub async fn disks(&self) -> Result<Vec<Option<String>>> {
        Ok(vec![self.landscape.instance(0).await?.disk, self.landscape.instance(1).await?.disk])
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
    under_load: &'a UnderLoad,
    noted: Noted,
    process: RemountProcess,
}

impl Restoring<'_> {
    /// Waits until it is at a step, or beyond.
    pub async fn is_at(&mut self, step: &str) -> Result<()> {
        let what = format!("step {step}");
        self.process.says(&what, RESTORE_LIMIT, |line| line.split_whitespace().any(|word| word == step)).await
    }

    /// Its process sleeps from here on.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// It goes on.
    pub fn wake(&self) -> Result<()> {
        self.process.wake()
    }

    /// What it left, and how the cluster is: wholly restored or wholly as before, and nothing leaked.
    pub async fn end(mut self) -> Result<(Ran, EndState)> {
        let ran = self.process.end(RESTORE_LIMIT).await?;
        let state = self.under_load.cluster.end_state(&self.noted, &self.under_load.writer).await;
        let state = state.with_context(|| ran.text())?;
        self.under_load.cluster.lease_is_free()?;
        self.under_load.cluster.nothing_leaks().await?;
        Ok((ran, state))
    }
}

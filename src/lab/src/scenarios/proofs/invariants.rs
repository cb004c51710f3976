//! Looking at the world: the lease, the journal, and every disk and snapshot that the cloud has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::cluster::{Cluster, DEPLOYMENT, EndState};
use super::super::signed::signed_document;
use super::ProofLandscape;
use crate::bosh::Bosh;

impl ProofLandscape {
    /// Both servers serve and replicate, nobody holds the lease, no server is in backup mode, nothing is leaked.
    pub(super) async fn invariants_hold(&self) -> Result<()> {
        self.cluster.await_good().await?;
        self.cluster.lease_is_free()?;
        self.cluster.nothing_leaks().await
    }
}

impl Cluster {
    /// The newest lease was released.
    ///
    /// # Errors
    /// It was not, or the store cannot be read.
    pub fn lease_is_free(&self) -> Result<()> {
        let names = names(&self.in_store().join("lease"))?;
        let newest = names.iter().filter_map(|name| name.strip_suffix(".json")).max();
        let Some(newest) = newest else { return Ok(()) };
        let released = format!("{newest}.released");
        ensure!(names.contains(&released), "lease {newest} was not released");
        Ok(())
    }

    /// The journal can be read, has no hole, and ends with the end that was found.
    pub(super) async fn journal_is_complete(&self, restore: &str, state: EndState) -> Result<()> {
        let ran = self.lab.remount(&["journal", restore, "--json"]).await?.success()?;
        let journal: Value = serde_json::from_str(&ran.stdout).context("read the journal")?;
        let events = journal["events"].as_array().context("the journal has no events")?;
        for (n, event) in (1..).zip(events) {
            ensure!(event["n"].as_u64() == Some(n), "event {n} of the journal is missing");
        }
        let last = events.last().context("the journal is empty")?;
        let expected = if state == EndState::Restored { "completed" } else { "undone" };
        let (event, outcome) = (last["event"].as_str(), last["outcome"].as_str());
        let ended = event == Some("finished") && outcome == Some(expected);
        ensure!(ended, "the journal ends with {last}, not with `{expected}`");
        Ok(())
    }

    /// Every disk is in an instance by Director and cloud, or an orphan that the Director lists; every snapshot
    /// is a backup's.
    ///
    /// # Errors
    /// One is not.
    pub async fn nothing_leaks(&self) -> Result<()> {
        let status = self.lab.status().await?;
        let disks = records(&self.cloud()?.join("disks"))?;
        let mut known: BTreeSet<String> = self.orphans().await?;
        for instance in status.deployments.iter().flat_map(|deployment| &deployment.instances) {
            let Some(disk) = &instance.disk else { continue };
            known.insert(disk.clone());
            let record = disks.iter().find(|(cid, _)| cid == disk);
            let (_, record) = record.with_context(|| format!("disk {disk} is not in the cloud"))?;
            let attached = record["attached_to"].as_str().map(str::to_owned);
            ensure!(attached == instance.vm, "disk {disk} is attached to {attached:?}, not to its instance");
        }
        let leaked: Vec<&String> =
            disks.iter().map(|(cid, _)| cid).filter(|cid| !known.contains(*cid)).collect();
        ensure!(leaked.is_empty(), "disks are leaked: {leaked:?}");
        let kept = self.snapshots_of_backups()?;
        let snapshots = records(&self.cloud()?.join("snapshots"))?;
        let leaked: Vec<String> =
            snapshots.into_iter().map(|(cid, _)| cid).filter(|cid| !kept.contains(cid)).collect();
        ensure!(leaked.is_empty(), "snapshots are leaked: {leaked:?}");
        Ok(())
    }

    /// Whether the Director works on anything.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn director_works(&self) -> Result<bool> {
        let access = self.folder.access()?;
        let asked = tokio::task::spawn_blocking(move || {
            Bosh::new(&access)?.get("/tasks?state=processing,cancelling,queued&verbose=2")
        });
        let tasks = asked.await.context("ask the Director for its tasks")??;
        Ok(tasks.as_array().is_some_and(|tasks| !tasks.is_empty()))
    }

    /// The cloud's folder, which only the daemon's mount namespace shows.
    pub(in crate::scenarios) fn cloud(&self) -> Result<PathBuf> {
        let daemon = self.folder.running().context("the landscape is not up")?;
        let inside = self.folder.cloud();
        let inside = inside.strip_prefix("/").context("the landscape's folder is not absolute")?.to_owned();
        Ok(Path::new("/proc").join(daemon.to_string()).join("root").join(inside))
    }

    async fn orphans(&self) -> Result<BTreeSet<String>> {
        let access = self.folder.access()?;
        let asked = tokio::task::spawn_blocking(move || Bosh::new(&access)?.get("/disks")).await;
        let list = asked.context("ask the Director for its orphans")??;
        let cids = list.as_array().into_iter().flatten().filter_map(|disk| disk["disk_cid"].as_str());
        Ok(cids.map(str::to_owned).collect())
    }

    /// By the manifests, which are signed documents of one line.
    pub(super) fn snapshots_of_backups(&self) -> Result<BTreeSet<String>> {
        let mut snapshots = BTreeSet::new();
        for folder in self.backup_folders()? {
            for name in names(&folder)? {
                let manifest = signed_document(&folder.join(&name))?;
                snapshots.extend(manifest["snapshot"]["cid"].as_str().map(str::to_owned));
            }
        }
        Ok(snapshots)
    }

    /// `<system identifier>/backups`, of each system there is.
    pub(super) fn backup_folders(&self) -> Result<Vec<PathBuf>> {
        let folders =
            names(&self.in_store())?.into_iter().map(|name| self.in_store().join(name).join("backups"));
        Ok(folders.filter(|folder| folder.is_dir()).collect())
    }

    /// The archive's newest timeline.
    pub(super) fn wal_folder(&self) -> Result<PathBuf> {
        let backups = self.backup_folders()?.pop().context("there is no backup")?;
        let wal = backups.with_file_name("wal");
        let newest = names(&wal)?.into_iter().max().context("the archive is empty")?;
        Ok(wal.join(newest))
    }

    /// Ends what a case that broke off may have left.
    pub(super) fn make_store_writable(&self) -> Result<()> {
        let all = format!("chattr -R -i {}", self.folder.store().display());
        let status = std::process::Command::new("bash").args(["-c", &all]).status().context("run chattr")?;
        ensure!(status.success(), "the store of {DEPLOYMENT} stays read-only");
        Ok(())
    }
}

/// The names in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The cloud's records in a folder: CID and content.
pub(super) fn records(folder: &Path) -> Result<Vec<(String, Value)>> {
    let mut records = Vec::new();
    for name in names(folder)? {
        let Some(cid) = name.strip_suffix(".json") else { continue };
        let text = fs::read_to_string(folder.join(&name)).with_context(|| format!("read {name}"))?;
        records.push((cid.to_owned(), serde_json::from_str(&text).with_context(|| format!("read {name}"))?));
    }
    Ok(records)
}

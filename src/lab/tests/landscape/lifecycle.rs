//! What a Director does to database instances every week: they keep their rows, and the archive goes on.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::EndState;
use remount_lab::scenarios::ledger;

use crate::test_landscape::{PRIMARY, STANDBY, eventually, value};
use crate::under_load::{Group, UnderLoad};

/// How soon the writer writes again.
const WRITER_LIMIT: Duration = Duration::from_secs(30);
/// Of 16 MiB, as `initdb` leaves it: so many share the first 8 digits behind the timeline.
const SEGMENTS_PER_FILE: u64 = 256;

/// What an operator types, one line after the other, of one instance.
const ACTIONS: [&[&[&str]]; 4] =
    [&[&["stop"], &["start"]], &[&["restart"]], &[&["stop", "--hard"], &["start"]], &[&["recreate"]]];

impl UnderLoad {
    /// The primary serves, the standby streams, no acknowledged row is gone, the archive has no hole and no failure.
    async fn is_good(&self) -> Result<()> {
        self.cluster.await_good().await?;
        let observed = self.writer.next_row(WRITER_LIMIT).await.context("the writer writes again")?;
        let content = ledger::content(&self.cluster.primary.connect().await?).await?;
        let acknowledged = observed.last_before_fall.unwrap_or(observed.last_id);
        ensure!(
            content.rows == content.last_id && content.last_id >= acknowledged,
            "row {acknowledged} was acknowledged, there is {content:?}"
        );
        self.archive_is_whole().await
    }

    /// Every segment from the first to the one that is filled just now.
    async fn archive_is_whole(&self) -> Result<()> {
        let last = self.landscape.superuser("SELECT pg_walfile_name(pg_switch_wal())").await?;
        let timeline = last.get(..8).context("a segment without a timeline")?.to_owned();
        let system = self.landscape.superuser("SELECT system_identifier FROM pg_control_system()").await?;
        let folder = self.cluster.in_store().join(system).join("wal").join(timeline);
        let segments = || -> Result<BTreeSet<u64>> {
            let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            Ok(names
                .filter(|name| !name.contains(".backup") && !name.contains(".summary"))
                .filter_map(|name| number(&name))
                .collect())
        };
        let last = number(&last).context("the server names no segment")?;
        eventually("the last segment is archived", || async { Ok(segments()?.contains(&last)) }).await?;
        let found = segments()?;
        let first = found.first().copied().unwrap_or(last);
        let holes: Vec<u64> = (first..=last).filter(|n| !found.contains(n)).collect();
        ensure!(holes.is_empty(), "segments are missing in {}: {holes:?}", folder.display());
        let failed = self.landscape.superuser("SELECT failed_count FROM pg_stat_archiver").await?;
        ensure!(failed == "0", "the archiver failed {failed} times");
        Ok(())
    }

    /// Deploys a change and waits for its end.
    async fn deployed(&self, change: impl FnOnce(&mut Group<'_>)) -> Result<()> {
        let ended = self.deploy(change).await?.status().await?;
        ensure!(ended.success(), "the deploy failed");
        Ok(())
    }

    /// Nothing restored is lost, nothing given up is back, and the disks are the cluster's own.
    async fn stays_restored(&self, noted: &remount_lab::scenarios::Noted) -> Result<()> {
        let state = self.cluster.end_state(noted, &self.writer).await?;
        ensure!(state == EndState::Restored, "the cluster is {state:?}");
        self.cluster.nothing_leaks().await
    }
}

/// The number of a segment on its timeline; none of a history file.
fn number(name: &str) -> Option<u64> {
    let hex = |range: std::ops::Range<usize>| u64::from_str_radix(name.get(range)?, 16).ok();
    Some(hex(8..16)? * SEGMENTS_PER_FILE + hex(16..24)?)
}

#[tokio::test]
async fn every_action_of_a_director_keeps_the_rows_and_the_archive() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    let disks = under_load.disks().await?;
    for instance in [STANDBY, PRIMARY] {
        for lines in ACTIONS {
            for line in lines {
                let typed = [line, &[instance][..]].concat();
                under_load
                    .landscape
                    .lab
                    .lab(&typed)
                    .await?
                    .success()
                    .with_context(|| format!("{typed:?}"))?;
            }
            under_load.is_good().await.with_context(|| format!("after {lines:?} of {instance}"))?;
        }
    }
    under_load.deployed(|group| group.set("work_mem", "5MB")).await?;
    under_load.is_good().await.context("after a changed setting")?;
    let vms = [under_load.landscape.instance(0).await?.vm, under_load.landscape.instance(1).await?.vm];
    under_load.deployed(|group| group.stemcell("2")).await?;
    let later = [under_load.landscape.instance(0).await?.vm, under_load.landscape.instance(1).await?.vm];
    ensure!(vms[0] != later[0] && vms[1] != later[1], "the VMs were not recreated");
    under_load.is_good().await.context("after another stemcell")?;
    ensure!(under_load.disks().await? == disks, "the disks were changed");
    under_load.deployed(|group| group.resize(1536)).await?;
    under_load.is_good().await.context("after a resize")?;
    let larger = under_load.disks().await?;
    ensure!(larger[0] != disks[0] && larger[1] != disks[1], "the disks are the old ones");
    under_load.landscape.back_up().await?;
    under_load.restore("after it all").await?;
    under_load.is_good().await?;
    under_load.down().await
}

#[tokio::test]
async fn a_deploy_right_after_a_restore_keeps_what_was_restored() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    let noted = under_load.restore("restore, then deploy").await?;
    let disks = under_load.disks().await?;
    under_load.deployed(|group| group.allow_connections(230)).await?;
    for endpoint in [&under_load.cluster.primary, &under_load.cluster.standby] {
        ensure!(value(endpoint, "SHOW max_connections").await? == "230", "the deploy set nothing");
    }
    ensure!(under_load.disks().await? == disks, "the deploy changed the disks");
    under_load.stays_restored(&noted).await.context("after a changed setting")?;
    under_load.deployed(|group| group.stemcell("2")).await?;
    ensure!(under_load.disks().await? == disks, "the stemcell changed the disks");
    under_load.stays_restored(&noted).await.context("after another stemcell")?;

    let noted = under_load.restore("restore, then resize").await?;
    under_load.deployed(|group| group.resize(1536)).await?;
    ensure!(under_load.disks().await? != disks, "nothing was resized");
    under_load.stays_restored(&noted).await.context("after a resize")?;
    let noted = under_load.restore("after the resize").await?;
    under_load.stays_restored(&noted).await.context("after the last restore")?;
    under_load.archive_is_whole().await?;
    under_load.down().await
}

//! Backups under load, and drivers that die in the middle of one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::Pgbench;
use remount_lab::scenarios::ledger::{self, Writer};

use crate::test_landscape::{DEPLOYMENT, PRIMARY, TestLandscape, eventually};

#[tokio::test]
async fn a_driver_killed_in_the_middle_leaves_no_backup_mode_no_manifest_and_no_snapshot() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 1).await?;
    // Slow the cloud, so that the kill falls between begin and end.
    landscape.lab.lab(&["break", "cloud", "--slow-snapshots", "20"]).await?.success()?;
    let mut process =
        landscape.lab.command(&["remount", "--", "backup", "--deployment", DEPLOYMENT]).spawn()?;
    let in_backup_mode = "test -e /var/vcap/store/remount/backup.json";
    eventually("backup mode", || async { Ok(landscape.lab.shell(PRIMARY, in_backup_mode).await?.code == 0) })
        .await?;
    landscape.lab.shell("remount/remount/0", "pkill -KILL -x remount").await?;
    process.wait().await.context("wait for the killed process")?;
    landscape.lab.lab(&["break", "cloud", "--slow-snapshots", "0"]).await?.success()?;

    // The agent's own lease ends backup mode; nobody has to come back for it.
    eventually("backup mode ends by itself", || async {
        Ok(landscape.lab.shell(PRIMARY, in_backup_mode).await?.code != 0)
    })
    .await?;
    ensure!(landscape.backups().await?.is_empty(), "a manifest was left");

    // Nor has anybody to release the cluster: the dead process's lease ends by itself too. The next backup finds
    // what it left in the cloud and deletes it.
    eventually("the next backup", || async {
        Ok(landscape.lab.lab(&["run-errand", "backup"]).await?.code == 0)
    })
    .await?;
    let backup = landscape.backups().await?.pop().context("the errand left no backup")?;
    let count = format!("ls {}/cloud/snapshots/*.json | wc -l", landscape.lab.dir().display());
    let snapshots = landscape.lab.shell("remount/remount/0", &count).await?.success()?;
    ensure!(snapshots.stdout.trim() == "1", "{} snapshots are left", snapshots.stdout.trim());
    ensure!(landscape.backups().await? == [backup]);
    landscape.down().await
}

#[tokio::test]
async fn a_backup_under_load_stops_no_writer_for_a_second() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    ledger::create(&landscape.primary.connect().await?).await?;
    let writer = Writer::start(landscape.primary.clone(), 100);
    writer.next_row(Duration::from_secs(10)).await?;
    let mut load = Pgbench::start(&landscape.primary).await?;
    writer.reset_gap().await;
    landscape.back_up().await?;
    load.stop().await?;
    let observed = writer.stop().await;
    ensure!(observed.failures == 0, "{} writes failed", observed.failures);
    ensure!(observed.longest_gap < Duration::from_secs(1), "a writer waited {:?}", observed.longest_gap);
    landscape.down().await
}

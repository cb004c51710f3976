//! What is not in the archive is not lost: an outage before the stop, a full disk, a transaction that was prepared.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::RemountProcess;
use remount_lab::scenarios::ledger;

use crate::test_landscape::{DEPLOYMENT, PRIMARY, TestLandscape, eventually, value};
use crate::under_load::UnderLoad;

/// No restore takes longer here, with its rollback.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);
/// The writer goes on for so long while nothing is archived.
const OUTAGE: Duration = Duration::from_secs(3);

/// The archive's folders of timelines take no file until this is dropped.
struct Closed(Vec<PathBuf>);

impl Closed {
    fn new(under_load: &UnderLoad) -> Result<Self> {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(under_load.cluster.in_store()).context("read the cluster's store")? {
            let wal = entry?.path().join("wal");
            if wal.is_dir() {
                folders.push(wal.clone());
                for timeline in std::fs::read_dir(&wal)? {
                    folders.push(timeline?.path());
                }
            }
        }
        ensure!(!folders.is_empty(), "the cluster has no archive");
        let closed = Self(folders);
        closed.change("+i")?;
        Ok(closed)
    }

    fn change(&self, to: &str) -> Result<()> {
        let status = Command::new("chattr").arg(to).args(&self.0).status().context("run chattr")?;
        ensure!(status.success(), "chattr {to} failed");
        Ok(())
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if let Err(error) = self.change("-i") {
            eprintln!("the archive stays closed: {error}");
        }
    }
}

#[tokio::test]
async fn latest_after_an_outage_is_undone_and_loses_nothing() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    let arguments = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-latest"];
    let mut restore = RemountProcess::start(&under_load.cluster.lab, &arguments, false)?;
    restore.says("swap_standbys", RESTORE_LIMIT, |line| line.contains("swap_standbys")).await?;
    let closed = Closed::new(&under_load)?;
    tokio::time::sleep(OUTAGE).await;
    let ran = restore.end(RESTORE_LIMIT).await?;
    drop(closed);
    ensure!(ran.code == 3, "it ended with {}:\n{}", ran.code, ran.text());
    ensure!(ran.text().contains("--accept-loss unarchived-wal"), "{}", ran.text());
    under_load.cluster.await_good().await?;
    let acknowledged = under_load.writer.next_row(Duration::from_secs(60)).await?;
    let content = ledger::content(&under_load.cluster.primary.connect().await?).await?;
    ensure!(
        content.rows == content.last_id && content.last_id >= acknowledged.last_id,
        "{acknowledged:?}, and there is {content:?}"
    );
    ensure!(acknowledged.last_before_fall.is_none(), "rows are gone: {acknowledged:?}");
    under_load.down().await
}

#[tokio::test]
async fn a_full_disk_stays_up_and_latest_loses_nothing() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    let since = landscape.superuser("SELECT pg_postmaster_start_time()::text").await?;
    let fill = "dd if=/dev/zero of=/var/vcap/store/filler bs=1M status=none; sync; true";
    landscape.lab.shell(PRIMARY, fill).await?.success()?;
    let plan =
        landscape.lab.remount(&["plan", "--deployment", DEPLOYMENT, "--to-latest"]).await?.success()?;
    ensure!(plan.text().contains("disk is full"), "{}", plan.text());
    let backup = landscape.lab.lab(&["run-errand", "backup"]).await?;
    ensure!(backup.code != 0 && backup.text().contains("too full"), "{}", backup.text());
    let now = landscape.superuser("SELECT pg_postmaster_start_time()::text").await?;
    ensure!(now == since, "the server went down: it runs since {now}, not {since}");
    landscape.restore_to(&["--to-latest"], "a=3 b=4").await?;
    landscape.down().await
}

#[tokio::test]
async fn standbys_join_beside_a_prepared_transaction() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    let deploy = under_load.deploy(|group| group.set("max_prepared_transactions", "8")).await?;
    let mut deploy = deploy;
    ensure!(deploy.status().await?.success(), "the deploy failed");
    let landscape = &under_load.landscape;
    landscape.back_up().await?;
    landscape.sql("CREATE TABLE prepared (id bigint PRIMARY KEY)").await?;
    let prepare = "BEGIN; INSERT INTO prepared VALUES (1); PREPARE TRANSACTION 'open'";
    landscape.sql(prepare).await?;
    let to = landscape.now().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    landscape.sql("COMMIT PREPARED 'open'").await?;
    landscape.restore(&["--to-time", &to]).await?.success()?;
    let open = landscape.value("SELECT count(*)::text FROM pg_prepared_xacts").await?;
    ensure!(open == "1", "{open} transactions are prepared");
    landscape.sql("COMMIT PREPARED 'open'").await?;
    eventually("the standby follows", || async {
        let seen = value(&landscape.standby, "SELECT count(*)::text FROM prepared").await;
        Ok(seen.is_ok_and(|rows| rows == "1"))
    })
    .await?;
    under_load.down().await
}

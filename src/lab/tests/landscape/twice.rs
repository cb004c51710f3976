//! Two at the same cluster at the same moment: one works, the other says who does and since when, and changes
//! nothing.

use std::fs;

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::{Ran, signed_document};
use serde_json::Value;

use crate::test_landscape::{DEPLOYMENT, PRIMARY, TestLandscape, eventually};

/// The second comer is told who holds the lease, for what, since when, and what to do.
fn is_told(ran: &Ran, purpose: &str) -> Result<()> {
    let text = ran.text();
    ensure!(ran.code == 1, "exit code {}:\n{text}", ran.code);
    for word in ["is leased to remount on", &format!("for {purpose} since 20"), "next:"] {
        ensure!(text.contains(word), "`{word}` is not said:\n{text}");
    }
    Ok(())
}

/// The newest restore's journal.
async fn journal(landscape: &TestLandscape) -> Result<Value> {
    let ran = landscape.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    serde_json::from_str(&ran.stdout).context("read the journal")
}

/// Waits until the restore is at a step.
async fn is_at(landscape: &TestLandscape, step: &str) -> Result<()> {
    eventually(&format!("the restore is at {step}"), || async {
        let Ok(journal) = journal(landscape).await else { return Ok(false) };
        Ok(journal["events"]
            .as_array()
            .is_some_and(|events| events.iter().any(|event| event["step"] == step)))
    })
    .await
}

/// How many restores were ever begun.
fn restores(landscape: &TestLandscape) -> Result<usize> {
    Ok(fs::read_dir(landscape.lab.dir().join("store/clusters").join(DEPLOYMENT).join("restores"))?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .count())
}

#[tokio::test]
async fn a_second_restore_and_a_backup_wait_for_nobody_and_change_nothing() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    let backup = landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    let slow = r#"{"on":"stop","kind":"slow_task","milliseconds":4000,"times":2}"#;
    landscape.lab.lab(&["break", "director", slow]).await?.success()?;
    landscape
        .lab
        .remount(&["restore", "request", "--deployment", DEPLOYMENT, "--to-latest"])
        .await?
        .success()?;
    let mut errand = landscape.lab.command(&["run-errand", "restore"]).spawn()?;
    is_at(&landscape, "swap_standbys").await?;

    let again = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-backup", &backup];
    is_told(&landscape.lab.remount(&again).await?, "restore").context("a second restore")?;
    is_told(&landscape.lab.remount(&["backup", "--deployment", DEPLOYMENT]).await?, "restore")
        .context("a backup")?;
    ensure!(restores(&landscape)? == 1, "the second restore left something");
    ensure!(errand.wait().await?.success(), "the first restore was disturbed");
    landscape.holds("a=3 b=4").await?;
    ensure!(
        landscape.backups().await?.len() == 2,
        "there is more than the backup and the restored cluster's own"
    );
    landscape.down().await
}

#[tokio::test]
async fn a_restore_during_a_backup_changes_nothing_and_the_backup_is_good() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    let first = landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    landscape.lab.lab(&["break", "cloud", "--slow-snapshots", "4"]).await?.success()?;
    let before = landscape.fingerprint().await?;
    let mut errand = landscape.lab.command(&["run-errand", "backup"]).spawn()?;
    eventually("backup mode", || async {
        Ok(landscape.lab.shell(PRIMARY, "test -e /var/vcap/store/remount/backup.json").await?.code == 0)
    })
    .await?;
    let restore = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-backup", &first];
    is_told(&landscape.lab.remount(&restore).await?, "backup")?;
    ensure!(errand.wait().await?.success(), "the backup was disturbed");
    ensure!(landscape.fingerprint().await? == before, "the cluster was touched");
    // The second backup is as good as the first.
    let second = landscape.backups().await?.pop().context("the errand left no backup")?;
    ensure!(second != first, "the errand left no backup of its own");
    landscape.lab.lab(&["break", "mend"]).await?.success()?;
    landscape.restore_to(&["--to-backup", &second], "a=3 b=4").await?;
    landscape.down().await
}

#[tokio::test]
async fn two_errand_processes_carry_a_request_out_once() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    let request = ["restore", "request", "--deployment", DEPLOYMENT, "--to-latest"];
    landscape.lab.remount(&request).await?.success()?;
    // BOSH's lock keeps a second errand of one deployment waiting; another deployment's errand has no such lock.
    let errand = ["remount", "--", "errand", "restore"];
    let (one, other) = tokio::join!(landscape.lab.lab(&errand), landscape.lab.lab(&errand));
    let (one, other) = (one?, other?);
    ensure!(one.code == 0 || other.code == 0, "neither did it:\n{}\n{}", one.text(), other.text());
    for ran in [&one, &other] {
        let text = ran.text();
        ensure!(ran.code == 0 || text.contains("leased to") || text.contains("taken over"), "why?\n{text}");
    }
    ensure!(restores(&landscape)? == 1, "there is more than one restore");
    ensure!(journal(&landscape).await?["report"].is_object(), "the restore did not end");
    let record = fs::read_dir(landscape.lab.dir().join("store/requests"))?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().ends_with(".done.json"))
        .context("nobody recorded how it ended")?;
    let record = signed_document(&record.path())?;
    ensure!(record["exit_code"] == 0, "the record says {record}");
    landscape.holds("a=3 b=4").await?;
    landscape.down().await
}

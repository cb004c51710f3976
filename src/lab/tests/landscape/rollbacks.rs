//! Rollbacks: of a restore to the wrong instant, and of one that was interrupted.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::{Duration, sleep};

use crate::test_landscape::{DEPLOYMENT, TestLandscape};

/// The newest restore: its id, and its journal as JSON.
async fn newest(landscape: &TestLandscape) -> Result<(String, Value)> {
    let ran = landscape.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    let journal: Value = serde_json::from_str(&ran.stdout).context("read the journal")?;
    let id = journal["restore"].as_str().context("the journal has no id")?.to_owned();
    Ok((id, journal))
}

async fn timeline(landscape: &TestLandscape) -> Result<String> {
    landscape.superuser("SELECT timeline_id FROM pg_control_checkpoint()").await
}

#[tokio::test]
async fn a_restore_to_the_wrong_instant_is_taken_back_and_another_follows() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    let backup = landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    let wanted = landscape.now().await?;
    sleep(Duration::from_millis(50)).await;
    landscape.mark("c", 5).await?;
    landscape.restore_to(&["--to-backup", &backup], "a=3").await?;
    landscape.mark("since", 1).await?;
    let (wrong, _) = newest(&landscape).await?;

    landscape.lab.remount(&["rollback", &wrong]).await?.success().context("roll back after a success")?;
    landscape.holds("a=3 b=4 c=5").await.context("every acknowledged row is there again")?;
    ensure!(timeline(&landscape).await? == "1", "the old primary is on its own timeline");
    landscape.mark("d", 1).await?;

    let at_once = "sed -i 's/\"keep_old_disks_hours\": 24/\"keep_old_disks_hours\": 0/' \
        /var/vcap/jobs/remount/config/remount.json";
    landscape.lab.shell("remount/remount/0", at_once).await?.success()?;
    landscape.restore_to(&["--to-time", &wanted], "a=3 b=4").await?;
    ensure!(timeline(&landscape).await? == "3", "timeline 2 was used and left");
    let refused = landscape.lab.remount(&["rollback", &wrong]).await?;
    ensure!(refused.code == 0, "it was rolled back already, and says so: {}", refused.text());
    landscape.holds("a=3 b=4").await?;

    let there = old_disks(&landscape).await?;
    let expected = ["old due", "old due", "restored put_aside", "restored put_aside"];
    ensure!(there == expected, "the disks of both: {there:?}");
    landscape.back_up().await?;
    let there = old_disks(&landscape).await?;
    ensure!(
        there == ["restored put_aside"; 2],
        "the errand `backup` deletes what is due, and nothing else: {there:?}"
    );
    landscape.holds("a=3 b=4").await?;
    landscape.down().await
}

/// Kind and state of each old disk, sorted.
async fn old_disks(landscape: &TestLandscape) -> Result<Vec<String>> {
    let ran = landscape.lab.remount(&["disks", "--json"]).await?.success()?;
    let listed: Vec<Value> = serde_json::from_str(&ran.stdout).context("read the old disks")?;
    let kind = |disk: &Value| if disk["is_restored"] == true { "restored" } else { "old" };
    let mut told: Vec<String> = listed
        .iter()
        .map(|disk| format!("{} {}", kind(disk), disk["state"].as_str().unwrap_or("?")))
        .collect();
    told.sort();
    Ok(told)
}

#[tokio::test]
async fn an_errand_that_is_told_to_stop_is_gone_on_with() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    let to_latest = ["restore", "request", "--deployment", DEPLOYMENT, "--to-latest"];
    landscape.lab.remount(&to_latest).await?.success()?;
    let mut errand = landscape.lab.command(&["run-errand", "restore"]).spawn()?;
    let in_the_middle = || async {
        let Ok((_, journal)) = newest(&landscape).await else { return Ok(false) };
        let events = journal["events"].as_array().context("the journal has no events")?;
        Ok(events.iter().any(|event| event["step"] == "swap_standbys"))
    };
    crate::test_landscape::eventually("the restore swaps disks", in_the_middle).await?;
    // What an agent does with a cancelled errand: SIGTERM to what it started.
    let terminate = "pkill -TERM -x remount; sleep 0.2; pgrep -x remount -c || true";
    landscape.lab.shell("remount/remount/0", terminate).await?.success()?;
    let ended = errand.wait().await?;
    let (id, journal) = newest(&landscape).await?;
    let finished = journal["report"].is_object();
    ensure!(finished || !ended.success(), "the errand says that it did not end the restore");
    ensure!(finished || journal["lease"].is_null(), "the lease is free: {}", journal["lease"]);
    if !finished {
        landscape.lab.lab(&["run-errand", "restore"]).await?.success().context("the next run goes on")?;
    }
    let (same, _) = newest(&landscape).await?;
    ensure!(same == id, "it is the same restore");
    landscape.holds("a=3 b=4").await?;

    // Killed, it has no chance to leave anything in order: not even its lease.
    landscape.mark("c", 5).await?;
    landscape.lab.remount(&to_latest).await?.success()?;
    let break_process = ["break", "process", "--at", "swap_primary.intended", "--limit-seconds", "60"];
    let mut point = landscape.lab.command(&break_process).spawn()?;
    let killed = landscape.lab.lab(&["run-errand", "restore"]).await?;
    ensure!(point.wait().await?.success(), "it was not killed at its point");
    ensure!(killed.code != 0, "a killed errand says so:\n{}", killed.text());
    let goes_on = || async { Ok(landscape.lab.lab(&["run-errand", "restore"]).await?.code == 0) };
    crate::test_landscape::eventually("another errand goes on when the lease is over", goes_on).await?;
    landscape.holds("a=3 b=4 c=5").await?;
    landscape.down().await
}

//! Nobody writes to a restore that may still be given up, and a person may look before it is promoted.

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::EndState;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::test_landscape::{DEPLOYMENT, TestLandscape};
use crate::under_load::UnderLoad;

/// The start of the restored primary works, and its task fails. Where that is known before the server is at its target,
/// its disk is given up, to which nobody can have written; else the restore has gone on, and starts it once more.
/// (Seen before the promotion was a step: 1,564 acknowledged commits went with that disk.)
#[tokio::test]
async fn a_start_whose_task_fails_costs_no_acknowledged_row() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    under_load.fault(&json!({"on": "start", "kind": "fail_after", "times": 1})).await?;
    let (ran, state) = under_load.begin_restore("the start fails").await?.end().await?;
    let ended = (ran.code, state);
    let fits = [(3, EndState::AsBefore), (0, EndState::Restored)].contains(&ended);
    ensure!(fits, "{ended:?}:\n{}", ran.text());
    let disks = under_load.landscape.lab.remount(&["disks", "--json"]).await?.success()?;
    let kept: Value = serde_json::from_str(&disks.stdout).context("read the old disks")?;
    let old = if ran.code == 0 { 2 } else { 0 };
    ensure!(
        kept.as_array().is_some_and(|kept| kept.len() == old),
        "what has no rows of its own is kept: {kept}"
    );
    under_load.down().await
}

#[tokio::test]
async fn a_restore_pauses_moves_on_and_is_accepted() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    landscape.back_up().await?;
    let mut instants = Vec::new();
    for label in ["b", "c"] {
        landscape.mark(label, 4).await?;
        instants.push(landscape.now().await?);
        sleep(Duration::from_millis(50)).await;
    }
    landscape.mark("d", 5).await?;
    let pause = ["restore", "--now", "--deployment", DEPLOYMENT, "--pause", "--to-time", &instants[0]];
    let paused = landscape.lab.remount(&pause).await?.success()?;
    ensure!(paused.text().contains("is paused"), "{}", paused.text());
    let ran = landscape.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    let journal: Value = serde_json::from_str(&ran.stdout).context("read the journal")?;
    let id = journal["restore"].as_str().context("the journal has no id")?.to_owned();
    ensure!(landscape.marks().await? == "a=3 b=4", "it stands at its target");
    ensure!(landscape.mark("never", 1).await.is_err(), "nobody can write");
    let resumed = landscape.lab.remount(&["resume", &id]).await?;
    ensure!(resumed.code == 1 && resumed.text().contains("restore accept"), "{}", resumed.text());
    let back = landscape.lab.remount(&["restore", "forward", &id, "--to-time", &instants[0]]).await?;
    ensure!(back.code == 1 && back.text().contains("is not ahead of"), "{}", back.text());
    let on = ["restore", "forward", &id, "--to-time", &instants[1]];
    landscape.lab.remount(&on).await?.success().context("move on")?;
    ensure!(landscape.marks().await? == "a=3 b=4 c=4", "it stands at its later target");
    landscape
        .lab
        .remount(&["restore", "forward", &id, "--to-latest"])
        .await?
        .success()
        .context("to the end")?;
    ensure!(landscape.marks().await? == "a=3 b=4 c=4 d=5", "it stands at the end of the archive");
    landscape.lab.remount(&["restore", "accept", &id]).await?.success().context("accept it")?;
    landscape.holds("a=3 b=4 c=4 d=5").await?;
    landscape.mark("e", 1).await?;

    let again = ["restore", "--now", "--deployment", DEPLOYMENT, "--pause", "--to-time", &instants[1]];
    landscape.lab.remount(&again).await?.success().context("restore once more")?;
    let ran = landscape.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    let journal: Value = serde_json::from_str(&ran.stdout).context("read the journal")?;
    let id = journal["restore"].as_str().context("the journal has no id")?.to_owned();
    landscape.lab.remount(&["restore", "give-up", &id]).await?.success().context("give it up")?;
    landscape.holds("a=3 b=4 c=4 d=5 e=1").await?;
    landscape.down().await
}

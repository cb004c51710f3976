//! PostgreSQL never starts on a disk that nobody planned for: the decision table of DESIGN 5, on real VMs.

use anyhow::{Context, Result, ensure};

use crate::stage::{PRIMARY, STANDBY, Stage};

/// Starts the primary, which must fail because its pre-start refuses with `reason` and a next step.
async fn refuses_to_start(stage: &Stage, reason: &str) -> Result<()> {
    let started = stage.lab.lab(&["start", PRIMARY]).await?;
    ensure!(started.code != 0, "the primary was started:\n{}", started.text());
    let log = "cat /var/vcap/sys/log/remount-agent/pre-start.stderr.log /var/vcap/sys/log/postgres/pre-start.stderr.log";
    let said = stage.lab.shell(PRIMARY, log).await?.text();
    ensure!(said.contains(reason), "`{reason}` is not said:\n{said}");
    ensure!(said.contains("next:"), "no next step is said:\n{said}");
    let alive = stage.lab.shell(PRIMARY, "pgrep -x postgres").await?;
    ensure!(alive.code != 0, "PostgreSQL runs");
    stage.lab.lab(&["stop", PRIMARY]).await?.success().map(drop)
}

/// Makes a disk with the content of the newest snapshot, as nobody should by hand, and answers with its CID.
async fn copy_of_the_snapshot(stage: &Stage) -> Result<String> {
    let ran = stage.lab.lab(&["clone-snapshot", PRIMARY]).await?.success()?;
    let cid = ran.stdout.trim().to_owned();
    ensure!(!cid.is_empty(), "no CID was printed");
    Ok(cid)
}

#[tokio::test]
async fn a_disk_that_nobody_planned_for_is_not_started() -> Result<()> {
    let stage = Stage::up().await?;
    stage.mark("a", 2).await?;
    stage.back_up().await?;
    let own = stage.instance(0).await?.disk.context("the primary has a disk")?;
    let copy = copy_of_the_snapshot(&stage).await?;
    stage.lab.lab(&["stop", STANDBY]).await?.success()?;
    stage.lab.lab(&["stop", PRIMARY]).await?.success()?;

    // Store down: whether there is a plan cannot be known, so it refuses rather than guess.
    stage.lab.lab(&["attach-disk", PRIMARY, &copy]).await?.success()?;
    stage.lab.lab(&["break", "store"]).await?.success()?;
    refuses_to_start(&stage, "store").await?;
    stage.lab.lab(&["break", "store", "--mend"]).await?.success()?;

    // A plan with another backup: the wrong disk.
    stage.lab.lab(&["publish-plan", "pg-0001", "20200101T000000Z-aaaa"]).await?.success()?;
    refuses_to_start(&stage, "20200101T000000Z-aaaa").await?;
    stage.lab.lab(&["publish-plan", "pg-0001", "--withdraw"]).await?.success()?;

    // No disk at all: a failed attach leaves the Director starting instances without one.
    stage.lab.lab(&["break", "attach", PRIMARY]).await?.success()?;
    let failed = stage.lab.lab(&["attach-disk", PRIMARY, &own]).await?;
    ensure!(failed.code != 0, "the attach was to fail");
    refuses_to_start(&stage, "mount").await?;

    // The old disk back, and everything is as it was.
    stage.lab.lab(&["attach-disk", PRIMARY, &own]).await?.success()?;
    stage.lab.lab(&["start", PRIMARY]).await?.success()?;
    stage.lab.lab(&["start", STANDBY]).await?.success()?;
    stage.holds("a=2").await?;
    stage.down().await
}

//! An ordinary stop: it loses nothing, leaves nothing unarchived that can be archived, and never hangs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::stage::{DEPLOYMENT, PRIMARY, Stage, eventually};

/// Longer than bpm leaves a process between its signal and SIGQUIT.
const SLOW_ARCHIVE: &str = "ALTER SYSTEM SET archive_command = 'sleep 16; /var/vcap/packages/remount-agent/bin/remount-wal push \
                            --config /var/vcap/jobs/remount-agent/config/agent.json %p'";
/// More than the limits of the drains and bpm's own add up to where nothing can be archived.
const STOP_LIMIT: Duration = Duration::from_secs(90);
const DATA: &str = "/var/vcap/store/postgres/data";

/// What the control file calls the state of the stopped server.
async fn state(stage: &Stage) -> Result<String> {
    let line = format!(
        "LC_ALL=C /var/vcap/packages/postgres-15/bin/pg_controldata {DATA} | sed -n 's/^Database cluster state: *//p'"
    );
    Ok(stage.lab.shell(PRIMARY, &line).await?.success()?.stdout.trim().to_owned())
}

/// Segments that wait to be archived.
async fn unarchived(stage: &Stage) -> Result<Vec<String>> {
    let line = format!("cd {DATA}/pg_wal/archive_status && ls | sed -n 's/[.]ready$//p'");
    let ran = stage.lab.shell(PRIMARY, &line).await?.success()?;
    Ok(ran.stdout.split_whitespace().map(str::to_owned).collect())
}

/// Writes until the server refuses, so that a stop always finds a segment that is not archived yet.
async fn write_until_it_ends(stage: &Stage) -> Result<()> {
    let client = stage.primary.connect().await?;
    let insert = "INSERT INTO marks SELECT coalesce(max(id), 0) + 1, 'load' FROM marks";
    while client.execute(insert, &[]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn stop(stage: &Stage) -> Result<Duration> {
    let began = Instant::now();
    let (stopped, wrote) = tokio::join!(stage.lab.lab(&["stop", PRIMARY]), write_until_it_ends(stage));
    stopped?.success()?;
    wrote?;
    Ok(began.elapsed())
}

#[tokio::test]
async fn a_stop_waits_for_a_slow_archive_and_gives_up_on_a_dead_one() -> Result<()> {
    let stage = Stage::up().await?;
    stage.superuser(SLOW_ARCHIVE).await?;
    stage.superuser("SELECT pg_reload_conf()").await?;
    stop(&stage).await?;
    let (left, state_then) = (unarchived(&stage).await?, state(&stage).await?);
    ensure!(left.is_empty(), "the stop left {left:?} unarchived");
    ensure!(state_then == "shut down", "the server was not stopped cleanly: {state_then}");

    stage.lab.lab(&["start", PRIMARY]).await?.success()?;
    stage.superuser("ALTER SYSTEM RESET archive_command").await?;
    stage.superuser("SELECT pg_reload_conf()").await?;
    stage.lab.lab(&["break", "store"]).await?.success()?;
    let took = stop(&stage).await?;
    ensure!(took < STOP_LIMIT, "without a store the stop took {took:?}");
    let (left, state_then) = (unarchived(&stage).await?, state(&stage).await?);
    ensure!(!left.is_empty(), "a segment was archived without a store");
    ensure!(state_then == "shut down", "the server was not stopped cleanly: {state_then}");
    let said = "cat /var/vcap/sys/log/remount-agent/post-stop.stderr.log";
    let said = stage.lab.shell(PRIMARY, said).await?.success()?.stdout;
    ensure!(said.contains(&left[0]), "{left:?} is not named:\n{said}");

    // What was left is archived by the next start.
    stage.lab.lab(&["break", "store", "--mend"]).await?.success()?;
    stage.lab.lab(&["start", PRIMARY]).await?.success()?;
    eventually("the segments that were left are archived", || async {
        let now = unarchived(&stage).await?;
        Ok(!left.iter().any(|segment| now.contains(segment)))
    })
    .await?;
    ensure!(stage.instance(0).await?.job_state.as_deref() == Some("running"), "{DEPLOYMENT} does not run");
    stage.down().await
}

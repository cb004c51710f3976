//! An ordinary stop: it loses nothing, leaves nothing unarchived that can be archived, and never hangs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::test_landscape::{DEPLOYMENT, PRIMARY, TestLandscape, eventually};

/// Longer than bpm leaves a process between its signal and SIGQUIT.
const SLOW_ARCHIVE: &str = "ALTER SYSTEM SET archive_command = 'sleep 16; /var/vcap/packages/remount-agent/bin/remount-wal push \
                            --config /var/vcap/jobs/remount-agent/config/agent.json %p'";
/// More than the limits of the drains, bpm's own and `post_stop.deadline_seconds` add up to where nothing can be archived.
const STOP_LIMIT: Duration = Duration::from_secs(150);
const DATA: &str = "/var/vcap/store/postgres/data";

/// What the control file calls the state of the stopped server.
async fn state(landscape: &TestLandscape) -> Result<String> {
    let line = format!(
        "LC_ALL=C /var/vcap/packages/postgres-15/bin/pg_controldata {DATA} | sed -n 's/^Database cluster state: *//p'"
    );
    Ok(landscape.lab.shell(PRIMARY, &line).await?.success()?.stdout.trim().to_owned())
}

/// Segments that wait to be archived.
async fn unarchived(landscape: &TestLandscape) -> Result<Vec<String>> {
    let line = format!("cd {DATA}/pg_wal/archive_status && ls | sed -n 's/[.]ready$//p'");
    let ran = landscape.lab.shell(PRIMARY, &line).await?.success()?;
    Ok(ran.stdout.split_whitespace().map(str::to_owned).collect())
}

/// Writes until the server refuses, so that a stop always finds a segment that is not archived yet.
async fn write_until_it_ends(landscape: &TestLandscape) -> Result<()> {
    let client = landscape.primary.connect().await?;
    let insert = "INSERT INTO marks SELECT coalesce(max(id), 0) + 1, 'load' FROM marks";
    while client.execute(insert, &[]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn stop(landscape: &TestLandscape) -> Result<Duration> {
    let began = Instant::now();
    let (stopped, wrote) =
        tokio::join!(landscape.lab.lab(&["stop", PRIMARY]), write_until_it_ends(landscape));
    stopped?.success()?;
    wrote?;
    Ok(began.elapsed())
}

#[tokio::test]
async fn a_stop_waits_for_a_slow_archive_and_gives_up_on_a_dead_one() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.superuser(SLOW_ARCHIVE).await?;
    landscape.superuser("SELECT pg_reload_conf()").await?;
    stop(&landscape).await?;
    let (left, state_then) = (unarchived(&landscape).await?, state(&landscape).await?);
    ensure!(left.is_empty(), "the stop left {left:?} unarchived");
    ensure!(state_then == "shut down", "the server was not stopped cleanly: {state_then}");

    landscape.lab.lab(&["start", PRIMARY]).await?.success()?;
    landscape.superuser("ALTER SYSTEM RESET archive_command").await?;
    landscape.superuser("SELECT pg_reload_conf()").await?;
    landscape.lab.lab(&["break", "store"]).await?.success()?;
    let took = stop(&landscape).await?;
    ensure!(took < STOP_LIMIT, "without a store the stop took {took:?}");
    let (left, state_then) = (unarchived(&landscape).await?, state(&landscape).await?);
    ensure!(!left.is_empty(), "a segment was archived without a store");
    ensure!(state_then == "shut down", "the server was not stopped cleanly: {state_then}");
    let said = "cat /var/vcap/sys/log/remount-agent/post-stop.stderr.log";
    let said = landscape.lab.shell(PRIMARY, said).await?.success()?.stdout;
    ensure!(said.contains(&left[0]), "{left:?} is not named:\n{said}");

    // What was left is archived by the next start.
    landscape.lab.lab(&["break", "store", "--mend"]).await?.success()?;
    landscape.lab.lab(&["start", PRIMARY]).await?.success()?;
    eventually("the segments that were left are archived", || async {
        let now = unarchived(&landscape).await?;
        Ok(!left.iter().any(|segment| now.contains(segment)))
    })
    .await?;
    ensure!(
        landscape.instance(0).await?.job_state.as_deref() == Some("running"),
        "{DEPLOYMENT} does not run"
    );
    landscape.down().await
}

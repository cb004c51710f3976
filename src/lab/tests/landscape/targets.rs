//! Every kind of target, restores of restored clusters, and points on earlier timelines.

use anyhow::Result;

use crate::test_landscape::{TestLandscape, eventually, marks};

#[tokio::test]
async fn every_kind_of_target_brings_back_exactly_what_was_committed_by_then() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    let backup = landscape.back_up().await?;
    landscape.mark("b", 5).await?;
    let lsn = landscape.value("SELECT pg_current_wal_flush_lsn()::text").await?;
    let xid = landscape.mark("c", 2).await?;
    landscape.superuser("SELECT pg_create_restore_point('after-c')::text").await?;
    landscape.mark("d", 4).await?;
    let time = landscape.now().await?;
    landscape.mark("e", 1).await?;

    // Each goes back on timeline 1, from clusters that are by then on timelines 1, 2, 3, 4, 5.
    landscape.restore_to(&["--to-time", &time], "a=3 b=5 c=2 d=4").await?;
    let first = ["--timeline", "1", "--from-backup", &backup];
    landscape.restore_to(&[&["--to-name", "after-c"], &first[..]].concat(), "a=3 b=5 c=2").await?;
    landscape.restore_to(&[&["--to-xid", &xid], &first[..]].concat(), "a=3 b=5 c=2").await?;
    landscape.restore_to(&["--to-lsn", &lsn, "--timeline", "1"], "a=3 b=5").await?;
    landscape.restore_to(&["--to-backup", &backup], "a=3").await?;

    // And forward from there: what was written after the last restore is the latest now.
    landscape.mark("f", 6).await?;
    landscape.restore_to(&["--to-latest"], "a=3 f=6").await?;
    landscape.down().await
}

#[tokio::test]
async fn an_instant_after_which_nothing_was_committed_is_reached() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.back_up().await?;
    landscape.mark("a", 3).await?;
    let time = landscape.now().await?;
    // PostgreSQL ends recovery with an error where it finds no commit later than the target: the restore makes one.
    landscape.restore_to(&["--to-time", &time], "a=3").await?;
    landscape.down().await
}

#[tokio::test]
async fn a_standby_never_shows_what_lies_past_the_fork() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("kept", 10).await?;
    landscape.back_up().await?;
    let time = landscape.now().await?;
    // Several segments past the target: an eager standby would find them all in the archive.
    for _ in 0..4 {
        landscape.mark("lost", 10).await?;
        landscape.superuser("CHECKPOINT").await?;
        landscape.superuser("SELECT pg_switch_wal()::text").await?;
    }
    landscape.restore_to(&["--to-time", &time], "kept=10").await?;
    // Past the restore nothing may come back either.
    landscape.mark("after", 1).await?;
    eventually("the standby follows", || async {
        let found = marks(&landscape.standby).await?;
        anyhow::ensure!(!found.contains("lost"), "the standby replayed past the fork: {found}");
        Ok(found == "after=1 kept=10")
    })
    .await?;
    landscape.down().await
}

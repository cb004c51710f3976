//! What cannot be restored is refused before anything is touched, with the reason.

use anyhow::{Result, ensure};

use crate::test_landscape::TestLandscape;

/// The plan is refused with exit code 1, says `reason` and what to do next, and the cluster has not noticed.
async fn refused(landscape: &TestLandscape, target: &[&str], reason: &str) -> Result<()> {
    let before = landscape.fingerprint().await?;
    let ran = landscape.restore(target).await?;
    let text = ran.text();
    ensure!(ran.code == 1, "exit code {} for {target:?}:\n{text}", ran.code);
    ensure!(text.contains(reason), "`{reason}` is not said for {target:?}:\n{text}");
    ensure!(text.contains("next:"), "no next step is said for {target:?}:\n{text}");
    ensure!(landscape.fingerprint().await? == before, "the cluster was touched by {target:?}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused_with_the_reason_and_nothing_is_touched() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    let early = landscape.now().await?;
    refused(&landscape, &["--to-latest"], "backup").await?;
    landscape.mark("a", 1).await?;
    landscape.back_up().await?;
    refused(&landscape, &["--to-time", &early], "before").await?;
    refused(&landscape, &["--to-time", "2126-01-01T00:00:00Z"], "future").await?;
    refused(&landscape, &["--to-lsn", "FF/0"], "beyond").await?;

    // A hole: one segment between the backup and the end is lost from the archive.
    let segment = landscape.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await?;
    landscape.mark("b", 1).await?;
    for _ in 0..3 {
        landscape.mark("c", 1).await?;
        landscape.superuser("SELECT pg_switch_wal()::text").await?;
    }
    let find =
        format!("find {}/store -name '{segment}' -print -delete | grep .", landscape.lab.dir().display());
    crate::test_landscape::eventually("the segment is archived and deleted", || async {
        Ok(landscape.lab.shell("remount/remount/0", &find).await?.code == 0)
    })
    .await?;
    refused(&landscape, &["--to-latest"], &segment).await?;

    let own =
        landscape.lab.remount(&["restore", "request", "--deployment", "remount", "--to-latest"]).await?;
    ensure!(own.code == 2, "exit code {} for the errand's own deployment", own.code);
    ensure!(own.text().contains("lock"), "the Director's lock is not named:\n{}", own.text());
    landscape.down().await
}

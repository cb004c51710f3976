//! Two at once: restores of one cluster, and a restore beside a backup. One acts, the other says why it does not.

use anyhow::{Context, Result, ensure};
use remount_lab::story::Ran;

use crate::stage::{DEPLOYMENT, Stage};

const RESTORE: [&str; 5] = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-latest"];

/// The one that acted, and the one that did not.
fn winner_and_loser(one: Ran, other: Ran) -> Result<(Ran, Ran)> {
    ensure!((one.code == 0) != (other.code == 0), "exactly one acts:\n{}\n{}", one.text(), other.text());
    Ok(if one.code == 0 { (one, other) } else { (other, one) })
}

/// The other's words: who holds the lease, for what, and since when.
fn names_the_holder(loser: &Ran, purpose: &str) -> Result<()> {
    let text = loser.text();
    let named = ["remount on", "process", purpose, "since 20"].iter().all(|part| text.contains(part));
    ensure!(named && loser.code == 1, "exit code {}, and it names the holder: {text}", loser.code);
    Ok(())
}

#[tokio::test]
async fn of_two_restores_at_the_same_moment_one_acts_and_the_other_names_it() -> Result<()> {
    let stage = Stage::up().await?;
    stage.mark("a", 3).await?;
    stage.back_up().await?;
    stage.mark("b", 4).await?;
    let (one, other) = tokio::join!(stage.lab.remount(&RESTORE), stage.lab.remount(&RESTORE));
    let (_, loser) = winner_and_loser(one?, other?)?;
    names_the_holder(&loser, "restore")?;
    stage.holds("a=3 b=4").await?;
    let timeline = stage.superuser("SELECT timeline_id FROM pg_control_checkpoint()").await?;
    ensure!(timeline == "2", "restored once, not twice: timeline {timeline}");
    stage.down().await
}

#[tokio::test]
async fn a_backup_during_a_restore_waits_for_another_day() -> Result<()> {
    let stage = Stage::up().await?;
    stage.mark("a", 3).await?;
    stage.back_up().await?;
    let restore = stage.lab.remount(&RESTORE);
    let backup = async {
        let held =
            || async { Ok(stage.lab.remount(&["journal", "--deployment", DEPLOYMENT]).await?.code == 0) };
        crate::stage::eventually("the restore begins", held).await?;
        stage.lab.remount(&["backup", "--deployment", DEPLOYMENT]).await
    };
    let (restored, backup) = tokio::join!(restore, backup);
    restored?.success().context("the restore is not disturbed")?;
    names_the_holder(&backup?, "restore")?;
    stage.holds("a=3").await?;
    ensure!(stage.backups().await?.len() == 2, "the first one, and the restore's own");
    stage.down().await
}

//! A short ledger trial; an hour of it: `remount-lab trial --minutes 60`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Its two minutes have backups, restores to several kinds of target, a killed process, killed postmasters, an abort.
const SEED: &str = "11";

#[tokio::test]
async fn two_minutes_of_every_kind_of_restore_leave_exactly_what_the_ledger_says() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("remount-landscape-").tempdir()?;
    let mut trial = Command::new(Path::new(env!("CARGO_BIN_EXE_remount-lab")));
    trial.arg("--dir").arg(dir.path().join("lab"));
    trial.args(["trial", "--minutes", "2", "--seed", SEED]).kill_on_drop(true);
    let output = trial.output().await.context("run the trial")?;
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    ensure!(output.status.success(), "{}: {}", output.status, said.join("\n"));
    Ok(())
}

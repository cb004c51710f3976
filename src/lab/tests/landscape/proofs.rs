//! A sample of the proofs on the lab; all of them: `cargo xtask proofs --lab`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

#[tokio::test]
async fn a_sample_of_broken_steps_ends_restored_or_as_before() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("remount-landscape-").tempdir()?;
    let mut proofs = Command::new(Path::new(env!("CARGO_BIN_EXE_remount-lab")));
    proofs.arg("--dir").arg(dir.path().join("lab")).args(["proofs", "--sample"]).kill_on_drop(true);
    let output = proofs.output().await.context("run the sample")?;
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    ensure!(output.status.success(), "{}: {}", output.status, said.join("\n"));
    Ok(())
}

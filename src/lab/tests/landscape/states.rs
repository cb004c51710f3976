//! The states a cluster can be in when a restore begins.

use anyhow::{Context, Result};

use crate::stage::{PRIMARY, STANDBY, Stage};

#[tokio::test]
async fn a_stopped_cluster_is_restored() -> Result<()> {
    let stage = Stage::up().await?;
    stage.mark("a", 3).await?;
    stage.back_up().await?;
    stage.mark("b", 4).await?;
    stage.lab.lab(&["stop", STANDBY]).await?.success()?;
    stage.lab.lab(&["stop", PRIMARY]).await?.success()?;
    // A clean stop archives the last segment: nothing that was committed may be missing.
    stage.restore_to(&["--to-latest"], "a=3 b=4").await?;
    stage.down().await
}

#[tokio::test]
async fn a_cluster_whose_primary_lost_its_vm_is_restored() -> Result<()> {
    let stage = Stage::up().await?;
    stage.mark("a", 3).await?;
    let backup = stage.back_up().await?;
    let old_vm = stage.instance(0).await?.vm.context("the primary has a VM")?;
    stage.lab.lab(&["break", "vm", PRIMARY]).await?.success()?;
    stage.restore_to(&["--to-backup", &backup], "a=3").await?;
    let new_vm = stage.instance(0).await?.vm.context("the primary has a VM again")?;
    anyhow::ensure!(old_vm != new_vm, "the VM was not replaced");
    stage.down().await
}

//! The states a cluster can be in when a restore begins.

use anyhow::{Context, Result};

use crate::test_landscape::{PRIMARY, STANDBY, TestLandscape};

#[tokio::test]
async fn a_stopped_cluster_is_restored() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    landscape.back_up().await?;
    landscape.mark("b", 4).await?;
    landscape.lab.lab(&["stop", STANDBY]).await?.success()?;
    landscape.lab.lab(&["stop", PRIMARY]).await?.success()?;
    // A clean stop archives the last segment: nothing that was committed may be missing.
    landscape.restore_to(&["--to-latest"], "a=3 b=4").await?;
    landscape.down().await
}

#[tokio::test]
async fn a_cluster_whose_primary_lost_its_vm_is_restored() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 3).await?;
    let backup = landscape.back_up().await?;
    let old_vm = landscape.instance(0).await?.vm.context("the primary has a VM")?;
    landscape.lab.lab(&["break", "vm", PRIMARY]).await?.success()?;
    landscape.restore_to(&["--to-backup", &backup], "a=3").await?;
    let new_vm = landscape.instance(0).await?.vm.context("the primary has a VM again")?;
    anyhow::ensure!(old_vm != new_vm, "the VM was not replaced");
    landscape.down().await
}

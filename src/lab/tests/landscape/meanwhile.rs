//! What others do to the deployment while a restore is under way: deploys, a resize, dead VMs and their
//! resurrection. Each ends restored or as before, and the process says what it met.

use anyhow::{Result, ensure};
use remount_lab::scenarios::EndState;
use serde_json::json;

use crate::test_landscape::{PRIMARY, value};
use crate::under_load::UnderLoad;

/// Longer than the Director waits for a lock (10 s), so that a task of the restore fails because of it.
const DEPLOY_MS: u64 = 15_000;
/// Time to begin something before the Director does what the restore has asked for.
const PAUSE_MS: u64 = 3_000;

/// A restore with a deploy that begins while the Director thinks about `operation` on the instance.
async fn restore_beside_deploy(
    under_load: &UnderLoad,
    step: &str,
    operation: &str,
    index: usize,
    work_mem: &str,
) -> Result<()> {
    let only = under_load.cluster.short(index);
    under_load
        .fault(&json!({"on": operation, "kind": "slow_task", "milliseconds": PAUSE_MS, "only": only}))
        .await?;
    under_load.fault(&json!({"on": "deploy", "kind": "slow_under_lock", "milliseconds": DEPLOY_MS})).await?;
    let mut restore = under_load.begin_restore(step).await?;
    let mut deploy = under_load.deploy(|group| group.set("work_mem", work_mem)).await?;
    restore.is_at(step).await?;
    let deployed = deploy.status().await?;
    ensure!(deployed.success(), "the deploy failed");
    let (ran, state) = restore.end().await?;
    let said = ran.text();
    ensure!(ran.code == 0 && state == EndState::Restored, "{state:?}\n{said}");
    let named = said.contains("holds the lock of deployment pg-0001; waiting for it");
    ensure!(named, "who holds the lock is not said:\n{said}");
    for endpoint in [&under_load.cluster.primary, &under_load.cluster.standby] {
        let found = value(endpoint, "SHOW work_mem").await?;
        ensure!(found == work_mem, "work_mem is {found} on {}, not what was deployed", endpoint.address);
    }
    Ok(())
}

#[tokio::test]
async fn a_deploy_in_the_middle_is_waited_for_and_starts_no_swapped_disk() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    restore_beside_deploy(&under_load, "swap_standbys", "stop", 1, "5MB").await?;
    restore_beside_deploy(&under_load, "recover", "start", 0, "6MB").await?;
    under_load.down().await
}

#[tokio::test]
async fn a_deploy_that_changes_disks_or_instances_in_the_middle_is_found() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    let pause = json!({"on": "stop", "kind": "slow_task", "milliseconds": PAUSE_MS, "only": under_load.cluster.short(1)});
    under_load.fault(&pause).await?;
    let mut restore = under_load.begin_restore("resize").await?;
    let mut deploy = under_load.deploy(|group| group.resize(1536)).await?;
    restore.is_at("swap_standbys").await?;
    let deployed = deploy.status().await?;
    ensure!(deployed.success(), "the deploy failed");
    let disks = under_load.disks().await?;
    let (ran, state) = restore.end().await?;
    ensure!(
        ran.code == 3 && state == EndState::AsBefore,
        "{state:?}, exit code {}\n{}",
        ran.code,
        ran.text()
    );
    ensure!(under_load.disks().await? == disks, "the resized disks are not there any more");
    let said = ran.text();
    ensure!(said.contains("since the restore began: a deploy put it"), "the deploy is not named:\n{said}");
    ensure!(said.contains("keeps disk"), "that the resized disk stays is not said:\n{said}");
    under_load.restore("after the resize").await?;

    // A standby that joins meanwhile would follow what is given up.
    under_load.fault(&pause).await?;
    let mut restore = under_load.begin_restore("scale up").await?;
    let mut deploy = under_load.deploy(|group| group.scale(3)).await?;
    restore.is_at("swap_standbys").await?;
    let deployed = deploy.status().await?;
    ensure!(deployed.success(), "the deploy failed");
    let (ran, state) = restore.end().await?;
    ensure!(
        ran.code == 3 && state == EndState::AsBefore,
        "{state:?}, exit code {}\n{}",
        ran.code,
        ran.text()
    );
    ensure!(ran.text().contains("joined since the restore was planned"), "why?\n{}", ran.text());
    under_load.restore("with three").await?;
    under_load.down().await
}

/// Kills the primary's VM while the Director thinks about `operation` on the instance.
async fn restore_with_a_dead_primary(
    under_load: &UnderLoad,
    step: &str,
    operation: &str,
    index: usize,
    afterwards: &[&str],
) -> Result<(i32, EndState, String)> {
    let only = under_load.cluster.short(index);
    under_load
        .fault(&json!({"on": operation, "kind": "slow_task", "milliseconds": PAUSE_MS, "only": only}))
        .await?;
    let mut restore = under_load.begin_restore(&format!("{step} {afterwards:?}")).await?;
    restore.is_at(step).await?;
    under_load.landscape.lab.lab(&["break", "vm", PRIMARY]).await?.success()?;
    if !afterwards.is_empty() {
        under_load.landscape.lab.lab(afterwards).await?.success()?;
    }
    let (ran, state) = restore.end().await?;
    Ok((ran.code, state, ran.text()))
}

#[tokio::test]
async fn a_primary_that_dies_in_the_middle_is_restored_or_as_before() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    // On its old disk it comes back to life, goes on, and is stopped again for its new one.
    let resurrect = ["resurrect", PRIMARY];
    let (code, state, said) =
        restore_with_a_dead_primary(&under_load, "swap_standbys", "stop", 1, &resurrect).await?;
    ensure!(code == 0 && state == EndState::Restored, "{state:?}, exit code {code}\n{said}");
    // With its new disk its new VM is not started by the resurrector: it is to be stopped.
    let (code, state, said) =
        restore_with_a_dead_primary(&under_load, "recover", "start", 0, &resurrect).await?;
    ensure!(code == 0 && state == EndState::Restored, "{state:?}, exit code {code}\n{said}");
    // Nobody resurrects it: the restore has its VM recreated itself, on either way.
    let (code, state, said) =
        restore_with_a_dead_primary(&under_load, "swap_standbys", "stop", 1, &[]).await?;
    ensure!(code == 0 && state == EndState::Restored, "{state:?}, exit code {code}\n{said}");
    ensure!(said.contains("no agent answers; its VM is deleted and recreated"), "it is not said:\n{said}");
    let (code, state, said) = restore_with_a_dead_primary(&under_load, "recover", "start", 0, &[]).await?;
    ensure!(code == 3 && state == EndState::AsBefore, "{state:?}, exit code {code}\n{said}");
    ensure!(said.contains("no agent answers; its VM is deleted and recreated"), "it is not said:\n{said}");
    under_load.down().await
}

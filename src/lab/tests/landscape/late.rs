//! A driver that sleeps through the end of its lease, as on a VM that was paused: another has gone on or gone back
//! meanwhile, and what the late one does then must change nothing.

use anyhow::{Result, ensure};
use remount_lab::scenarios::EndState;
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::stage::{DEPLOYMENT, eventually};

/// Another process takes the restore over in the middle of its stop of the primary; then the first wakes up.
async fn is_late(scene: &Scene, slow: Value, way_on: &str, expected: EndState) -> Result<()> {
    scene.fault(&slow).await?;
    let mut restore = scene.begin_restore(way_on).await?;
    restore.is_at("stop_primary").await?;
    restore.pause()?;
    scene.stage.lab.lab(&["break", "mend"]).await?.success()?;
    let id = scene.newest_restore().await?;
    let taken_over = || async { Ok(scene.stage.lab.remount(&[way_on, &id]).await?.code == 0) };
    eventually(&format!("another process can {way_on} when the lease is over"), taken_over).await?;
    let before = scene.disks().await?;
    restore.wake()?;
    let (late, state) = restore.end().await?;
    ensure!(late.text().contains("was taken over"), "it does not know that it is late:\n{}", late.text());
    ensure!(state == expected, "{state:?}:\n{}", late.text());
    ensure!(scene.disks().await? == before, "the late driver changed a disk:\n{}", late.text());
    Ok(())
}

#[tokio::test]
async fn a_driver_that_wakes_up_late_does_no_harm() -> Result<()> {
    let scene = Scene::up().await?;
    // Asleep while it asks which primary there is: when it wakes up it is about to stop it.
    let look =
        json!({"on": "instances", "kind": "slow_task", "milliseconds": 500, "only": DEPLOYMENT, "times": 50});
    is_late(&scene, look, "rollback", EndState::AsBefore).await?;
    // Asleep while the primary stops.
    let stop =
        json!({"on": "stop", "kind": "slow_task", "milliseconds": 3000, "only": scene.cluster.short(0)});
    is_late(&scene, stop, "resume", EndState::Restored).await?;
    scene.down().await
}

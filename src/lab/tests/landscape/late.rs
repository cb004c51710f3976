//! A process that sleeps through the end of its lease, as on a VM that was paused: another has resumed or rolled back
//! meanwhile, and what the late one does then must change nothing.

use anyhow::{Result, ensure};
use remount_lab::scenarios::EndState;
use serde_json::{Value, json};

use crate::test_landscape::{DEPLOYMENT, eventually};
use crate::under_load::UnderLoad;

/// Another process takes the restore over in the middle of its stop of the primary; then the first wakes up.
async fn is_late(under_load: &UnderLoad, slow: Value, way_on: &str, expected: EndState) -> Result<()> {
    under_load.fault(&slow).await?;
    let mut restore = under_load.begin_restore(way_on).await?;
    restore.is_at("stop_primary").await?;
    restore.pause()?;
    under_load.landscape.lab.lab(&["break", "mend"]).await?.success()?;
    let id = under_load.newest_restore().await?;
    let taken_over = || async { Ok(under_load.landscape.lab.remount(&[way_on, &id]).await?.code == 0) };
    eventually(&format!("another process can {way_on} when the lease is over"), taken_over).await?;
    let before = under_load.disks().await?;
    restore.wake()?;
    let (late, state) = restore.end().await?;
    ensure!(late.text().contains("was taken over"), "it does not know that it is late:\n{}", late.text());
    ensure!(state == expected, "{state:?}:\n{}", late.text());
    ensure!(under_load.disks().await? == before, "the late process changed a disk:\n{}", late.text());
    Ok(())
}

#[tokio::test]
async fn a_driver_that_wakes_up_late_does_no_harm() -> Result<()> {
    let under_load = UnderLoad::up().await?;
    // Asleep while it asks which primary there is: when it wakes up it is about to stop it.
    let look =
        json!({"on": "instances", "kind": "slow_task", "milliseconds": 500, "only": DEPLOYMENT, "times": 50});
    is_late(&under_load, look, "rollback", EndState::AsBefore).await?;
    // Asleep while the primary stops.
    let stop =
        json!({"on": "stop", "kind": "slow_task", "milliseconds": 3000, "only": under_load.cluster.short(0)});
    is_late(&under_load, stop, "resume", EndState::Restored).await?;
    under_load.down().await
}

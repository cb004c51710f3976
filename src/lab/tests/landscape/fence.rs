//! PostgreSQL never starts on a disk that nobody planned for: the decision table of `docs/design.md` section 5, on real VMs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remount_core::documents::RestorePlan;
use remount_host::RetryPolicy;
use remount_store::{ClusterStore, Lease, Purpose, StoreConfig};
use serde_json::Value;

use crate::test_landscape::{DEPLOYMENT, PRIMARY, STANDBY, TestLandscape};

/// Starts the primary, which must fail because its pre-start refuses with `reason` and a next step.
async fn refuses_to_start(landscape: &TestLandscape, reason: &str) -> Result<()> {
    let started = landscape.lab.lab(&["start", PRIMARY]).await?;
    ensure!(started.code != 0, "the primary was started:\n{}", started.text());
    let log = "cat /var/vcap/sys/log/remount-agent/pre-start.stderr.log /var/vcap/sys/log/postgres/pre-start.stderr.log";
    let said = landscape.lab.shell(PRIMARY, log).await?.text();
    ensure!(said.contains(reason), "`{reason}` is not said:\n{said}");
    ensure!(said.contains("next:"), "no next step is said:\n{said}");
    let alive = landscape.lab.shell(PRIMARY, "pgrep -x postgres").await?;
    ensure!(alive.code != 0, "PostgreSQL runs");
    landscape.lab.lab(&["stop", PRIMARY]).await?.success().map(drop)
}

/// Makes a disk with the content of the newest snapshot, as nobody should by hand, and answers with its CID.
async fn copy_of_the_snapshot(landscape: &TestLandscape) -> Result<String> {
    let ran = landscape.lab.lab(&["clone-snapshot", PRIMARY]).await?.success()?;
    let cid = ran.stdout.trim().to_owned();
    ensure!(!cid.is_empty(), "no CID was printed");
    Ok(cid)
}

/// A backup that no disk here is of.
const OTHER_BACKUP: &str = "20200101T000000Z-aaaa";

/// The plan of a restore from a backup that the attached disk is not of.
async fn plan_of_another_backup(landscape: &TestLandscape) -> Result<RestorePlan> {
    let ran = landscape
        .lab
        .remount(&["plan", "--deployment", DEPLOYMENT, "--to-latest", "--json"])
        .await?
        .success()?;
    let answer: Value = serde_json::from_str(&ran.stdout)?;
    let mut plan: RestorePlan = serde_json::from_value(answer["plan"].clone())?;
    plan.id = OTHER_BACKUP.parse()?;
    plan.path.backup = OTHER_BACKUP.parse()?;
    Ok(plan)
}

/// The cluster in the store, with the private key of the control plane.
async fn cluster(landscape: &TestLandscape) -> Result<ClusterStore> {
    let file = "cat /var/vcap/jobs/remount/config/store.json";
    let store: StoreConfig =
        serde_json::from_str(&landscape.lab.shell("remount/remount/0", file).await?.success()?.stdout)?;
    Ok(store.open(&RetryPolicy::within(Duration::from_secs(5)))?.cluster(&DEPLOYMENT.parse()?))
}

async fn publish(landscape: &TestLandscape, plan: RestorePlan) -> Result<Lease> {
    let cluster = cluster(landscape).await?;
    let lease = cluster.take_lease("the test", Purpose::Restore, Duration::from_secs(300)).await?;
    cluster.write_plan(&plan, &lease).await?;
    cluster.publish(&plan.id, &lease).await?;
    Ok(lease)
}

#[tokio::test]
async fn a_disk_that_nobody_planned_for_is_not_started() -> Result<()> {
    let landscape = TestLandscape::up().await?;
    landscape.mark("a", 2).await?;
    landscape.back_up().await?;
    let own = landscape.instance(0).await?.disk.context("the primary has a disk")?;
    let copy = copy_of_the_snapshot(&landscape).await?;
    let plan = plan_of_another_backup(&landscape).await?;
    landscape.lab.lab(&["stop", STANDBY]).await?.success()?;
    landscape.lab.lab(&["stop", PRIMARY]).await?.success()?;

    // Store down: whether there is a plan cannot be known, so it refuses rather than guess.
    landscape.lab.lab(&["attach-disk", PRIMARY, &copy]).await?.success()?;
    landscape.lab.lab(&["break", "store"]).await?.success()?;
    refuses_to_start(&landscape, "store").await?;
    landscape.lab.lab(&["break", "store", "--mend"]).await?.success()?;

    // A plan with another backup: the wrong disk.
    let lease = publish(&landscape, plan).await?;
    refuses_to_start(&landscape, OTHER_BACKUP).await?;
    cluster(&landscape).await?.withdraw(&lease).await?;
    lease.release().await?;

    // No disk at all: a failed attach leaves the Director starting instances without one.
    landscape.lab.lab(&["break", "attach"]).await?.success()?;
    let failed = landscape.lab.lab(&["attach-disk", PRIMARY, &own]).await?;
    ensure!(failed.code != 0, "the attach was to fail");
    refuses_to_start(&landscape, "mount").await?;

    // The old disk back, and everything is as it was.
    landscape.lab.lab(&["attach-disk", PRIMARY, &own]).await?.success()?;
    landscape.lab.lab(&["start", PRIMARY]).await?.success()?;
    landscape.lab.lab(&["start", STANDBY]).await?.success()?;
    landscape.holds("a=2").await?;
    landscape.down().await
}

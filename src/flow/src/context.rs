//! What every flow is given: the adapters, who asks, and how long each wait may last.

use std::sync::Arc;
use std::time::Duration;

use remount_cloud::{Disk, DiskCloud};
use remount_core::{DeploymentName, DiskCid};
use remount_director::{Director, TASK_PACE};
use remount_host::Pace;
use remount_postgres::Servers;
use remount_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{FlowError, OldDiskRetention, Result};

/// What every flow is given. The adapters try again what fails in passing; a flow asks again only for a state,
/// after looking what is there.
#[derive(Clone, Debug)]
pub struct FlowContext {
    /// Disks and snapshots.
    pub cloud: Arc<dyn DiskCloud>,
    /// The Director of the deployments.
    pub director: Arc<dyn Director>,
    /// The way to the agents.
    pub servers: Arc<dyn Servers>,
    /// The object store.
    pub store: Store,
    /// Who acts, as leases and journals name it: host, program and process id.
    pub owner: String,
    /// The deployment this program runs in as an errand, where it does: the Director holds its lock for the
    /// whole of the errand, so that it can never be restored from there.
    pub own_deployment: Option<DeploymentName>,
    /// How long old disks are kept.
    pub old_disks: OldDiskRetention,
    /// How long each wait may last.
    pub timeouts: Timeouts,
    /// Cancelled to stop: waits end at once, steps are not cut.
    pub cancellation: CancellationToken,
}

impl FlowContext {
    /// A disk as the cloud describes it now; none where the cloud does not have it.
    pub(crate) async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        self.cloud.disk(cid).await.map_err(FlowError::cloud(format!("look at disk {cid}")))
    }
}

/// How long each wait may last. No wait of a flow is without one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A cluster's lease ends by itself when its owner has given no sign of life for this long.
    pub lease_term: Duration,
    /// The agent ends backup mode by itself when it was not renewed for this long.
    pub agent_lease: Duration,
    /// A Director task that stops an instance.
    pub stop: Duration,
    /// A Director task that attaches a disk.
    pub attach: Duration,
    /// A Director task that starts an instance: PostgreSQL's replay is part of it.
    pub start: Duration,
    /// A Director task that deletes an orphaned disk.
    pub delete: Duration,
    /// Until a lock of the Director that another task holds becomes free.
    pub lock: Duration,
    /// Until a request whose answer was lost shows up among the Director's tasks or is taken for never arrived.
    pub lost_answer: Duration,
    /// Until the Director answers a login, before a change is sent.
    pub login: Duration,
    /// Until a snapshot's point in time is fixed.
    pub snapshot_captured: Duration,
    /// Until a snapshot can be restored from.
    pub snapshot_complete: Duration,
    /// Until a new disk can be attached.
    pub disk_usable: Duration,
    /// Until a segment that was closed is in the archive.
    pub archived: Duration,
    /// Until a started primary has proved itself.
    pub verify: Duration,
    /// Until a started standby streams and has replayed a fresh write.
    pub follow: Duration,
    /// How fast looks at a Director task follow each other.
    pub task: Pace,
    /// How fast other questions follow each other: about an archive, a server, a disk that is being made.
    pub poll: Pace,
}

impl Default for Timeouts {
    fn default() -> Self {
        const fn minutes(n: u64) -> Duration {
            Duration::from_secs(60 * n)
        }
        Self {
            lease_term: minutes(1),
            agent_lease: minutes(1),
            stop: minutes(15),
            attach: minutes(15),
            start: minutes(6 * 60),
            delete: minutes(15),
            lock: minutes(10),
            lost_answer: Duration::from_secs(5),
            login: minutes(2),
            snapshot_captured: minutes(15),
            snapshot_complete: minutes(12 * 60),
            disk_usable: minutes(60),
            archived: minutes(10),
            verify: minutes(5),
            follow: minutes(30),
            task: TASK_PACE,
            poll: Pace { first: Duration::from_millis(150), longest: Duration::from_secs(10) },
        }
    }
}

//! What every flow is given: the adapters, who asks, and how long each wait may last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use remount_cloud::DiskCloud;
use remount_core::DeploymentName;
use remount_director::Director;
use remount_postgres::Servers;
use remount_store::Store;

use crate::Keeping;

/// What every flow is given.
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
    pub keeping: Keeping,
    /// How long each wait may last.
    pub timeouts: Timeouts,
    /// Set to stop before the next step.
    pub cancellation: Cancellation,
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
    /// Calls that failed for a passing reason (lost connection, throttle) are repeated for this long.
    pub retry: Duration,
    /// Between two looks at something that is short: a task, an archive, a server.
    pub poll: Duration,
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
            snapshot_captured: minutes(15),
            snapshot_complete: minutes(12 * 60),
            disk_usable: minutes(60),
            archived: minutes(10),
            verify: minutes(5),
            follow: minutes(30),
            retry: minutes(2),
            poll: Duration::from_millis(150),
        }
    }
}

/// A wish to stop: honoured between steps, never inside one. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks for the stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

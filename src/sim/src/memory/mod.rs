//! A landscape in memory: clouds, Director and servers with the semantics that matter to a flow, the
//! unpleasant ones too. Flows and their proofs run against it in milliseconds.
//!
//! What it keeps of reality:
//! * the Director: tasks that go on when nobody waits for them, a deployment lock that stop and start need and
//!   attach does not, bounded workers, a failed attach that leaves the old disk detached while the record says
//!   otherwise, `disk_cid unique` found only after the detach, a soft start that never looks at disks, orphans;
//! * the cloud: snapshots and disks that take a while, tags, creates made one by their key, zones with other names than
//!   the Director's, CIDs of several parts, looks that see the past for a while ([`MemoryLandscape::lag`]);
//! * PostgreSQL: commits in WAL segments that are archived in the store, streaming, backup mode that ends by
//!   itself, `backup.json` on the disk and the agent's decision table (`docs/design.md`, section 5), replay to a target
//!   or a refusal to start, promotion to a new timeline, a standby that must not start before the fork is known.
//!
//! It passes the contract suites ([`crate::contract`]), as the real parts do: what it has of the traits is theirs.
//! [`MemoryLandscape::inject`] makes any call fail, lose its request or its answer.

mod actions;
mod boot;
mod cid_form;
mod cloud;
mod crashing_objects;
mod director;
mod faults;
mod lag;
mod left_mark;
mod mishaps;
mod objects;
mod postgres;
mod server;
mod state;
mod tasks;
mod unarchived;
mod wal_content;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use remount_cloud::DiskCloud;
use remount_core::documents::DiskShape;
use remount_core::{BackupId, ClusterName, DeploymentName, DiskCid, InstanceId, InstanceSlug, TimelineId};
use remount_director::Director;
use remount_postgres::Servers;
use remount_store::{ClusterStore, Store};

pub use cid_form::CidForm;
pub use crashing_objects::{CrashingObjects, Death, DeathAt, StoreFault, StoreFaultKind, Written};
pub use faults::{Fault, Rule};
pub use mishaps::Quota;
pub use objects::MemoryObjects;
pub use unarchived::Archiving;

use state::State;

/// The landscape. Clones are the same landscape.
#[derive(Clone, Debug)]
pub struct MemoryLandscape {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    store: Store,
    cluster: ClusterName,
    deployment: DeploymentName,
    /// The Director's clock is that of the store, which began with it.
    begun: Instant,
    /// The Director's lock of the deployment.
    lock: tokio::sync::Mutex<()>,
    /// The Director's workers.
    workers: tokio::sync::Semaphore,
}

/// As `director.workers`.
const WORKERS: usize = 3;

impl MemoryLandscape {
    /// One cluster with `standbys`, running, its archive and documents in `store`.
    #[must_use]
    pub fn new(store: Store, name: &str, standbys: usize) -> Self {
        Self::with_cids(store, name, standbys, CidForm::Plain)
    }

    /// The same, with CIDs of this form.
    #[must_use]
    pub fn with_cids(store: Store, name: &str, standbys: usize, form: CidForm) -> Self {
        let cluster = ClusterName::new(name).expect("a test's name is a cluster name");
        let deployment = DeploymentName::new(name).expect("a test's name is a deployment name");
        let inner = Inner {
            state: Mutex::new(State::running(name, standbys, form)),
            store,
            cluster,
            deployment,
            begun: Instant::now(),
            lock: tokio::sync::Mutex::new(()),
            workers: tokio::sync::Semaphore::new(WORKERS),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its cloud.
    #[must_use]
    pub fn cloud(&self) -> Arc<dyn DiskCloud> {
        Arc::new(cloud::MemoryCloud(self.clone()))
    }

    /// Its Director.
    #[must_use]
    pub fn director(&self) -> Arc<dyn Director> {
        Arc::new(director::MemoryDirector(self.clone()))
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> Arc<dyn Servers> {
        Arc::new(server::MemoryServers(self.clone()))
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Its cluster in the store.
    #[must_use]
    pub fn cluster_store(&self) -> ClusterStore {
        self.inner.store.cluster(&self.inner.cluster)
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.inner.cluster
    }

    /// Its deployment.
    #[must_use]
    pub fn deployment(&self) -> &DeploymentName {
        &self.inner.deployment
    }

    /// Makes calls fail.
    pub fn inject(&self, rule: Rule) {
        self.state().faults.push(rule);
    }

    /// Takes all injected faults away.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// From now on PostgreSQL leaves recovery by itself at its target.
    pub fn promotes_itself(&self) {
        self.state().promotes_itself = true;
    }

    /// PostgreSQL of an instance that stands at its target leaves recovery now, and nobody asked it to.
    pub async fn leave_recovery(&self, index: usize) {
        self.end_recovery(index).await.expect("it runs");
    }

    /// A server that stood at its target replays one record more: a hand resumed it, or WAL came to the archive's end.
    pub fn replay_on(&self, index: usize) {
        let mut state = self.state();
        let now = state.now;
        state.running_data_mut(index).expect("it runs").write(now, postgres::What::Other);
    }

    /// A client commits on server 0, where it is a restored primary that takes writes; the transaction that was
    /// acknowledged.
    pub fn write_to_restored(&self) -> Option<u64> {
        let mut state = self.state();
        let serves = state.running_data(0).is_some_and(|data| !data.standby && data.replayed_to.is_some());
        serves.then(|| state.commit(1)).and_then(|ids| ids.first().copied())
    }

    /// Whether any disk that the cloud has holds a transaction.
    #[must_use]
    pub fn is_on_a_disk(&self, row: u64) -> bool {
        let state = self.state();
        let mut all = state.disks.values().filter_map(|disk| disk.content.data.as_ref());
        all.any(|data| data.rows().contains(&row))
    }

    /// From now on looks at the cloud may see the past for a while after each change, by this seed.
    pub fn lag(&self, seed: u64) {
        self.state().lag.begin(seed);
    }

    /// From now on looks at the cloud never see a change: it took the order, and lost it.
    pub fn lag_for_ever(&self) {
        self.state().lag.begin_endless();
    }

    /// What its cloud says it needs to show a change; how many looks it takes is another matter.
    pub fn settles_within(&self, settle: Duration) {
        self.state().lag.settles_within(settle);
    }

    /// Time passes, longer than a cloud needs to show what is.
    pub fn settle(&self) {
        self.state().lag.settle();
    }

    /// What the cloud says a disk is.
    #[must_use]
    pub fn shape_of(&self, disk: &DiskCid) -> Option<DiskShape> {
        self.state().disk(disk).map(|found| found.disk.shape.clone())
    }

    /// Sets how long a Director task takes.
    pub fn slow_tasks(&self, seconds: u64) {
        self.state().task_time = Duration::from_secs(seconds);
    }

    /// Sets how long a Director task waits for its deployment's lock; a real one's takes 10 s.
    pub fn wait_for_locks(&self, wait: Duration) {
        self.state().lock_wait = wait;
    }

    /// The instance with this index; 0 is the bootstrap instance.
    #[must_use]
    pub fn slug(&self, index: usize) -> InstanceSlug {
        self.state().instances[index].slug.clone()
    }

    /// The instances' ids, the bootstrap instance's first.
    #[must_use]
    pub fn instance_ids(&self) -> Vec<InstanceId> {
        self.state().instances.iter().map(|instance| instance.slug.id.clone()).collect()
    }

    /// The clock of the landscape.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: i64) {
        let mut state = self.state();
        state.now += SignedDuration::from_secs(seconds);
    }

    /// Commits `count` transactions on the primary; answers their ids. None where no primary serves.
    pub async fn commit(&self, count: u64) -> Vec<u64> {
        let ids = self.state().commit(count);
        self.archive().await;
        ids
    }

    /// The transactions that a server shows; none where it does not run.
    #[must_use]
    pub fn rows(&self, index: usize) -> Option<BTreeSet<u64>> {
        let mut state = self.state();
        state.stream();
        state.rows(index)
    }

    /// The timeline that a server is on; none where it does not run.
    #[must_use]
    pub fn timeline(&self, index: usize) -> Option<TimelineId> {
        self.state().running_data(index).map(|data| data.timeline)
    }

    /// Whether a standby streams from the primary.
    #[must_use]
    pub fn streams(&self, index: usize) -> bool {
        let mut state = self.state();
        state.stream();
        state.streams(index)
    }

    /// Whether the server runs as a primary.
    #[must_use]
    pub fn is_primary(&self, index: usize) -> bool {
        self.state().running_data(index).is_some_and(|data| !data.standby)
    }

    /// Whether the Director has the instance as stopped.
    #[must_use]
    pub fn is_stopped(&self, index: usize) -> bool {
        self.state().instances[index].desired != "started"
    }

    /// The disk that the Director has recorded for an instance, and the one that the cloud has attached.
    #[must_use]
    pub fn disks_of(&self, index: usize) -> (Option<DiskCid>, Option<DiskCid>) {
        let state = self.state();
        let instance = &state.instances[index];
        let attached = instance.vm.as_ref().and_then(|vm| state.disk_on(vm));
        // One disk in two forms is one disk.
        let attached = attached.map(|cid| match &instance.disk {
            Some(recorded) if cid_form::name_of(recorded) == cid_form::name_of(&cid) => recorded.clone(),
            _ => cid,
        });
        (instance.disk.clone(), attached)
    }

    /// Every disk that the cloud has.
    #[must_use]
    pub fn disks(&self) -> BTreeSet<DiskCid> {
        self.state().disks.values().map(|disk| disk.disk.cid.clone()).collect()
    }

    /// How many snapshots the cloud has.
    #[must_use]
    pub fn snapshots(&self) -> usize {
        self.state().snapshots.len()
    }

    /// Whether a primary was asked to rebuild its indexes.
    #[must_use]
    pub fn rebuilds_indexes(&self) -> bool {
        self.state().rebuilds > 0
    }

    /// Whether any server is in backup mode, or any attached disk carries `backup.json`.
    #[must_use]
    pub fn in_backup_mode(&self) -> bool {
        let mut state = self.state();
        state.end_expired_backups();
        state.in_backup_mode()
    }

    /// The backup that `backup.json` on an instance's disk names.
    #[must_use]
    pub fn mark(&self, index: usize) -> Option<BackupId> {
        let mut state = self.state();
        state.end_expired_backups();
        state.content_mut(index).and_then(|content| content.backup.clone())
    }

    /// How many tasks the Director works on at once.
    #[must_use]
    pub const fn workers(&self) -> usize {
        WORKERS
    }

    /// Waits until no Director task goes on.
    pub async fn quiet(&self) {
        while self.state().tasks.iter().any(|task| !task.task.state.is_final()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A landscape in memory with a store, and what the tests ask of it. The proofs reuse it.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test says by panicking what it did not expect")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remount_cloud::{RetryingCloud, Tags, tag};
use remount_core::documents::BackupManifest;
use remount_core::documents::{AcceptedLoss, OnFailure, RestoreRequest};
use remount_core::{DiskCid, RecoveryTarget, RestoreId, RestoreTarget, TimelineId};
use remount_director::{Director, Follow, RetryingDirector, Task, TaskId, follow};
use remount_flow::{
    BackupRequest, FlowContext, FlowError, OldDiskRetention, Progress, ProgressEvent, ProgressKind, Quiet,
    RestoreReport, Timeouts, run_backup, run_restore,
};
use remount_host::{Pace, RetryPolicy};
use remount_postgres::RetryingServers;
use remount_sim::memory::{CidForm, CrashingObjects, MemoryLandscape, MemoryObjects};
use remount_store::{Keyring, Objects, RetryingObjects, Store};
use tokio_util::sync::CancellationToken;

/// What signs documents.
pub fn key() -> Keyring {
    remount_sim::keys::control_plane()
}

/// A landscape, its store, and the context of a process.
pub struct Workbench {
    pub landscape: MemoryLandscape,
    pub objects: Arc<MemoryObjects>,
    pub crashing: Arc<CrashingObjects>,
    pub ctx: FlowContext,
}

/// Short, and long enough on a busy machine: time is virtual where tests pause it.
pub fn timeouts() -> Timeouts {
    let short = Duration::from_secs(20);
    Timeouts {
        lease_term: Duration::from_secs(60),
        agent_lease: Duration::from_secs(60),
        stop: short,
        attach: short,
        start: short,
        delete: short,
        lock: short,
        lost_answer: Duration::from_secs(1),
        login: Duration::from_secs(1),
        snapshot_captured: short,
        snapshot_complete: short,
        disk_usable: short,
        archived: Duration::from_secs(5),
        verify: Duration::from_secs(5),
        follow: Duration::from_secs(5),
        task: Pace { first: Duration::from_millis(1), longest: Duration::from_millis(5) },
        poll: Pace { first: Duration::from_millis(2), longest: Duration::from_millis(20) },
    }
}

impl Workbench {
    /// A running cluster with one standby.
    pub fn new() -> Self {
        Self::with_standbys(1)
    }

    /// What fails in passing is tried again for so long.
    pub fn retry_within(&mut self, total: Duration) {
        let policy = RetryPolicy::within(total).cancelled_by(self.ctx.cancellation.clone());
        let through: Arc<dyn Objects> = self.crashing.clone();
        self.ctx.cloud = Arc::new(RetryingCloud::new(self.landscape.cloud(), policy.clone()));
        self.ctx.director = Arc::new(RetryingDirector::new(self.landscape.director(), policy.clone()));
        self.ctx.servers = Arc::new(RetryingServers::new(self.landscape.servers(), policy.clone()));
        self.ctx.store = Store::new(Arc::new(RetryingObjects::new(through, policy)), key());
    }

    pub fn with_standbys(standbys: usize) -> Self {
        Self::with_cids(standbys, CidForm::Plain)
    }

    /// A cloud that shows the past for a while after each change, by this seed; its CIDs have several parts.
    pub fn lagging(seed: u64) -> Self {
        let bench = Self::with_cids(1, CidForm::Composite);
        bench.landscape.lag(seed);
        // It counts looks: its time is only waited for.
        bench.landscape.settles_within(Duration::from_millis(20));
        bench
    }

    fn with_cids(standbys: usize, form: CidForm) -> Self {
        let objects = Arc::new(MemoryObjects::new());
        let crashing = Arc::new(CrashingObjects::over(objects.clone()));
        let direct: Arc<dyn Objects> = objects.clone();
        let landscape = MemoryLandscape::with_cids(Store::new(direct, key()), "pg-0001", standbys, form);
        let through: Arc<dyn Objects> = crashing.clone();
        let ctx = FlowContext {
            cloud: landscape.cloud(),
            director: landscape.director(),
            servers: landscape.servers(),
            store: Store::new(through, key()),
            owner: "test".into(),
            own_deployment: None,
            old_disks: OldDiskRetention::default(),
            timeouts: timeouts(),
            cancellation: CancellationToken::new(),
        };
        let mut bench = Self { landscape, objects, crashing, ctx };
        bench.retry_within(Duration::from_secs(2));
        bench
    }

    pub async fn backup(&self) -> BackupManifest {
        self.try_backup().await.unwrap()
    }

    pub async fn try_backup(&self) -> Result<BackupManifest, FlowError> {
        run_backup(&self.ctx, &BackupRequest::of(self.landscape.deployment().clone()), &Quiet).await
    }

    /// What a restore to this target is asked for with.
    pub fn request(&self, target: RecoveryTarget) -> RestoreRequest {
        RestoreRequest {
            format: 1,
            id: RestoreId::at(self.landscape.now(), rand::random()),
            deployment: self.landscape.deployment().clone(),
            group: None,
            target: RestoreTarget::of(target),
            requested_by: "test".into(),
            requested_at: self.landscape.now(),
            pause: false,
            on_failure: OnFailure::Rollback,
            options: Default::default(),
            accept_loss: Vec::new(),
        }
    }

    pub async fn restore(&self, target: RecoveryTarget) -> Result<RestoreReport, FlowError> {
        run_restore(&self.ctx, self.request(target), OnFailure::Rollback, &Quiet).await
    }

    /// The same, where commits may be missing in the archive.
    pub async fn restore_accepting_loss(&self, target: RecoveryTarget) -> Result<RestoreReport, FlowError> {
        let request =
            RestoreRequest { accept_loss: vec![AcceptedLoss::UnarchivedWal], ..self.request(target) };
        run_restore(&self.ctx, request, OnFailure::Rollback, &Quiet).await
    }

    /// Lets the lease of a driver that died end.
    pub fn lease_ends(&self) {
        self.objects.advance(self.ctx.timeouts.lease_term * 3);
        self.landscape.settle();
    }

    /// A backup, five rows, the instant to restore to, then the disaster: rows that must not be there.
    pub async fn disaster(&self) -> (BTreeSet<u64>, RecoveryTarget) {
        self.landscape.commit(5).await;
        self.backup().await;
        self.landscape.commit(5).await;
        let wanted = self.landscape.rows(0).unwrap();
        self.landscape.advance(10);
        let instant = self.landscape.now();
        self.landscape.advance(10);
        self.landscape.commit(5).await;
        (wanted, RecoveryTarget::Time(instant))
    }

    /// What must be the same before and after a restore that was undone.
    pub fn old_state(&self) -> OldState {
        let instances = self.landscape.instance_ids().len();
        OldState {
            disks: (0..instances).map(|index| self.landscape.disks_of(index)).collect(),
            all_disks: self.landscape.disks(),
            rows: (0..instances).map(|index| self.landscape.rows(index)).collect(),
            timelines: (0..instances).map(|index| self.landscape.timeline(index)).collect(),
        }
    }

    /// Every object of the store but leases' probes.
    pub async fn object_names(&self) -> Vec<String> {
        let all = self.objects.list("").await.unwrap();
        all.into_iter().map(|object| object.path).filter(|path| !path.contains("/lease/")).collect()
    }

    /// Everything serves what was wanted, on primary and standbys, nothing is left over.
    pub async fn assert_restored(&self, wanted: &BTreeSet<u64>) {
        self.landscape.quiet().await;
        assert!(self.landscape.is_primary(0));
        for index in 0..self.landscape.instance_ids().len() {
            assert_eq!(self.landscape.rows(index).as_ref(), Some(wanted), "rows of server {index}");
            assert_eq!(self.landscape.timeline(index), self.landscape.timeline(0));
            let (recorded, attached) = self.landscape.disks_of(index);
            assert!(recorded.is_some() && recorded == attached, "record and cloud agree");
            assert!(index == 0 || self.landscape.streams(index), "server {index} streams");
        }
        assert!(self.ctx.store.cluster(self.landscape.cluster()).published().await.unwrap().is_none());
        assert!(!self.landscape.in_backup_mode());
    }

    /// The cluster is as it was, nothing is left over.
    pub async fn assert_undone(&self, old: &OldState) {
        self.assert_serves_as_before(old).await;
        assert_eq!(self.landscape.disks(), old.all_disks, "no disk is left over");
    }

    /// The cluster is as it was; the disks of the restored servers, which may have been written to, are the
    /// Director's orphans.
    pub async fn assert_undone_after_serving(&self, old: &OldState) {
        self.assert_serves_as_before(old).await;
        let orphans = self.ctx.director.orphaned_disks().await.unwrap();
        let orphaned = |disk: &DiskCid| orphans.iter().any(|orphan| orphan.disk_cid == *disk);
        let left: Vec<DiskCid> = self.landscape.disks().difference(&old.all_disks).cloned().collect();
        assert_eq!(left.len(), old.disks.len(), "one per server is kept: {left:?}");
        assert!(left.iter().all(orphaned), "{left:?} are orphans");
    }

    /// No snapshot without a manifest, but of a backup that died between its mark and its manifest; no lease held.
    pub async fn assert_tidy(&self) {
        self.landscape.quiet().await;
        let cluster = self.ctx.store.cluster(self.landscape.cluster());
        let good = cluster.survey_backups().await.unwrap().good;
        self.landscape.settle();
        let snapshots = self.landscape.cloud().snapshots_tagged(&Tags::new()).await.unwrap();
        let without: Vec<_> = snapshots
            .iter()
            .filter(|snapshot| !good.iter().any(|backup| backup.snapshot.cid == snapshot.cid))
            .collect();
        let is_marked = without.iter().all(|snapshot| snapshot.tags.contains_key(tag::STATE));
        assert!(is_marked && without.len() <= 1, "each snapshot has its manifest: {without:?}");
        assert_eq!(snapshots.len() - without.len(), good.len(), "each manifest has its snapshot");
        assert!(!self.landscape.in_backup_mode(), "no server is in backup mode");
        let holder = cluster.lease_holder().await.unwrap();
        assert!(holder.is_none_or(|holder| holder.expired), "the lease is free");
    }

    async fn assert_serves_as_before(&self, old: &OldState) {
        self.landscape.quiet().await;
        let now = self.old_state();
        assert_eq!(now.disks, old.disks, "the disks are the old ones");
        assert_eq!(now.timelines, old.timelines);
        for (now, old) in now.rows.iter().zip(&old.rows) {
            assert_eq!(now, old, "the rows are the old ones");
        }
        let published = self.ctx.store.cluster(self.landscape.cluster()).published().await.unwrap();
        assert!(published.is_none(), "the plan is withdrawn");
        let holder = self.ctx.store.cluster(self.landscape.cluster()).lease_holder().await.unwrap();
        assert!(holder.is_none_or(|holder| holder.expired), "the lease is free");
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OldState {
    pub disks: Vec<(Option<DiskCid>, Option<DiskCid>)>,
    pub all_disks: BTreeSet<DiskCid>,
    pub rows: Vec<Option<BTreeSet<u64>>>,
    pub timelines: Vec<Option<TimelineId>>,
}

/// Keeps what a flow tells.
#[derive(Default)]
pub struct Heard(Mutex<Vec<ProgressEvent>>);

impl Progress for Heard {
    fn event(&self, event: &ProgressEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Heard {
    /// What was told by the way, in order.
    pub fn notes(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        heard
            .iter()
            .filter(|event| event.kind == ProgressKind::Note)
            .filter_map(|event| event.detail.clone())
            .collect()
    }

    /// The steps of which this was heard, in order.
    pub fn steps(&self, kind: ProgressKind) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        heard.iter().filter(|event| event.kind == kind).map(|event| event.step.clone()).collect()
    }
}

/// Follows a Director task to its end.
pub async fn wait(
    director: &dyn Director,
    task: TaskId,
    deadline: Instant,
) -> Result<Task, remount_director::Error> {
    let cancellation = CancellationToken::new();
    follow(
        director,
        task,
        Follow { deadline, pace: timeouts().task, cancellation: &cancellation, progress: &|_| {} },
    )
    .await
}

/// Whether an object is an archived segment.
pub fn is_segment(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.contains("/wal/") && name.parse::<remount_core::WalSegment>().is_ok()
}

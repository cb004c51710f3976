//! Backup: backup mode, a snapshot of the disk, the WAL that makes it consistent, and last the manifest.
//!
//! | # | does                                                   | where it fails                      |
//! |---|--------------------------------------------------------|-------------------------------------|
//! | 1 | lease, leftovers of dead drivers, choice of the source | nothing was changed                 |
//! | 2 | noted as begun; the server enters backup mode          | leave it, tombstone                 |
//! | 3 | snapshot, until its point in time is fixed             | leave it, tombstone, delete the snapshot |
//! | 4 | the server leaves backup mode; stop segment archived   | tombstone, delete the snapshot      |
//! | 5 | snapshot complete and marked so at the cloud, manifest written | tombstone, delete the snapshot |
//!
//! It needs no journal: a dead driver's backup mode ends by the agent's own lease, and its snapshot is reaped by the
//! next backup, which finds the note that it was begun. The tombstone goes first, under the manifest's own name: where
//! a lost answer's manifest was faster, the backup is good and its snapshot stays. Only the backup itself deletes a snapshot
//! that it has marked: it knows that it promised nothing. To everybody else the mark says that the backup was good.

mod leftovers;
mod manifest;
mod snapshot;
mod source;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use remount_core::documents::{BackupManifest, BackupRecord};
use remount_core::{
    BackupId, ClusterName, DeploymentName, GroupName, OperatorError, RequestKey, Role, SnapshotCid,
    WalSegment,
};
use remount_host::Poll;
use remount_postgres::BackupEnded;
use remount_store::{ClusterStore, Keeper, Lease, Purpose};

use self::source::Source;
use crate::owner::Owner;
use crate::wait::until;
use crate::{FlowContext, FlowError, Problem, Progress, ProgressKind, Result, fence};
use remount_saga::{ProgressReporter, step_names};

/// The backup to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRequest {
    /// The deployment.
    pub deployment: DeploymentName,
    /// Its PostgreSQL group, where it has more than one.
    pub group: Option<GroupName>,
    /// Which server's disk is snapshotted.
    pub source: BackupSource,
    /// The SLA class it is taken for.
    pub sla_class: Option<String>,
    /// Retention may delete it after this.
    pub retain_until: Option<Timestamp>,
    /// Retention may not delete it, whatever its age.
    pub hold: bool,
}

impl BackupRequest {
    /// A backup of the primary of a deployment's only PostgreSQL group.
    #[must_use]
    pub const fn of(deployment: DeploymentName) -> Self {
        Self {
            deployment,
            group: None,
            source: BackupSource::Primary,
            sla_class: None,
            retain_until: None,
            hold: false,
        }
    }
}

/// Which server's disk is snapshotted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupSource {
    /// The primary.
    #[default]
    Primary,
    /// A standby that streams; the primary where there is none.
    Standby,
}

/// The lease a backup is taken under.
pub(crate) struct Holder<'a> {
    /// The cluster in the store.
    pub(crate) cluster: &'a ClusterStore,
    /// Its lease.
    pub(crate) lease: &'a Lease,
    /// Renews it.
    pub(crate) keeper: &'a Keeper,
}

impl Holder<'_> {
    async fn still_ours(&self) -> Result<()> {
        fence::still_ours(self.lease, self.keeper, "go on with the backup").await
    }
}

/// One backup on its way.
struct BackupRun<'a> {
    ctx: &'a FlowContext,
    request: &'a BackupRequest,
    holder: Holder<'a>,
    reporter: ProgressReporter<'a>,
    owner: Owner,
    id: BackupId,
    source: Source,
    /// Whether a snapshot may exist.
    asked: AtomicBool,
}

step_names! {
    /// The steps of a backup, in order.
    pub enum BackupStep {
        /// Leftovers are deleted, the source is chosen.
        Source = "source",
        /// The server enters backup mode.
        Begin = "begin",
        /// A snapshot, until its point in time is fixed.
        Snapshot = "snapshot",
        /// The server leaves backup mode; the stop segment is archived.
        End = "end",
        /// The snapshot is complete, the manifest written.
        Manifest = "manifest",
    }
}

/// Takes a backup.
///
/// # Errors
/// No backup exists afterwards, the server has left backup mode and the snapshot is deleted (or is,
/// where the cloud does not answer, by the next backup).
pub async fn run_backup(
    ctx: &FlowContext,
    request: &BackupRequest,
    progress: &dyn Progress,
) -> Result<BackupManifest> {
    let name = ClusterName::of(&request.deployment, request.group.as_ref());
    let cluster = ctx.store.cluster(&name.map_err(FlowError::usage)?);
    let lease = cluster
        .take_lease(&ctx.owner, Purpose::Backup, ctx.timeouts.lease_term)
        .await
        .map_err(FlowError::lease(cluster.name()))?;
    let keeper = lease.keep();
    let holder = Holder { cluster: &cluster, lease: &lease, keeper: &keeper };
    let outcome = match refuse_unfinished_restore(&cluster).await {
        Ok(()) => under_lease(ctx, request, holder, progress).await,
        Err(error) => Err(error),
    };
    if let Err(error) = lease.release().await {
        log::warn!(error:% = remount_core::with_causes(&error); "the lease could not be released and ends with its term");
    }
    outcome
}

/// A cluster in the middle of a restore is not backed up: which disk it is on is not decided yet.
async fn refuse_unfinished_restore(cluster: &ClusterStore) -> Result<()> {
    let Some(problem) = crate::restore::unfinished(cluster).await? else {
        return Ok(());
    };
    Err(FlowError::Refused { what: format!("backup of {}", cluster.name()), problems: vec![problem] })
}

/// Takes a backup under a lease that the caller holds.
pub(crate) async fn under_lease(
    ctx: &FlowContext,
    request: &BackupRequest,
    holder: Holder<'_>,
    progress: &dyn Progress,
) -> Result<BackupManifest> {
    let id = BackupId::at(Timestamp::now(), rand::random());
    let reporter = ProgressReporter::new(progress, id.clone(), BackupStep::ALL.len());
    reporter.begin(BackupStep::Source.as_str(), 1, ProgressKind::Begun);
    let (owner, source) = match source_of(ctx, request, &holder, &reporter).await {
        Ok(found) => found,
        Err(error) => {
            reporter.report(ProgressKind::Failed, Some(Problem::of(&error).what));
            return Err(error);
        }
    };
    reporter.report(ProgressKind::Done, Some(format!("{} ({})", source.instance.slug, source.status.role)));
    let run = BackupRun { ctx, request, holder, reporter, owner, id, source, asked: AtomicBool::new(false) };
    let outcome = run.take().await;
    if let Err(error) = &outcome {
        run.reporter.report(ProgressKind::Failed, Some(Problem::of(error).what));
        run.clean_up(error).await;
    }
    outcome
}

/// Deletes what dead drivers left, and chooses whose disk is snapshotted.
async fn source_of(
    ctx: &FlowContext,
    request: &BackupRequest,
    holder: &Holder<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<(Owner, Source)> {
    let owner = Owner::of(ctx).await?;
    leftovers::reap(ctx, holder, &owner, reporter).await?;
    let source = source::choose(ctx, request, holder.cluster.name()).await?;
    Ok((owner, source))
}

impl BackupRun<'_> {
    async fn take(&self) -> Result<BackupManifest> {
        self.step(BackupStep::Begin).await?;
        let slug = &self.source.instance.slug;
        let lease_seconds = self.ctx.timeouts.agent_lease.as_secs().max(1);
        let server = &self.source.server;
        let (cluster, lease) = (self.holder.cluster, self.holder.lease);
        let system_identifier = self.source.status.system_identifier;
        cluster
            .note_begun(&self.id, system_identifier, lease)
            .await
            .map_err(FlowError::store("note that the backup is begun"))?;
        server
            .begin_backup(&self.id, lease_seconds)
            .await
            .map_err(FlowError::server("enter backup mode", slug))?;
        self.reporter.report(ProgressKind::Done, None);
        self.step(BackupStep::Snapshot).await?;
        let snapshot = self.renewing(snapshot::captured(self)).await?;
        self.reporter.report(ProgressKind::Done, Some(snapshot.cid.to_string()));
        self.step(BackupStep::End).await?;
        let ended =
            server.end_backup(&self.id).await.map_err(FlowError::server("leave backup mode", slug))?;
        self.archived(&ended).await?;
        self.reporter.report(ProgressKind::Done, Some(format!("consistent from {}", ended.stop_lsn)));
        self.step(BackupStep::Manifest).await?;
        let snapshot = snapshot::complete(self, &snapshot.cid).await?;
        self.holder.still_ours().await?;
        snapshot::mark_good(self, &snapshot.cid).await?;
        let manifest = manifest::of(self, &ended, &snapshot);
        cluster.write_backup(&manifest, lease).await.map_err(FlowError::store("write the manifest"))?;
        self.settled().await;
        self.reporter.report(ProgressKind::Done, Some(self.id.to_string()));
        Ok(manifest)
    }

    /// Begins a step, unless the lease was lost or somebody asked to stop.
    async fn step(&self, step: BackupStep) -> Result<()> {
        self.holder.still_ours().await?;
        if self.ctx.cancellation.is_cancelled() {
            return Err(FlowError::Cancelled { step: step.to_string() });
        }
        self.reporter.begin(step.as_str(), step as usize + 1, ProgressKind::Begun);
        Ok(())
    }

    /// Does something while the agent's lease is renewed, three times per term.
    async fn renewing<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let pause = self.ctx.timeouts.agent_lease / 3;
        let work = work.fuse();
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                () = tokio::time::sleep(pause) => self.renew().await?,
            }
        }
    }

    /// A renewal that fails in passing is no reason to give up: the next one comes before the lease ends, and
    /// the end of the backup shows whether it did.
    async fn renew(&self) -> Result<()> {
        match self.source.server.renew_backup(&self.id).await {
            Err(error) if error.retry() == remount_core::Retry::Never => {
                Err(FlowError::server("renew backup mode", &self.source.instance.slug)(error))
            }
            Err(error) => {
                self.reporter
                    .note(format!("backup mode could not be renewed: {}", remount_core::with_causes(&error)));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Waits until the WAL up to the stop position is archived. A standby cannot close its last segment: the
    /// primary is asked to.
    async fn archived(&self, ended: &BackupEnded) -> Result<()> {
        if self.source.status.role == Role::Standby {
            let primary = &self.source.primary;
            primary.1.switch_wal().await.map_err(FlowError::server("switch WAL", &primary.0))?;
        }
        let wal = self.holder.cluster.wal(self.source.status.system_identifier);
        let (wal, timeouts, segment) = (&wal, &self.ctx.timeouts, ended.stop_segment);
        let what = format!("stop segment {segment} in the archive");
        until(self.ctx, what, timeouts.archived, || is_archived(wal, segment)).await
    }

    /// After a failure: out of backup mode, no snapshot. What cannot be done now is done by the agent's own
    /// lease and by the next backup.
    async fn clean_up(&self, error: &FlowError) {
        let (server, slug) = (&self.source.server, &self.source.instance.slug);
        let aborted = server.abort_backup(&self.id).await;
        if let Err(error) = aborted {
            self.reporter.note(format!("{slug}: {error}; backup mode ends by itself"));
        }
        let (cluster, epoch) = (self.holder.cluster, self.holder.lease.epoch());
        let system_identifier = self.source.status.system_identifier;
        let why = Problem::of(error).what;
        match leftovers::give_up(cluster, &self.id, system_identifier, epoch, &why).await {
            // The write's answer was lost, not the write: the backup is good.
            Ok(BackupRecord::Manifest(_)) => return self.settled().await,
            Ok(BackupRecord::Tombstone(_)) => {}
            Err(error) => {
                self.reporter.note(format!("{error}; the snapshot stays until the next backup looks again"));
                return;
            }
        }
        if !self.asked.load(Ordering::Relaxed) {
            return self.settled().await;
        }
        let tags = leftovers::tags_of(&self.owner, cluster.name(), &self.id);
        match leftovers::delete_of(self.ctx, &tags).await {
            Ok(()) => self.settled().await,
            Err(error) => self.reporter.note(format!("{error}; the next backup deletes the snapshot")),
        }
    }

    /// The backup is good, or nothing of it is left.
    async fn settled(&self) {
        let cluster = self.holder.cluster;
        if let Err(error) = cluster.forget_begun(&self.id, self.source.status.system_identifier).await {
            log::warn!(backup:% = self.id, error:% = remount_core::with_causes(&error); "the next backup settles this one");
        }
    }

    /// The key that makes the snapshot one, however often it is asked for.
    fn key(&self) -> Result<RequestKey> {
        RequestKey::new(format!("backup-{}", self.id)).map_err(FlowError::usage)
    }
}

async fn is_archived(wal: &remount_store::WalArchive, segment: WalSegment) -> Result<Poll<()>> {
    let there =
        wal.contains(&segment).await.map_err(FlowError::store(format!("look for segment {segment}")))?;
    Ok(if there { Poll::Ready(()) } else { Poll::NotYet("it is not there".into()) })
}

/// Which snapshot is meant, in messages.
fn snapshot_named(cid: &SnapshotCid) -> String {
    format!("snapshot {cid}")
}

//! What the steps of one restore act on, and what they have learnt on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use remount_cloud::{Tags, tag};
use remount_core::{DiskCid, InstanceSlug, Lsn, PlannedInstance, RecoveryTarget, RequestKey, RestorePlan};
use remount_director::{Instance, TaskId};
use remount_postgres::Server;
use remount_store::{ClusterStore, Keeper, Lease};

use crate::saga::{Spent, Watch};
use crate::wait::retrying;
use crate::{FlowContext, FlowError, Result};
use crate::{fence, instances};

/// What the steps of one restore act on.
pub struct Restore<'a> {
    /// The adapters.
    pub ctx: &'a FlowContext,
    /// The cluster in the store.
    pub cluster: ClusterStore,
    /// The lease everything is done under.
    pub lease: Lease,
    /// Renews it.
    pub keeper: Keeper,
    /// What is to happen.
    pub plan: RestorePlan,
    /// Voice and stop watches.
    pub watch: &'a Watch<'a>,
    /// Learnt on the way; a new process learns it again.
    pub known: Mutex<Known>,
}

/// What this process has learnt.
#[derive(Debug, Default)]
pub struct Known {
    /// The new disks.
    pub disks: BTreeMap<InstanceSlug, DiskCid>,
    /// The newest Director task when something was last asked of it: a lost answer's task is newer.
    pub newest_task: Option<TaskId>,
    /// The primary as the Director showed it before it was stopped. Asking again takes a Director task, and
    /// nothing serves meanwhile.
    pub primary: Option<Instance>,
    /// Whether the primary had a VM when it was stopped: attaching is then more than a note in a record.
    pub primary_has_vm: bool,
    /// `latest` must have been replayed up to here: written and archived in step `last_wal`.
    pub last_write: Option<Lsn>,
    /// Where the last archived segment of the old primary begins, for `latest`.
    pub last_segment: Option<Lsn>,
    /// When the primary's stop was accepted, and what had been spent waiting by then.
    pub down_since: Option<(Instant, Spent)>,
    /// Where replay stopped.
    pub replayed_to: Option<Lsn>,
    /// The timeline the restored primary is on.
    pub new_timeline: Option<remount_core::TimelineId>,
    /// Whether users may have written to the restored primary.
    pub may_have_served: bool,
    /// The backup taken at the end.
    pub backup: Option<remount_core::BackupId>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Restore<'_> {
    /// What was learnt so far.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a sentence for the report, and says it.
    pub fn warn(&self, line: impl Into<String>) {
        let line = line.into();
        self.watch.note(line.clone());
        self.known().warnings.push(line);
    }

    /// The planned primary.
    ///
    /// # Errors
    /// The plan is damaged.
    pub fn primary(&self) -> Result<&PlannedInstance> {
        self.plan.primary().ok_or_else(|| {
            FlowError::check(
                format!("the plan of restore {} names no primary", self.plan.id),
                "begin a new restore",
            )
        })
    }

    /// The planned standbys.
    pub fn standbys(&self) -> Vec<&PlannedInstance> {
        self.plan.standbys().collect()
    }

    /// Stops a process whose lease is lost before it changes anything more.
    ///
    /// # Errors
    /// As [`fence::still_ours`].
    pub async fn fence(&self) -> Result<()> {
        fence::still_ours(self.ctx, &self.lease, &self.keeper, "go on with the restore").await
    }

    /// The key that makes the disk of an instance one, however often it is asked for.
    ///
    /// # Errors
    /// The instance's id is too long.
    pub fn disk_key(&self, planned: &PlannedInstance) -> Result<RequestKey> {
        RequestKey::new(format!("{}-{}", self.plan.id, planned.instance.id))
            .map_err(|error| FlowError::Usage(error.to_string()))
    }

    /// The tags of the disk of an instance.
    #[must_use]
    pub fn disk_tags(&self, planned: &PlannedInstance) -> Tags {
        Tags::from([
            (tag::CLUSTER.into(), self.plan.cluster.to_string()),
            (tag::RESTORE.into(), self.plan.id.to_string()),
            (tag::INSTANCE.into(), planned.instance.id.to_string()),
        ])
    }

    /// The new disk of an instance, looked up by its tags where this process has not made it.
    ///
    /// # Errors
    /// There is none, or the cloud does not answer.
    pub async fn new_disk(&self, planned: &PlannedInstance) -> Result<DiskCid> {
        if let Some(disk) = self.known().disks.get(&planned.instance) {
            return Ok(disk.clone());
        }
        let tags = self.disk_tags(planned);
        let found = retrying(self.ctx.timeouts.retry, || self.ctx.cloud.disks_tagged(&tags))
            .await
            .map_err(FlowError::cloud(format!("look for the new disk of {}", planned.instance)))?;
        let disk = found.into_iter().next().ok_or_else(|| {
            let what = format!("the new disk of {} is gone", planned.instance);
            FlowError::check(what, format!("`remount rollback {}`", self.plan.id))
        })?;
        self.known().disks.insert(planned.instance.clone(), disk.cid.clone());
        Ok(disk.cid)
    }

    /// What the Director says of an instance now.
    ///
    /// # Errors
    /// It does not answer, or does not know the instance any more.
    pub async fn instance(&self, slug: &InstanceSlug) -> Result<Instance> {
        self.among(self.instances().await?, slug)
    }

    /// What the Director says of the planned primary now.
    ///
    /// # Errors
    /// As [`Self::instance`]; or the group has grown since the plan: a standby that joined on the way would follow
    /// a timeline that its primary leaves.
    pub async fn primary_of_planned_group(&self) -> Result<Instance> {
        let all = self.instances().await?;
        let primary = self.primary()?;
        if let Some(newcomer) = self.newcomers(&all).first() {
            let what = format!("{} joined since the restore was planned", newcomer.slug);
            return Err(FlowError::check(what, "run the command again: it plans anew"));
        }
        self.among(all, &primary.instance)
    }

    /// Every instance of the deployment as the Director has it now.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let _waiting = self.watch.waiting_for_director();
        instances::all(self.ctx, &self.plan.deployment).await
    }

    /// Those of the planned group that the plan does not know.
    #[must_use]
    pub fn newcomers<'i>(&self, all: &'i [Instance]) -> Vec<&'i Instance> {
        let planned = &self.plan.instances;
        let is_new = |slug: &InstanceSlug| {
            planned.iter().any(|p| p.instance.group == slug.group)
                && planned.iter().all(|p| p.instance != *slug)
        };
        all.iter().filter(|instance| is_new(&instance.slug)).collect()
    }

    fn among(&self, all: Vec<Instance>, slug: &InstanceSlug) -> Result<Instance> {
        all.into_iter().find(|instance| instance.slug == *slug).ok_or_else(|| {
            FlowError::check(
                format!("the Director no longer knows {slug} of deployment {}", self.plan.deployment),
                "the deployment was changed during the restore: deploy it as it was, then go on",
            )
        })
    }

    /// The server of an instance, at the address the Director has for it now.
    ///
    /// # Errors
    /// No address, or no usable certificate.
    pub async fn server(&self, slug: &InstanceSlug) -> Result<Arc<dyn Server>> {
        instances::server(self.ctx, &self.instance(slug).await?)
    }

    /// Replay must reach at least this position.
    #[must_use]
    pub fn minimum_lsn(&self) -> Lsn {
        let known = self.known();
        let mut minimum = self.plan.path.minimum_lsn;
        if matches!(self.plan.target.target, RecoveryTarget::Latest) {
            minimum = minimum.max(known.last_write.unwrap_or_default());
            minimum = minimum.max(known.last_segment.unwrap_or_default());
        }
        minimum
    }
}

//! What the steps of one restore act on, and what this process has noted on the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use remount_cloud::{Tags, tag};
use remount_core::documents::{PlannedInstance, RestorePlan, What};
use remount_core::{DiskCid, InstanceSlug, Lsn, RecoveryTarget, RequestKey};
use remount_director::{Instance, TaskId};
use remount_postgres::Server;
use remount_saga::{Context, Journal as _, ProgressReporter, Step, StepOutputs, WaitTimes};
use remount_store::{ClusterStore, Keeper, Lease};

use super::journal::RestoreJournal;
use super::state::RestoreState;
use super::steps::RestoreStep;
use super::steps::last_wal::LastWal;
use super::steps::primary::{Recover, StopPrimary};
use crate::error::RUN_AGAIN;
use crate::owner::Owner;
use crate::{FlowContext, FlowError, Result, fence, instances};

/// What the steps of one restore act on.
pub struct RestoreContext<'a> {
    /// The adapters.
    pub ctx: &'a FlowContext,
    /// The cluster in the store.
    pub cluster: ClusterStore,
    /// The lease everything is done under.
    pub lease: Lease,
    /// Renews it.
    pub keeper: Keeper,
    /// Whose the disks are that it makes.
    pub owner: Owner,
    /// What is to happen.
    pub plan: RestorePlan,
    /// Its journal, for what the steps have to say beyond their outcome.
    pub journal: Arc<RestoreJournal>,
    /// Tells what happens.
    pub reporter: &'a ProgressReporter<'a>,
    /// What the steps that are done have left.
    pub outputs: StepOutputs,
    /// Whether users may have written to the restored primary.
    pub may_have_served: AtomicBool,
    /// What this process has noted.
    pub notes: Mutex<ProcessNotes>,
}

/// How the restored primary's start ended, as this process knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstStart {
    /// It has not seen it: one before it may have left the start open, and it may have failed since.
    #[default]
    Unseen,
    /// The Director's task, whose end it has not waited for.
    LeftOpen(TaskId),
    /// All of the instance has started.
    EndedWell,
}

/// What this process has noted; one that goes on looks again.
#[derive(Debug, Default)]
pub struct ProcessNotes {
    /// The new disks.
    pub new_disks: BTreeMap<InstanceSlug, DiskCid>,
    /// The newest Director task when something was last asked of it: a lost answer's task is newer.
    pub newest_task: Option<TaskId>,
    /// The end of the restored primary's start.
    pub first_start: FirstStart,
    /// The primary as the Director showed it before it was stopped. Asking again takes a Director task, and
    /// nothing serves meanwhile.
    pub primary: Option<Instance>,
    /// When the primary's stop was accepted, and how long others had been waited for by then.
    pub down_since: Option<(Instant, WaitTimes)>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// Since when the first old disk may be an orphan of the Director, by a driver's clock.
    pub swapped_since: Option<Timestamp>,
}

impl ProcessNotes {
    /// What a process knows that goes on with a restore.
    pub fn of(state: &RestoreState) -> Self {
        Self { swapped_since: state.swapped_since(), ..Self::default() }
    }
}

#[async_trait]
impl Context for RestoreContext<'_> {
    type Step = RestoreStep;
    type Error = FlowError;

    fn outputs(&self) -> &StepOutputs {
        &self.outputs
    }

    async fn status_report(&self) -> Vec<String> {
        super::status_report::lines(self).await
    }

    fn next_steps(&self) -> Vec<String> {
        let restore = &self.plan.id;
        let next = [
            format!("go on with `remount resume {restore}`"),
            format!("or roll back with `remount rollback {restore}`"),
        ];
        next.into_iter().chain(self.limit()).collect()
    }

    fn next_steps_when_paused(&self) -> Vec<String> {
        let restore = &self.plan.id;
        let look = self.plan.primary().map(|primary| {
            format!(
                "look at it: `bosh -d {} ssh {}` and psql, read-only",
                self.plan.deployment, primary.instance
            )
        });
        look.into_iter()
            .chain([
                format!("`remount restore accept {restore}` goes on: users can write from then on"),
                format!("`remount restore forward {restore} --to-time …` replays to a later point, and pauses there"),
                format!("`remount restore give-up {restore}` puts the old disks back; nothing was written meanwhile"),
            ])
            .chain(self.limit())
            .collect()
    }

    fn roll_back_again(&self) -> String {
        format!("`remount rollback {}`", self.plan.id)
    }
}

impl<'a> RestoreContext<'a> {
    /// How long a person may take who looks: the rollback needs the old disks.
    fn limit(&self) -> Option<String> {
        let since = self.notes().swapped_since?;
        Some(format!("do it in time: the old disks are orphans, and {}", self.ctx.old_disks.told(since)))
    }

    /// What this process has noted so far.
    pub fn notes(&self) -> MutexGuard<'_, ProcessNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a step has left; none where it is not done.
    ///
    /// # Errors
    /// Another version of Remount wrote it.
    pub fn output<S: Step<Self>>(&self) -> Result<Option<S::Output>> {
        self.outputs.get::<Self, S>()
    }

    /// Whether users may have written to the restored primary.
    pub fn may_have_served(&self) -> bool {
        self.may_have_served.load(Ordering::Acquire)
    }

    /// Keeps the disks of the restore from being deleted: notes it in the journal, once.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn put_aside(&self, reason: &str) -> Result<()> {
        if self.may_have_served() {
            return Ok(());
        }
        self.journal.append(What::PutAside { reason: reason.to_owned() }).await?;
        self.may_have_served.store(true, Ordering::Release);
        self.reporter.note(format!(
            "the restored disks will not be deleted: {reason}; from the rollback on they are orphans, and {}",
            self.ctx.old_disks.told(Timestamp::now())
        ));
        Ok(())
    }

    /// Notes a sentence for the report, and tells it.
    pub fn warn(&self, line: impl Into<String>) {
        let line = line.into();
        self.reporter.note(line.clone());
        self.notes().warnings.push(line);
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
        fence::still_ours(&self.lease, &self.keeper, "go on with the restore").await
    }

    /// The key that makes the disk of an instance one, however often it is asked for.
    ///
    /// # Errors
    /// The instance's id is too long.
    pub fn disk_key(&self, planned: &PlannedInstance) -> Result<RequestKey> {
        RequestKey::new(format!("{}-{}", self.plan.id, planned.instance.id)).map_err(FlowError::usage)
    }

    /// The tags of every disk of this restore.
    #[must_use]
    pub fn restore_tags(&self) -> Tags {
        let mut tags = self.owner.tags(&self.plan.cluster);
        tags.insert(tag::RESTORE.into(), self.plan.id.to_string());
        tags
    }

    /// The tags of the disk of an instance.
    #[must_use]
    pub fn disk_tags(&self, planned: &PlannedInstance) -> Tags {
        let mut tags = self.restore_tags();
        tags.insert(tag::INSTANCE.into(), planned.instance.id.to_string());
        tags
    }

    /// The new disk of an instance, looked up by its tags where this process has not made it.
    ///
    /// # Errors
    /// There is none, or the cloud does not answer.
    pub async fn new_disk(&self, planned: &PlannedInstance) -> Result<DiskCid> {
        if let Some(disk) = self.notes().new_disks.get(&planned.instance) {
            return Ok(disk.clone());
        }
        let tags = self.disk_tags(planned);
        let found = self
            .ctx
            .cloud
            .disks_tagged(&tags)
            .await
            .map_err(FlowError::cloud(format!("look for the new disk of {}", planned.instance)))?;
        let disk = found.into_iter().next().ok_or_else(|| {
            let what = format!("the new disk of {} is gone", planned.instance);
            FlowError::check(what, format!("`remount rollback {}`", self.plan.id))
        })?;
        self.notes().new_disks.insert(planned.instance.clone(), disk.cid.clone());
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
            return Err(FlowError::check(what, RUN_AGAIN));
        }
        self.among(all, &primary.instance)
    }

    /// Every instance of the deployment as the Director has it now.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let _waiting = self.reporter.waiting_for_director();
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
    ///
    /// # Errors
    /// Another version of Remount wrote the journal.
    pub fn minimum_lsn(&self) -> Result<Lsn> {
        let mut minimum = self.plan.path.minimum_lsn;
        if matches!(self.plan.target.target, RecoveryTarget::Latest) {
            let written =
                self.output::<LastWal>()?.and_then(|done| done.archived).map(|last| last.last_write);
            let archived = self.output::<Recover>()?.and_then(|recovered| recovered.last_segment_begins);
            let stopped = self.output::<StopPrimary>()?;
            let end = stopped.as_ref().and_then(|stopped| stopped.end);
            let tail = stopped.and_then(|stopped| stopped.tail).map(|tail| tail.end);
            let known = [written, archived, end, tail].into_iter().flatten().max();
            minimum = minimum.max(known.unwrap_or_default());
        }
        Ok(minimum)
    }
}

//! Giving old disks up: their restore cannot be rolled back any more. What is to go is noted in the store before
//! the first deletion; a repetition after a crash at any point finds what is left by looking at the world.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use remount_core::documents::ReleaseNote;
use remount_core::{ClusterName, DiskCid, InstanceSlug, OperatorError as _, RestoreId, Retry};
use remount_director::{Follow, follow};
use remount_saga::SagaError as _;
use remount_store::{ClusterStore, Lease, Purpose};
use serde::{Deserialize, Serialize};

use super::inventory::{Clocks, in_cloud, instances_of, read_orphans};
use super::{OldDisk, OldDiskState, OldDisks, Scope, list_old_disks, ownership};
use crate::owner::Owner;
use crate::{FlowContext, FlowError, Problem, Result, settled};

/// Which old disks are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those of one restore, though the time to keep them is not over.
    Restore(RestoreId),
    /// All of the cluster that are due.
    Due,
}

/// A wish to release old disks.
#[derive(Clone, Debug)]
pub struct ReleaseRequest {
    /// Which.
    pub selection: Selection,
    /// Who asks.
    pub by: String,
}

/// What a release did to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseOutcome {
    /// It was deleted.
    Deleted,
    /// It had gone before.
    AlreadyGone,
}

/// A disk that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedDisk {
    /// The restore that had replaced it.
    pub restore: RestoreId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The instance that had it.
    pub instance: InstanceSlug,
    /// The disk.
    pub disk: DiskCid,
    /// Its size, where it was known.
    pub size_mib: Option<u64>,
    /// What was done.
    pub outcome: ReleaseOutcome,
}

/// What a release would take, nothing touched.
///
/// # Errors
/// As [`release_old_disks`], nothing changed.
pub async fn preview_release(
    ctx: &FlowContext,
    cluster: &ClusterName,
    request: &ReleaseRequest,
    now: impl Into<Clocks>,
) -> Result<Vec<OldDisk>> {
    let scope = match &request.selection {
        Selection::Restore(id) => Scope::PresentAnd(id.clone()),
        Selection::Due => Scope::Present,
    };
    let found = list_old_disks(ctx, std::slice::from_ref(cluster), &scope, now).await?;
    select(cluster, found, &request.selection)
}

/// Deletes old disks of a cluster, under its lease.
///
/// # Errors
/// [`FlowError::Refused`] where one is attached or still needed, nothing was changed;
/// [`remount_store::Error::Leased`] while a backup or restore runs; [`FlowError::ReleaseUnfinished`] where some
/// may be gone and others are not.
///
/// # Idempotence
/// Releasing again goes on with what is left, and answers that the rest had gone.
pub async fn release_old_disks(
    ctx: &FlowContext,
    cluster: &ClusterName,
    request: &ReleaseRequest,
    now: Timestamp,
) -> Result<Vec<ReleasedDisk>> {
    // Most clusters have nothing that is due: they are told apart without taking their lease.
    if preview_release(ctx, cluster, request, now).await?.is_empty() {
        return Ok(Vec::new());
    }
    let (store, owner) = (ctx.store.cluster(cluster), Owner::of(ctx).await?);
    let lease = store
        .take_lease(&ctx.owner, Purpose::Prune, ctx.timeouts.lease_term)
        .await
        .map_err(FlowError::lease(cluster))?;
    let keeper = lease.keep();
    let outcome = Releasing { ctx, store: &store, owner: &owner, lease: &lease, request, now }.go().await;
    drop(keeper);
    if let Err(error) = lease.release().await {
        log::warn!(error:% = remount_core::with_causes(&error), epoch = lease.epoch(); "the lease could not be released and ends with its term");
    }
    outcome
}

/// What goes, of what was found.
fn select(cluster: &ClusterName, found: OldDisks, selection: &Selection) -> Result<Vec<OldDisk>> {
    let OldDisks { disks, unreadable } = found;
    let chosen: Vec<OldDisk> = match selection {
        Selection::Restore(id) => disks.into_iter().filter(|disk| disk.restore == *id).collect(),
        Selection::Due => wholly_due(disks),
    };
    let mut problems: Vec<Problem> = chosen.iter().filter_map(problem).collect();
    if let Selection::Restore(id) = selection
        && chosen.is_empty()
        && !unreadable.iter().any(|(other, _)| other == id)
    {
        problems.push(Problem::new(
            format!("restore {id} of cluster {cluster} has no old disks: it was never begun, it was undone, or later restores replaced them again"),
            "`remount disks --all` shows which restore each disk belongs to",
        ));
    }
    let oldest = match selection {
        Selection::Restore(id) => Some(id),
        Selection::Due => chosen.iter().map(|disk| &disk.restore).min(),
    };
    // What cannot be read could need any disk that was there before it.
    let newer = unreadable.into_iter().filter(|(id, _)| oldest.is_some_and(|oldest| id >= oldest));
    problems.extend(newer.map(|(id, problem)| Problem {
        what: format!("restore {id} cannot be read, and might need them: {}", problem.what),
        next: problem.next,
    }));
    if problems.is_empty() {
        return Ok(chosen);
    }
    let what = match selection {
        Selection::Restore(id) => format!("the release of the old disks of restore {id}"),
        Selection::Due => format!("the release of the old disks of cluster {cluster}"),
    };
    Err(FlowError::Refused { what, problems })
}

/// The disks of restores with something due and nothing that must stay: a restore's disks go together.
fn wholly_due(disks: Vec<OldDisk>) -> Vec<OldDisk> {
    let of = |states: &[OldDiskState]| -> BTreeSet<RestoreId> {
        let some = disks.iter().filter(|disk| states.contains(&disk.state));
        some.map(|disk| disk.restore.clone()).collect()
    };
    let due = of(&[OldDiskState::Due]);
    let stay = of(&[
        OldDiskState::Kept,
        OldDiskState::HoldsWal,
        OldDiskState::PutAside,
        OldDiskState::Needed,
        OldDiskState::Attached,
    ]);
    let goes = |disk: &OldDisk| due.contains(&disk.restore) && !stay.contains(&disk.restore);
    disks.into_iter().filter(goes).collect()
}

/// Why a disk must stay.
fn problem(disk: &OldDisk) -> Option<Problem> {
    let OldDisk { disk: cid, restore, instance, .. } = disk;
    match disk.state {
        OldDiskState::Kept
        | OldDiskState::HoldsWal
        | OldDiskState::PutAside
        | OldDiskState::Due
        | OldDiskState::Gone => None,
        OldDiskState::Needed => Some(Problem::new(
            format!("disk {cid} of {instance} may still be needed: restore {restore} has not ended well"),
            format!("end it first: `remount resume {restore}` or `remount rollback {restore}`"),
        )),
        OldDiskState::Attached => Some(Problem::new(
            format!("disk {cid} of {instance} is in use"),
            "it is no old disk of a restore now; `bosh instances --details` and the cloud show who has it",
        )),
    }
}

/// A release under its lease.
struct Releasing<'a> {
    ctx: &'a FlowContext,
    store: &'a ClusterStore,
    owner: &'a Owner,
    lease: &'a Lease,
    request: &'a ReleaseRequest,
    /// By this process's clock.
    now: Timestamp,
}

/// Where a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskLocation {
    Nowhere,
    /// The Director keeps it as an orphan.
    Orphan,
    /// The cloud alone has it.
    Cloud,
}

/// How often a disk is asked to go: once by the Director, once by the cloud, once for a lost request.
const ATTEMPTS: u32 = 3;
/// More deployments are not searched for who may have a disk: each costs a Director task.
const DEPLOYMENTS_SEARCHED: usize = 500;

impl Releasing<'_> {
    async fn go(&self) -> Result<Vec<ReleasedDisk>> {
        let now = self.store_time().await?;
        let clocks = Clocks { store: now, ours: self.now };
        let chosen = preview_release(self.ctx, self.store.name(), self.request, clocks).await?;
        self.note(&chosen, now).await?;
        let (mut released, mut left) = (Vec::new(), Vec::new());
        for disk in &chosen {
            let mut was_asked = false;
            match self.one(disk, &mut was_asked).await {
                Ok(outcome) => released.push(report(disk, outcome)),
                Err(error) => {
                    // One disk that must stay says nothing of the others; a lost lease or a wish to stop does.
                    let ends = error.is_fenced() || error.is_cancelled();
                    left.push(LeftDisk { disk, was_asked, error });
                    if ends {
                        break;
                    }
                }
            }
        }
        if left.is_empty() { Ok(released) } else { Err(unfinished(&released, chosen.len(), left)) }
    }

    /// What the store's clock says: it dated the lease a moment ago.
    async fn store_time(&self) -> Result<Timestamp> {
        let action = || format!("look at the lease of cluster {}", self.store.name());
        let holder = self.store.lease_holder().await.map_err(FlowError::store(action()))?;
        let ours = holder.filter(|holder| holder.epoch == self.lease.epoch());
        let lost = || {
            let what = format!("the lease of cluster {} is not ours any more", self.store.name());
            FlowError::check(what, "run the command again")
        };
        ours.map(|holder| holder.since).ok_or_else(lost)
    }

    /// The intent, before anything is deleted.
    async fn note(&self, chosen: &[OldDisk], at: Timestamp) -> Result<()> {
        let there = |disk: &&OldDisk| disk.state != OldDiskState::Gone;
        let restores: BTreeSet<&RestoreId> = chosen.iter().filter(there).map(|disk| &disk.restore).collect();
        for restore in restores {
            let of = chosen.iter().filter(there).filter(|disk| disk.restore == *restore);
            let disks = of.map(|disk| disk.disk.clone()).collect();
            let epoch = self.lease.epoch();
            let note = ReleaseNote::new(restore.clone(), self.request.by.clone(), at, epoch, disks);
            self.store
                .note_release(&note, self.lease)
                .await
                .map_err(FlowError::store(format!("note that the disks of restore {restore} go")))?;
        }
        Ok(())
    }

    /// Deletes one disk, looking before and after: an answer that was lost is no failure. `was_asked` tells also where it
    /// fails whether Director or cloud were asked to delete it.
    async fn one(&self, old: &OldDisk, was_asked: &mut bool) -> Result<ReleaseOutcome> {
        let disk = &old.disk;
        let mut outcome = ReleaseOutcome::AlreadyGone;
        for _ in 0..ATTEMPTS {
            let asked = match self.locate(old, *was_asked).await? {
                DiskLocation::Nowhere => return Ok(outcome),
                _ if self.ctx.cancellation.is_cancelled() => {
                    return Err(FlowError::Cancelled { step: format!("delete disk {disk}") });
                }
                DiskLocation::Orphan => self.by_director(disk, was_asked).await,
                DiskLocation::Cloud => self.by_cloud(disk, was_asked).await,
            };
            outcome = ReleaseOutcome::Deleted;
            if self.goes(old).await? {
                return Ok(outcome);
            }
            match asked {
                Err(error) if error.retry() != Retry::Soon => return Err(error),
                _ => {}
            }
        }
        Err(FlowError::check(
            format!("disk {disk} is still there though its deletion was asked for {ATTEMPTS} times"),
            "look at it in the cloud's console, then run the command again",
        ))
    }

    /// Where a disk is now. One that came into use meanwhile is left alone, and one that is somebody else's.
    async fn locate(&self, old: &OldDisk, is_known_ours: bool) -> Result<DiskLocation> {
        self.lease.check().await.map_err(FlowError::store("go on with the release"))?;
        let found = in_cloud(self.ctx, &old.disk).await?;
        if let Some(vm) = found.as_ref().and_then(|disk| disk.attached_to.as_ref()) {
            return Err(in_use(&old.disk, vm));
        }
        // An orphan is in no instance's record: the Director keeps a disk in one of the two.
        let orphans = read_orphans(self.ctx).await?;
        let orphan = orphans.get(&old.disk);
        // While it goes, a cloud may show it without tags, and the Director has forgotten it.
        if !is_known_ours {
            ownership::check(old, self.owner, found.as_ref(), orphan)?;
        }
        if orphan.is_some() {
            return Ok(DiskLocation::Orphan);
        }
        Ok(if found.is_some() { DiskLocation::Cloud } else { DiskLocation::Nowhere })
    }

    async fn by_director(&self, disk: &DiskCid, was_asked: &mut bool) -> Result<()> {
        let (director, timeouts) = (&self.ctx.director, &self.ctx.timeouts);
        let action = format!("delete disk {disk}");
        *was_asked = true;
        let task = director.delete_orphaned_disk(disk).await.map_err(FlowError::director(action.clone()))?;
        let how = Follow {
            deadline: Instant::now() + timeouts.delete,
            pace: self.ctx.timeouts.task,
            cancellation: &self.ctx.cancellation,
            progress: &|_| {},
        };
        follow(&**director, task, how).await.map_err(FlowError::director(action))?;
        Ok(())
    }

    /// The Director does not have it as an orphan: then it must not have it at all.
    async fn by_cloud(&self, disk: &DiskCid, was_asked: &mut bool) -> Result<()> {
        let deployments =
            self.ctx.director.deployments().await.map_err(FlowError::director("list the deployments"))?;
        if deployments.len() > DEPLOYMENTS_SEARCHED {
            return Err(FlowError::check(
                format!(
                    "disk {disk} is no orphan of the Director, and one of its {} deployments may have it",
                    deployments.len()
                ),
                format!(
                    "look for it with `bosh instances --details`; if none has it: `bosh -n delete-disk {disk}`, or delete it in the cloud's console"
                ),
            ));
        }
        for deployment in &deployments {
            let instances = instances_of(self.ctx, deployment).await?;
            if let Some(holder) = instances.iter().find(|instance| instance.disks.contains(disk)) {
                return Err(in_use(disk, format!("{} of deployment {deployment}", holder.slug)));
            }
        }
        *was_asked = true;
        self.ctx.cloud.delete_disk(disk).await.map_err(FlowError::cloud(format!("delete disk {disk}")))
    }

    /// Whether the disk goes: a task whose answer was lost, and a cloud, may take a moment.
    async fn goes(&self, old: &OldDisk) -> Result<bool> {
        let limit = self.ctx.timeouts.lost_answer.max(self.ctx.cloud.settle());
        settled::soon_within(self.ctx, limit, &format!("disk {} gone", old.disk), || async {
            Ok(self.locate(old, true).await? == DiskLocation::Nowhere)
        })
        .await
    }
}

fn in_use(disk: &DiskCid, by: impl std::fmt::Display) -> FlowError {
    FlowError::check(
        format!("disk {disk} is in use by {by}"),
        "it is no old disk of a restore now: nothing more is deleted; `remount disks` shows what is left",
    )
}

fn report(disk: &OldDisk, outcome: ReleaseOutcome) -> ReleasedDisk {
    ReleasedDisk {
        restore: disk.restore.clone(),
        cluster: disk.cluster.clone(),
        instance: disk.instance.clone(),
        disk: disk.disk.clone(),
        size_mib: disk.size_mib,
        outcome,
    }
}

/// A disk that did not go.
struct LeftDisk<'a> {
    disk: &'a OldDisk,
    /// Whether Director or cloud were asked to delete it.
    was_asked: bool,
    error: FlowError,
}

/// Nothing was changed only where nothing went and nobody was asked to delete one, or has refused it.
fn unfinished(released: &[ReleasedDisk], of: usize, mut left: Vec<LeftDisk<'_>>) -> FlowError {
    let deleted = released.iter().filter(|disk| disk.outcome == ReleaseOutcome::Deleted).count();
    let is_unchanged = |left: &LeftDisk<'_>| {
        let is_on_its_way = left.was_asked && left.error.is_cancelled();
        !is_on_its_way && left.error.retry() == Retry::Never
    };
    let is_unchanged = deleted == 0 && left.iter().all(is_unchanged);
    let restore = left[0].disk.restore.clone();
    let error = if left.len() == 1 {
        left.remove(0).error
    } else {
        let what = format!("the release of {} disks", left.len());
        FlowError::Refused { what, problems: left.iter().map(|left| Problem::of(&left.error)).collect() }
    };
    if is_unchanged {
        return error;
    }
    FlowError::ReleaseUnfinished { restore, deleted, of, source: Box::new(error) }
}

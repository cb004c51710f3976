//! Finding old disks: from the plans in the store, the Director's orphans, its records and the cloud.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use remount_cloud::{Disk, tag};
use remount_core::documents::{PlannedInstance, RestorePlan};
use remount_core::{ClusterName, DeploymentName, DiskCid, InstanceSlug, RestoreId, Role};
use remount_director::{Error, Instance, OrphanedDisk};
use remount_store::{ClusterStore, in_parallel};

use super::started_restore::StartedRestore;
use super::{OldDisk, OldDiskRetention, OldDiskState};
use crate::owner::Owner;
use crate::restore::RestorePhase;
use crate::{FlowContext, FlowError, Problem, Result, instances};

/// So many of a cluster's newest restores are looked at. The Director deletes what older ones left.
const RESTORES_SEARCHED: usize = 200;

/// Which old disks are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that exist.
    Present,
    /// Those that exist, and those of this restore.
    PresentAnd(RestoreId),
    /// Those that are gone too; every journal is read.
    All,
}

impl Scope {
    fn tells_gone(&self, restore: &RestoreId) -> bool {
        match self {
            Self::Present => false,
            Self::PresentAnd(wanted) => wanted == restore,
            Self::All => true,
        }
    }
}

/// The old disks of some clusters.
#[derive(Clone, Debug, Default)]
pub struct OldDisks {
    /// The disks: newest restore last, cluster by cluster.
    pub disks: Vec<OldDisk>,
    /// Restores of which nothing can be said, and why.
    pub unreadable: Vec<(RestoreId, Problem)>,
}

/// What time it is. A time to keep is over when it is over by both: a driver's clock may run ahead, and on a shared file
/// system a database VM can set the times of the store's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The store's, against the times of its objects.
    pub store: Timestamp,
    /// This process's, against what is signed.
    pub ours: Timestamp,
}

impl From<Timestamp> for Clocks {
    /// For reading: the store is not asked what time it is.
    fn from(now: Timestamp) -> Self {
        Self { store: now, ours: now }
    }
}

/// Lists the old disks of some clusters. `now` is for reading alone: ages, and what is due.
///
/// # Errors
/// Store, Director or cloud do not answer. A restore that cannot be read is told beside the others.
pub async fn list_old_disks(
    ctx: &FlowContext,
    clusters: &[ClusterName],
    scope: &Scope,
    now: impl Into<Clocks>,
) -> Result<OldDisks> {
    let now = now.into();
    let mut found = OldDisks::default();
    let mut landscape: Option<(Orphans, Owner)> = None;
    for cluster in clusters {
        let store = ctx.store.cluster(cluster);
        let mut plans = plans(&store, &mut found.unreadable).await?;
        plans.retain(|plan| plan.instances.iter().any(|planned| planned.old_disk.is_some()));
        if plans.is_empty() {
            continue;
        }
        // Once for all clusters: the Director's list is of the whole landscape.
        let (orphans, owner) = match &landscape {
            Some(read) => read,
            None => landscape.insert((read_orphans(ctx).await?, Owner::of(ctx).await?)),
        };
        let search = DiskSearch { ctx, store: &store, scope, now, orphans, owner };
        search.cluster(plans, &mut found).await?;
    }
    Ok(found)
}

/// The Director's orphans by their CID.
pub type Orphans = BTreeMap<DiskCid, OrphanedDisk>;

/// Reads the Director's orphans.
pub async fn read_orphans(ctx: &FlowContext) -> Result<Orphans> {
    let read = ctx.director.orphaned_disks().await.map_err(FlowError::director("read the orphaned disks"))?;
    Ok(read.into_iter().map(|orphan| (orphan.disk_cid.clone(), orphan)).collect())
}

/// One look at a disk in the cloud.
pub async fn in_cloud(ctx: &FlowContext, disk: &DiskCid) -> Result<Option<Disk>> {
    ctx.disk(disk).await
}

/// The instances of a deployment; none where it was deleted.
pub async fn instances_of(ctx: &FlowContext, deployment: &DeploymentName) -> Result<Vec<Instance>> {
    match instances::all(ctx, deployment).await {
        Err(FlowError::Director { source: Error::NotFound { .. }, .. }) => Ok(Vec::new()),
        read => read,
    }
}

async fn plans(store: &ClusterStore, unreadable: &mut Vec<(RestoreId, Problem)>) -> Result<Vec<RestorePlan>> {
    let ids = store
        .restores()
        .await
        .map_err(FlowError::store(format!("list the restores of cluster {}", store.name())))?;
    let newest = ids[ids.len().saturating_sub(RESTORES_SEARCHED)..].to_vec();
    let read = in_parallel(newest, |id| async move {
        let read = store.plan(&id).await.map_err(FlowError::store(format!("read the plan of restore {id}")));
        match read {
            Ok(plan) => Ok(plan.map(Ok)),
            Err(error) if is_damage(&error) => Ok(Some(Err((id, Problem::of(&error))))),
            Err(error) => Err(error),
        }
    });
    let mut plans = Vec::new();
    for found in read.await?.into_iter().flatten() {
        match found {
            Ok(plan) => plans.push(plan),
            Err(damaged) => unreadable.push(damaged),
        }
    }
    Ok(plans)
}

/// Whether one document is at fault, not the store.
const fn is_damage(error: &FlowError) -> bool {
    matches!(
        error,
        FlowError::Journal { .. } | FlowError::Store { source: remount_store::Error::Document { .. }, .. }
    )
}

/// What is looked at, and for whom.
struct DiskSearch<'a> {
    ctx: &'a FlowContext,
    store: &'a ClusterStore,
    scope: &'a Scope,
    now: Clocks,
    orphans: &'a Orphans,
    owner: &'a Owner,
}

impl DiskSearch<'_> {
    async fn cluster(&self, plans: Vec<RestorePlan>, found: &mut OldDisks) -> Result<()> {
        let wanted: BTreeSet<DiskCid> = plans.iter().flat_map(old_disks).cloned().collect();
        let (cloud, made) = (self.in_cloud(&wanted).await?, self.made().await?);
        let exists = |disk: &DiskCid| cloud.contains_key(disk) || self.orphans.contains_key(disk);
        let has_disks = |plan: &RestorePlan| {
            let id = plan.id.to_string();
            old_disks(plan).any(exists) || made.iter().any(|disk| disk.tags.get(tag::RESTORE) == Some(&id))
        };
        let mut begun = Vec::new();
        let mut recorded: BTreeMap<DeploymentName, Vec<Instance>> = BTreeMap::new();
        for plan in plans {
            // Journals are long: those of disks that are gone are read only where somebody wants them.
            if !self.scope.tells_gone(&plan.id) && !has_disks(&plan) {
                continue;
            }
            if !recorded.contains_key(&plan.deployment) {
                let read = instances_of(self.ctx, &plan.deployment).await?;
                recorded.insert(plan.deployment.clone(), read);
            }
            let id = plan.id.clone();
            match StartedRestore::read(self.store, plan).await {
                Ok(read) => begun.extend(read),
                Err(error) if is_damage(&error) => found.unreadable.push((id, Problem::of(&error))),
                Err(error) => return Err(error),
            }
        }
        let active: BTreeSet<&DiskCid> =
            recorded.values().flatten().flat_map(|instance| &instance.disks).collect();
        let (retention, now) = (self.ctx.old_disks, self.now);
        let landscape =
            Landscape { cloud: &cloud, made: &made, orphans: self.orphans, active, retention, now };
        let rows = rows(&begun, &landscape);
        found.disks.extend(
            rows.into_iter()
                .filter(|row| row.state != OldDiskState::Gone || self.scope.tells_gone(&row.restore)),
        );
        Ok(())
    }

    /// The disks that restores of the cluster have made, and the cloud still has.
    async fn made(&self) -> Result<Vec<Disk>> {
        self.ctx
            .cloud
            .disks_tagged(&self.owner.tags(self.store.name()))
            .await
            .map_err(FlowError::cloud(format!("look for the disks of cluster {}", self.store.name())))
    }

    async fn in_cloud(&self, wanted: &BTreeSet<DiskCid>) -> Result<BTreeMap<DiskCid, Disk>> {
        let found = in_parallel(wanted.iter().collect(), |disk| in_cloud(self.ctx, disk)).await?;
        Ok(found.into_iter().flatten().map(|disk| (disk.cid.clone(), disk)).collect())
    }
}

fn old_disks(plan: &RestorePlan) -> impl Iterator<Item = &DiskCid> {
    plan.instances.iter().filter_map(|planned| planned.old_disk.as_ref())
}

/// What the world says.
struct Landscape<'a> {
    cloud: &'a BTreeMap<DiskCid, Disk>,
    made: &'a [Disk],
    orphans: &'a Orphans,
    active: BTreeSet<&'a DiskCid>,
    retention: OldDiskRetention,
    now: Clocks,
}

impl Landscape<'_> {
    fn disk(&self, cid: &DiskCid) -> Option<&Disk> {
        self.cloud.get(cid).or_else(|| self.made.iter().find(|disk| disk.cid == *cid))
    }

    /// The disk that a restore made for an instance.
    fn made_for(&self, restore: &RestoreId, instance: &InstanceSlug) -> Option<&DiskCid> {
        let (restore, instance) = (restore.to_string(), instance.id.to_string());
        let tagged = |disk: &&Disk, name: &str, value: &str| disk.tags.get(name).is_some_and(|v| v == value);
        let made = self
            .made
            .iter()
            .find(|disk| tagged(disk, tag::RESTORE, &restore) && tagged(disk, tag::INSTANCE, &instance));
        made.map(|disk| &disk.cid)
    }
}

/// The rows of a cluster's restores, which come oldest first.
fn rows(begun: &[StartedRestore], landscape: &Landscape<'_>) -> Vec<OldDisk> {
    let open = begun.iter().filter(|restore| restore.phase() == RestorePhase::Unfinished);
    let needed: BTreeSet<&DiskCid> = open.flat_map(|restore| old_disks(&restore.plan)).collect();
    let mut taken = BTreeSet::new();
    let mut rows = Vec::new();
    for restore in begun.iter().rev() {
        for planned in restore.plan.instances.iter().rev() {
            let old = planned.old_disk.as_ref().filter(|disk| taken.insert(*disk));
            let needed = |disk: &DiskCid| needed.contains(disk);
            let active = |disk: &DiskCid| landscape.active.contains(disk);
            let aside = match restore.phase() {
                // What was undone before it served has put nothing candidate.
                RestorePhase::Undone | RestorePhase::NotBegun => old.filter(|disk| needed(disk)),
                // The cluster's own disk is no old disk, unless somebody has taken it out once more.
                RestorePhase::RolledBack => old.filter(|disk| needed(disk) || !active(disk)),
                RestorePhase::Unfinished | RestorePhase::Restored => old,
            };
            let back = (restore.phase() == RestorePhase::RolledBack)
                .then(|| landscape.made_for(&restore.plan.id, &planned.instance))
                .flatten();
            let row = |candidate: Candidate<'_>| row(restore, planned, &candidate, landscape);
            rows.extend(back.map(|disk| row(Candidate { disk, is_needed: false, is_restored: true })));
            rows.extend(
                aside.map(|disk| row(Candidate { disk, is_needed: needed(disk), is_restored: false })),
            );
        }
    }
    rows.reverse();
    rows
}

/// A disk that was put candidate.
struct Candidate<'a> {
    disk: &'a DiskCid,
    /// Whether a restore that has not ended could need it.
    is_needed: bool,
    /// Whether it is the restore's own: its rollback has put it candidate.
    is_restored: bool,
}

fn row(
    restore: &StartedRestore,
    planned: &PlannedInstance,
    candidate: &Candidate<'_>,
    landscape: &Landscape<'_>,
) -> OldDisk {
    let disk = candidate.disk;
    let (cloud, orphan) = (landscape.disk(disk), landscape.orphans.get(disk));
    let attached = cloud.is_some_and(|disk| disk.attached_to.is_some()) || landscape.active.contains(disk);
    let is_over = if candidate.is_restored {
        restore.phase() == RestorePhase::RolledBack
    } else {
        restore.phase() == RestorePhase::Restored
    };
    let holds =
        restore.missing_wal.clone().filter(|_| planned.role == Role::Primary && !candidate.is_restored);
    let by_name = candidate.is_restored || holds.is_some();
    let until = |since: Option<Timestamp>| {
        let since = since.filter(|_| is_over && !by_name)?;
        OldDiskRetention::until(since, restore.plan.keep_old_disks_hours)
    };
    let (kept_until, signed_until) = (until(restore.written_at), until(restore.signed_at));
    let state = match () {
        () if cloud.is_none() && orphan.is_none() && !landscape.active.contains(disk) => OldDiskState::Gone,
        () if candidate.is_needed => OldDiskState::Needed,
        () if attached => OldDiskState::Attached,
        () if is_over && holds.is_some() => OldDiskState::HoldsWal,
        () if is_over && candidate.is_restored => OldDiskState::PutAside,
        () if kept_until.is_some_and(|until| until <= landscape.now.store)
            && signed_until.is_some_and(|until| until <= landscape.now.ours) =>
        {
            OldDiskState::Due
        }
        () if is_over => OldDiskState::Kept,
        // Rolled back, and yet in no instance: it is the cluster's own disk, detached by something else.
        () => OldDiskState::Needed,
    };
    let swapped = restore.state.swapped_at(planned.role, candidate.is_restored);
    let out_of_use_since = swapped.filter(|_| !attached);
    OldDisk {
        restore: restore.plan.id.clone(),
        cluster: restore.plan.cluster.clone(),
        deployment: restore.plan.deployment.clone(),
        instance: planned.instance.clone(),
        disk: disk.clone(),
        size_mib: cloud.map(|disk| disk.shape.size_mib).or_else(|| orphan.and_then(|orphan| orphan.size)),
        is_restored: candidate.is_restored,
        put_aside_because: candidate.is_restored.then(|| restore.state.put_aside_because()).flatten(),
        out_of_use_since,
        age_seconds: out_of_use_since.map(|since| landscape.now.ours.duration_since(since).as_secs().max(0)),
        kept_until,
        director_deletes_at: orphan
            .and_then(|orphan| orphan.orphaned_at)
            .and_then(|since| landscape.retention.director_deletes_at(since)),
        state,
        holds,
        released: restore.released.clone().filter(|note| note.disks.contains(disk)),
    }
}

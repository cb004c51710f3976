//! Which server is backed up.

use std::sync::Arc;

use remount_cloud::Disk;
use remount_core::documents::DiskRecord;
use remount_core::{ClusterName, DiskCid, InstanceSlug, Role};
use remount_director::Instance;
use remount_postgres::{Server, ServerStatus};

use super::{BackupRequest, BackupSource};
use crate::{FlowContext, FlowError, Problem, Result, instances, settled};

/// The server that is backed up.
pub struct Source {
    /// Its instance.
    pub instance: Instance,
    /// The way to it.
    pub server: Arc<dyn Server>,
    /// What it said of itself.
    pub status: ServerStatus,
    /// Its disk, and what that is.
    pub disk: DiskRecord,
    /// The disks of the other instances, as far as the cloud knows them.
    pub other_disks: Vec<DiskRecord>,
    /// The primary, which a standby's backup needs.
    pub primary: (InstanceSlug, Arc<dyn Server>),
}

/// Chooses the source.
///
/// # Errors
/// [`FlowError::Refused`] with why no server can be backed up.
pub async fn choose(ctx: &FlowContext, request: &BackupRequest, cluster: &ClusterName) -> Result<Source> {
    let refused = |problems| FlowError::Refused { what: format!("backup of {cluster}"), problems };
    let all = instances::all(ctx, &request.deployment).await?;
    let group = instances::of_group(&all, &request.deployment, request.group.as_ref())
        .map_err(|problem| refused(vec![problem]))?;
    let statuses = instances::statuses(ctx, &group).await;
    let serving = |role: Role| {
        let fits = |status: &ServerStatus| status.role == role && (role == Role::Primary || status.streaming);
        statuses
            .iter()
            .filter_map(|(slug, status)| Some((slug, status.as_ref().ok()?)))
            .find(|(_, status)| fits(status))
    };
    let Some(primary) = serving(Role::Primary) else {
        let mut problems = vec![Problem::new("no primary serves", "look with `bosh instances --ps`")];
        problems
            .extend(statuses.iter().filter_map(|(_, status)| status.as_ref().err()).map(|e| Problem::of(e)));
        return Err(refused(problems));
    };
    let standby = match request.source {
        BackupSource::Primary => None,
        BackupSource::Standby => serving(Role::Standby),
    };
    let (slug, status) = standby.unwrap_or(primary);
    let of = |slug: &InstanceSlug| group.iter().find(|instance| instance.slug == *slug).cloned();
    let (Some(instance), Some(primary)) = (of(slug), of(primary.0)) else {
        return Err(refused(vec![Problem::new(format!("{slug} is gone"), "run the command again")]));
    };
    let problems = check(status, &instance, cluster);
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let Some(disk) = disk_of(ctx, &instance).await? else {
        let what = format!("the Director's record of the disk of {slug} and the cloud disagree");
        return Err(refused(vec![Problem::new(
            what,
            "compare `bosh instances --details` with the cloud's console",
        )]));
    };
    let (server, primary_server) = (instances::server(ctx, &instance)?, instances::server(ctx, &primary)?);
    let primary = (primary.slug, primary_server);
    let other_disks = other_disks(ctx, &group, &instance).await;
    Ok(Source { server, status: status.clone(), disk, other_disks, instance, primary })
}

fn check(status: &ServerStatus, instance: &Instance, cluster: &ClusterName) -> Vec<Problem> {
    let slug = &instance.slug;
    let mut problems = Vec::new();
    if status.cluster != *cluster {
        let what = format!("{slug} belongs to cluster {}, not {cluster}", status.cluster);
        problems.push(Problem::new(what, "name the PostgreSQL group with --group"));
    }
    if !status.on_other_disks.is_empty() {
        let what = format!(
            "{slug} has data on another disk, which no snapshot holds: {}",
            status.on_other_disks.join(", ")
        );
        problems.push(Problem::new(what, "move it below /var/vcap/store"));
    }
    if instance.disks.len() > 1 {
        let what = format!("{slug} has {} persistent disks", instance.disks.len());
        problems.push(Problem::new(what, "put the data directory on the one unnamed disk"));
    }
    problems
}

/// The instance's disk, where Director and cloud agree: a snapshot of another disk would be worthless.
async fn disk_of(ctx: &FlowContext, instance: &Instance) -> Result<Option<DiskRecord>> {
    let (Some(cid), Some(vm)) = (instance.disks.first(), &instance.vm) else {
        return Ok(None);
    };
    let what = format!("disk {cid} of {}", instance.slug);
    let look = || async {
        let attached = ctx.cloud.is_attached(cid, vm).await;
        if !attached.map_err(FlowError::cloud(format!("look whether {what} is attached to {vm}")))? {
            return Ok(None);
        }
        ctx.cloud.disk(cid).await.map_err(FlowError::cloud(format!("look at {what}")))
    };
    let found = settled::found_soon(ctx, &what, look).await?;
    Ok(found.map(|disk| record(instance, cid, disk)))
}

fn record(instance: &Instance, cid: &DiskCid, disk: Disk) -> DiskRecord {
    let (instance, az) = (instance.slug.clone(), instance.az.clone());
    DiskRecord { instance, az, cid: cid.clone(), shape: disk.shape }
}

/// What the disks of the other instances are. Without one of them the backup is as good: another one tells it.
async fn other_disks(ctx: &FlowContext, group: &[Instance], source: &Instance) -> Vec<DiskRecord> {
    let mut records = Vec::new();
    for instance in group.iter().filter(|other| other.slug != source.slug) {
        let Some(cid) = instance.disks.first() else { continue };
        match ctx.cloud.disk(cid).await {
            Ok(found) => records.extend(found.map(|disk| record(instance, cid, disk))),
            Err(error) => log::warn!(
                disk:% = cid, instance:% = instance.slug, error:% = remount_core::with_causes(&error);
                "the manifest does not record a standby's disk: the cloud does not tell what it is"
            ),
        }
    }
    records
}

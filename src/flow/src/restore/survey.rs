//! Everything that planning and preflight look at, read at once and before anything is touched.

use std::collections::BTreeMap;

use remount_cloud::{Disk, Snapshot};
use remount_core::documents::BackupManifest;
use remount_core::documents::RestoreRequest;
use remount_core::{ClusterName, DiskCid, InstanceSlug, Role, SystemIdentifier};
use remount_director::{Info, Instance, Lock};
use remount_postgres::ServerStatus;
use remount_store::ClusterStore;

use crate::instances;
use crate::{FlowContext, FlowError, Problem, Result};

/// What the world looks like before a restore.
pub struct Survey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The Director.
    pub info: Info,
    /// The locks that are held.
    pub locks: Vec<Lock>,
    /// The PostgreSQL group's instances.
    pub instances: Vec<Instance>,
    /// What the servers say that answer, and why the others do not.
    pub statuses: Vec<(InstanceSlug, Result<ServerStatus>)>,
    /// Which instance is the primary.
    pub primary: InstanceSlug,
    /// The instances' disks, as the cloud describes them.
    pub disks: BTreeMap<DiskCid, Disk>,
    /// The backups that can be read.
    pub backups: Vec<BackupManifest>,
    /// Why others cannot be.
    pub unreadable: Vec<String>,
    /// A restore that was begun and has not ended.
    pub unfinished: Option<Problem>,
}

impl Survey {
    /// The primary's status, where it answers as one.
    pub fn primary_status(&self) -> Option<&ServerStatus> {
        let status = self.statuses.iter().find(|(slug, _)| *slug == self.primary)?.1.as_ref().ok()?;
        (status.role == Role::Primary).then_some(status)
    }

    /// The status of an instance's server, where it answers.
    pub fn status(&self, slug: &InstanceSlug) -> Option<&ServerStatus> {
        self.statuses.iter().find(|(of, _)| of == slug)?.1.as_ref().ok()
    }

    /// The system identifier: what the servers say, else that of the newest backup.
    pub fn system_identifier(&self) -> Option<SystemIdentifier> {
        let running = self.statuses.iter().filter_map(|(_, status)| status.as_ref().ok());
        let said = running.map(|status| status.system_identifier).next();
        said.or_else(|| {
            self.backups.iter().max_by_key(|backup| &backup.id).map(|backup| backup.system_identifier)
        })
    }
}

/// Reads it all.
///
/// # Errors
/// [`FlowError::Refused`] with everything that could not be read.
pub async fn read(ctx: &FlowContext, request: &RestoreRequest) -> Result<Survey> {
    let cluster = ClusterName::of(&request.deployment, request.group.as_ref()).map_err(FlowError::usage)?;
    let store = ctx.store.cluster(&cluster);
    let (director, backups, unfinished) =
        tokio::join!(read_director(ctx, request), read_backups(&store), super::state::unfinished(&store));
    let mut problems = Vec::new();
    let director = director.map_err(|more| problems.extend(more)).ok();
    let backups = backups.map_err(|error| problems.push(Problem::of(&error))).ok();
    let unfinished = unfinished.map_err(|error| problems.push(Problem::of(&error))).ok();
    let (Some((info, locks, instances)), Some((backups, unreadable)), Some(unfinished)) =
        (director, backups, unfinished)
    else {
        return Err(FlowError::Refused { what: format!("restore of {cluster}"), problems });
    };
    let (statuses, disks) = tokio::join!(instances::statuses(ctx, &instances), read_disks(ctx, &instances));
    let primary = instances::primary_of(&instances, &statuses);
    let (Ok(primary), Ok(disks)) = (&primary, &disks) else {
        problems.extend(primary.err());
        problems.extend(disks.err().map(|error| Problem::of(&error)));
        return Err(FlowError::Refused { what: format!("restore of {cluster}"), problems });
    };
    let (primary, disks) = (primary.clone(), disks.clone());
    Ok(Survey { cluster, info, locks, instances, statuses, primary, disks, backups, unreadable, unfinished })
}

type DirectorSays = (Info, Vec<Lock>, Vec<Instance>);

async fn read_director(ctx: &FlowContext, request: &RestoreRequest) -> Result<DirectorSays, Vec<Problem>> {
    let director = &ctx.director;
    let info = director.info().await;
    let info = info.map_err(|error| vec![Problem::of(&FlowError::director("reach the Director")(error))])?;
    let (locks, all) = tokio::join!(director.locks(), instances::all(ctx, &request.deployment));
    let mut problems = Vec::new();
    let locks =
        locks.map_err(|error| problems.push(Problem::of(&FlowError::director("read the locks")(error))));
    let found = all
        .map_err(|error| Problem::of(&error))
        .and_then(|all| instances::of_group(&all, &request.deployment, request.group.as_ref()))
        .map_err(|problem| problems.push(problem));
    match (locks, found) {
        (Ok(locks), Ok(found)) => Ok((info, locks, found)),
        _ => Err(problems),
    }
}

async fn read_backups(store: &ClusterStore) -> Result<(Vec<BackupManifest>, Vec<String>)> {
    let survey = store.survey_backups().await.map_err(FlowError::store("read the backups"))?;
    let unreadable = survey.unreadable.iter().map(|error| Problem::of(error).what).collect();
    Ok((survey.good, unreadable))
}

async fn read_disks(ctx: &FlowContext, instances: &[Instance]) -> Result<BTreeMap<DiskCid, Disk>> {
    let mut disks = BTreeMap::new();
    for cid in instances.iter().flat_map(|instance| &instance.disks) {
        let found = ctx.disk(cid).await?;
        disks.extend(found.map(|disk| (cid.clone(), disk)));
    }
    Ok(disks)
}

/// The snapshot of a backup, as the cloud describes it now.
pub async fn snapshot(ctx: &FlowContext, backup: &BackupManifest) -> Result<Option<Snapshot>> {
    let cid = &backup.snapshot.cid;
    ctx.cloud.snapshot(cid).await.map_err(FlowError::cloud(format!("look at snapshot {cid}")))
}

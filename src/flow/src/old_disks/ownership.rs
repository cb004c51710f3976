//! Whose an old disk is: the disk itself is asked, and the Director, before it is deleted. A plan alone, signed or not,
//! deletes nothing.
//!
//! | who says it | what has to fit the plan |
//! |---|---|
//! | the Director's record of an orphan | deployment and instance |
//! | the tags that the Director's CPI set (`deployment`, `instance_id`) | deployment and instance |
//! | our own tags | store, Director, cluster, instance |
//!
//! Whoever says anything has to agree, and somebody has to say something.

use remount_cloud::{Disk, Tags, tag};
use remount_director::OrphanedDisk;

use super::OldDisk;
use crate::owner::Owner;
use crate::{FlowError, Result};

/// Tags that BOSH's Director sets on every disk that it attaches.
const BOSH_DEPLOYMENT: &str = "deployment";
const BOSH_INSTANCE: &str = "instance_id";

/// Refuses a disk that somebody says is another's, or of which nobody says whose it is.
///
/// # Errors
/// [`FlowError::Check`]: nothing was deleted.
pub fn check(old: &OldDisk, owner: &Owner, disk: Option<&Disk>, orphan: Option<&OrphanedDisk>) -> Result<()> {
    let said: Vec<Said> = [
        orphan.map(|orphan| of_orphan(old, orphan)),
        disk.and_then(|disk| of_bosh(old, &disk.tags)),
        disk.and_then(|disk| of_remount(old, owner, &disk.tags)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (cid, instance, deployment) = (&old.disk, &old.instance, &old.deployment);
    if let Some(Said { who, says }) = said.iter().find(|said| said.says.is_some()) {
        let says = says.as_deref().unwrap_or_default();
        return Err(FlowError::check(
            format!(
                "restore {} names disk {cid} as the old disk of {instance} of deployment {deployment}, but {who} says that it is of {says}",
                old.restore
            ),
            "nothing more is deleted: find out who wrote that plan; `remount disks` lists the others",
        ));
    }
    if said.is_empty() && disk.is_some() {
        return Err(FlowError::check(
            format!("nobody says whose disk {cid} is: it has no tags, and the Director does not know it"),
            format!("look at it in the cloud's console; if it was {instance}'s, delete it there"),
        ));
    }
    Ok(())
}

/// What somebody says of a disk.
struct Said {
    who: &'static str,
    /// Whose it is, where that is not whom the plan names.
    says: Option<String>,
}

fn of_orphan(old: &OldDisk, orphan: &OrphanedDisk) -> Said {
    let says = (orphan.deployment_name.as_deref(), orphan.instance_name.as_deref());
    let instance = old.instance.to_string();
    let fits = says == (Some(old.deployment.as_str()), Some(instance.as_str()));
    let text = format!("{} of deployment {}", says.1.unwrap_or("nobody"), says.0.unwrap_or("none"));
    Said { who: "the Director", says: (!fits).then_some(text) }
}

fn of_bosh(old: &OldDisk, tags: &Tags) -> Option<Said> {
    let (deployment, instance) = (tags.get(BOSH_DEPLOYMENT)?, tags.get(BOSH_INSTANCE)?);
    let fits = deployment == old.deployment.as_str() && instance == old.instance.id.as_str();
    let text = format!("instance {instance} of deployment {deployment}");
    Some(Said { who: "its tag of BOSH", says: (!fits).then_some(text) })
}

fn of_remount(old: &OldDisk, owner: &Owner, tags: &Tags) -> Option<Said> {
    tags.get(tag::CLUSTER)?;
    let mut wanted = owner.tags(&old.cluster);
    wanted.insert(tag::INSTANCE.into(), old.instance.id.to_string());
    let other = wanted.iter().find(|(key, value)| tags.get(*key) != Some(value));
    let text = other.map(|(key, _)| format!("`{key}: {}`", tags.get(key).map_or("none", String::as_str)));
    Some(Said { who: "its tag of Remount", says: text })
}

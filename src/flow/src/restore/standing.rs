//! What is where, for a person who has to finish by hand: instances, their disks by record and by cloud, and
//! the snapshot that the new ones are made of.

use async_trait::async_trait;
use remount_cloud::Disk;
use remount_core::DiskCid;
use remount_director::Instance;

use super::cx::Restore;
use crate::instances;
use crate::saga::Standing;
use crate::wait::retrying;
use crate::{FlowError, Problem, Result};

#[async_trait]
impl Standing for Restore<'_> {
    /// One line per instance and disk; what cannot be asked is said to be unknown.
    async fn standing(&self) -> Vec<String> {
        let found = instances::all(self.ctx, &self.plan.deployment).await;
        let mut lines = Vec::new();
        for planned in &self.plan.instances {
            let instance = match &found {
                Ok(all) => all
                    .iter()
                    .find(|instance| instance.slug == planned.instance)
                    .ok_or_else(|| "the Director does not know it".to_owned()),
                Err(error) => Err(format!("the Director does not say ({})", Problem::of(error).what)),
            };
            lines.push(match instance {
                Ok(instance) => format!("{} ({}): {}", planned.instance, planned.role, described(instance)),
                Err(why) => format!("{} ({}): {why}", planned.instance, planned.role),
            });
            if let Some(old) = &planned.old_disk {
                lines.push(self.disk_line("old disk, as before the restore", old).await);
            }
            if let Ok(new) = self.new_disk(planned).await {
                let path = &self.plan.path;
                let origin = format!("new disk, from snapshot {} of backup {}", path.snapshot, path.backup);
                lines.push(self.disk_line(&origin, &new).await);
            }
        }
        lines
    }
}

impl Restore<'_> {
    async fn disk_line(&self, what: &str, cid: &DiskCid) -> String {
        let found: Result<Option<Disk>> = retrying(self.ctx.timeouts.retry, || self.ctx.cloud.disk(cid))
            .await
            .map_err(FlowError::cloud(format!("look at disk {cid}")));
        let state = match found {
            Ok(Some(disk)) => disk
                .attached_to
                .map_or_else(|| "attached to no VM".into(), |vm| format!("attached to VM {vm}")),
            Ok(None) => "which the cloud does not have".into(),
            Err(error) => format!("of which the cloud does not tell ({})", Problem::of(&error).what),
        };
        format!("  disk {cid} ({what}), {state}")
    }
}

fn described(instance: &Instance) -> String {
    let processes =
        instance.job_state.as_ref().map(|state| format!(", its processes {state}")).unwrap_or_default();
    let vm = instance.vm.as_ref().map_or_else(|| "no VM".into(), |vm| format!("VM {vm}"));
    let disks: Vec<&str> = instance.disks.iter().map(DiskCid::as_str).collect();
    let disks = if disks.is_empty() { "no disk".to_owned() } else { format!("disk {}", disks.join(", ")) };
    format!("{} by the Director's record{processes}, {vm}, {disks}", instance.desired)
}

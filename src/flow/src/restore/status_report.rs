//! What is where, for a person who has to finish by hand: instances, their disks by record and by cloud, and
//! the snapshot that the new ones are made of.

use remount_core::DiskCid;
use remount_director::Instance;

use super::context::RestoreContext;
use crate::Problem;
use crate::instances;

/// One line per instance and disk; what cannot be asked is said to be unknown.
pub async fn lines(restore: &RestoreContext<'_>) -> Vec<String> {
    let found = instances::all(restore.ctx, &restore.plan.deployment).await;
    let mut lines = Vec::new();
    for planned in &restore.plan.instances {
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
            lines.push(disk_line(restore, "old disk, as before the restore", old).await);
        }
        if let Ok(new) = restore.new_disk(planned).await {
            let path = &restore.plan.path;
            let origin = format!("new disk, from snapshot {} of backup {}", path.snapshot, path.backup);
            lines.push(disk_line(restore, &origin, &new).await);
        }
    }
    lines
}

async fn disk_line(restore: &RestoreContext<'_>, what: &str, cid: &DiskCid) -> String {
    let state = match restore.ctx.disk(cid).await {
        Ok(Some(disk)) => {
            disk.attached_to.map_or_else(|| "attached to no VM".into(), |vm| format!("attached to VM {vm}"))
        }
        Ok(None) => "which the cloud does not have".into(),
        Err(error) => format!("of which the cloud does not tell ({})", Problem::of(&error).what),
    };
    format!("  disk {cid} ({what}), {state}")
}

fn described(instance: &Instance) -> String {
    let processes =
        instance.job_state.as_ref().map(|state| format!(", its processes {state}")).unwrap_or_default();
    let vm = instance.vm.as_ref().map_or_else(|| "no VM".into(), |vm| format!("VM {vm}"));
    let disks: Vec<&str> = instance.disks.iter().map(DiskCid::as_str).collect();
    let disks = if disks.is_empty() { "no disk".to_owned() } else { format!("disk {}", disks.join(", ")) };
    format!("{} by the Director's record{processes}, {vm}, {disks}", instance.desired)
}

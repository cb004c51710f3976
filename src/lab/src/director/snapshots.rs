//! The Director's own snapshots. Where they are disabled, every task is `done` and nothing was taken.

use jiff::Timestamp;
use remount_core::{InstanceSlug, SnapshotCid};
use serde_json::{Value, json};

use super::error::{DirectorError, Result};
use super::state::{Instance, Snapshot, State};
use super::task_context::TaskContext;
use crate::iaas::IaasError;

/// Whether the jobs were stopped when a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clean {
    Yes,
    No,
}

/// Takes a snapshot of each of the instance's disks, if the Director is to take any.
pub(crate) fn take(cx: &TaskContext, instance: &Instance, clean: Clean) -> Result<Vec<SnapshotCid>> {
    let config = &cx.director.config;
    if !config.enable_snapshots {
        cx.debug("I, Snapshots are disabled; skipping");
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    for disk in &instance.disks {
        let cid = match config.iaas.snapshot_disk(&disk.cid, &metadata(cx, instance)) {
            Err(IaasError::Cpi { kind, .. }) if kind.ends_with("NotImplemented") => return Ok(Vec::new()),
            other => other?,
        };
        let row = Snapshot { cid: cid.clone(), created_at: Timestamp::now(), clean: clean == Clean::Yes };
        cx.director.write(|s| -> Result<()> {
            let rows = &mut s.instance_mut(&instance.deployment, &instance.slug)?.disks;
            rows.iter_mut()
                .filter(|row| row.cid == disk.cid)
                .for_each(|disk| disk.snapshots.push(row.clone()));
            Ok(())
        })?;
        taken.push(cid);
    }
    Ok(taken)
}

/// The job of `POST …/jobs/J/I/snapshots`.
pub(crate) fn create(cx: &TaskContext, deployment: &str, slug: &InstanceSlug) -> Result<Option<String>> {
    let instance = cx.director.read(|s| s.instance(deployment, slug).cloned())?;
    let taken = take(cx, &instance, Clean::No)?;
    let names: Vec<&str> = taken.iter().map(SnapshotCid::as_str).collect();
    Ok(Some(format!("snapshot(s) {} created", names.join(", "))))
}

/// The job of `POST /deployments/D/snapshots`: instances without a VM are passed over, and so are failures.
pub(crate) fn create_all(cx: &TaskContext, deployment: &str) -> Result<Option<String>> {
    let instances = cx.director.read(|s| s.deployment(deployment).map(|d| d.instances.clone()))?;
    let with_vm = instances.iter().filter(|i| i.vm.is_some());
    let failures = with_vm.filter(|i| take(cx, i, Clean::No).is_err()).count();
    let text = format!("snapshots of deployment '{deployment}' created");
    Ok(Some(if failures == 0 { text } else { format!("{text}, with {failures} failure(s)") }))
}

/// The job of `DELETE …/snapshots` (all) and `DELETE …/snapshots/CID` (one).
pub(crate) fn delete(
    cx: &TaskContext,
    deployment: &str,
    only: Option<&SnapshotCid>,
) -> Result<Option<String>> {
    let instances = cx.director.read(|s| s.deployment(deployment).map(|d| d.instances.clone()))?;
    for instance in &instances {
        let all = instance.disks.iter().flat_map(|d| &d.snapshots);
        for snapshot in all.filter(|s| only.is_none_or(|wanted| s.cid == *wanted)) {
            cx.director.config.iaas.delete_snapshot(&snapshot.cid)?;
            cx.director.write(|s| forget(s, instance, &snapshot.cid))?;
        }
    }
    Ok(Some(match only {
        Some(cid) => format!("snapshot(s) {cid} deleted"),
        None => format!("snapshots of deployment '{deployment}' deleted"),
    }))
}

fn forget(state: &mut State, instance: &Instance, snapshot: &SnapshotCid) -> Result<()> {
    let disks = &mut state.instance_mut(&instance.deployment, &instance.slug)?.disks;
    disks.iter_mut().for_each(|disk| disk.snapshots.retain(|s| s.cid != *snapshot));
    Ok(())
}

/// As `GET …/snapshots` shows the snapshots of these instances.
pub(crate) fn list<'a>(instances: impl Iterator<Item = &'a Instance>) -> Value {
    let of = |instance: &'a Instance| {
        instance.disks.iter().flat_map(|disk| &disk.snapshots).map(move |snapshot| {
            json!({
                "job": instance.slug.group,
                "index": instance.index,
                "uuid": instance.slug.id,
                "snapshot_cid": snapshot.cid,
                "created_at": snapshot.created_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
                "clean": snapshot.clean,
            })
        })
    };
    Value::Array(instances.flat_map(of).collect())
}

/// The snapshot must be one of the deployment's (70008).
pub(crate) fn check_known(state: &State, deployment: &str, snapshot: &SnapshotCid) -> Result<()> {
    let mut disks = state.deployment(deployment)?.instances.iter().flat_map(|i| &i.disks);
    match disks.any(|disk| disk.snapshots.iter().any(|s| s.cid == *snapshot)) {
        true => Ok(()),
        false => Err(DirectorError::new(70008, format!("snapshot {snapshot} not found"))),
    }
}

fn metadata(cx: &TaskContext, instance: &Instance) -> std::collections::BTreeMap<String, String> {
    let agent = instance.vm.as_ref().map(|vm| vm.agent_id.clone()).unwrap_or_default();
    let entries = [
        ("deployment", instance.deployment.clone()),
        ("job", instance.slug.group.to_string()),
        ("index", instance.index.to_string()),
        ("director_name", cx.director.config.name.clone()),
        ("director_uuid", cx.director.uuid.clone()),
        ("agent_id", agent),
        ("instance_id", instance.slug.id.to_string()),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

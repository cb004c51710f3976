//! What the Director writes, read leniently: missing and unknown fields are no error, numbers may come
//! as texts. An instance, though, is never left out because it could not be read.

use jiff::{Timestamp, civil, tz::TimeZone};
use remount_core::{DeploymentName, DiskCid, InstanceSlug};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::answer::unusable;
use crate::{Info, Instance, Lock, OrphanedDisk, Result, Task, TaskId, TaskState};

/// `GET /tasks/ID`.
#[derive(Deserialize)]
pub(crate) struct WireTask {
    id: TaskId,
    /// As the Director calls it: more words than ours are possible.
    pub state: String,
    description: Option<String>,
    result: Option<Value>,
    deployment: Option<String>,
    context_id: Option<String>,
    #[serde(default, deserialize_with = "number")]
    started_at: Option<i64>,
}

/// `GET /deployments`.
#[derive(Deserialize)]
pub(crate) struct WireDeployment {
    pub name: String,
}

/// `GET /info`.
#[derive(Deserialize)]
pub(crate) struct WireInfo {
    name: Option<String>,
    uuid: Option<String>,
    version: Option<String>,
    user: Option<String>,
}

/// `GET /locks`.
#[derive(Deserialize)]
pub(crate) struct WireLock {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    resource: Vec<String>,
    #[serde(default, deserialize_with = "number")]
    task_id: Option<i64>,
}

/// `GET /disks`.
#[derive(Deserialize)]
pub(crate) struct WireDisk {
    disk_cid: DiskCid,
    deployment_name: Option<String>,
    instance_name: Option<String>,
    orphaned_at: Option<String>,
    #[serde(default, deserialize_with = "number")]
    size: Option<i64>,
}

/// One line of the result of `GET /deployments/D/instances?format=full`.
#[derive(Deserialize)]
struct WireInstance {
    job_name: String,
    id: String,
    #[serde(default, deserialize_with = "number")]
    index: Option<i64>,
    az: Option<String>,
    vm_cid: Option<String>,
    ips: Option<Vec<Option<String>>>,
    disk_cid: Option<String>,
    disk_cids: Option<Vec<Option<String>>>,
    state: Option<String>,
    job_state: Option<String>,
    bootstrap: Option<bool>,
    ignore: Option<bool>,
    vm_type: Option<String>,
}

impl From<WireTask> for Task {
    fn from(wire: WireTask) -> Self {
        Self {
            id: wire.id,
            state: state_of(&wire.state),
            word: wire.state,
            description: wire.description.unwrap_or_default(),
            result: wire.result.as_ref().and_then(text_of),
            deployment: filled(wire.deployment),
            context_id: filled(wire.context_id),
            started_at: wire.started_at,
        }
    }
}

/// A word that is not known is a task that still goes on: its end is bounded by the deadline.
fn state_of(word: &str) -> TaskState {
    match word {
        "queued" => TaskState::Queued,
        "cancelling" => TaskState::Cancelling,
        "done" => TaskState::Done,
        "error" => TaskState::Error,
        "cancelled" => TaskState::Cancelled,
        "timeout" => TaskState::Timeout,
        _ => TaskState::Processing,
    }
}

impl From<WireInfo> for Info {
    fn from(wire: WireInfo) -> Self {
        Self {
            name: wire.name.unwrap_or_default(),
            uuid: wire.uuid.unwrap_or_default(),
            version: wire.version.unwrap_or_default(),
            user: filled(wire.user),
        }
    }
}

impl From<WireLock> for Lock {
    fn from(wire: WireLock) -> Self {
        let task_id = wire.task_id.map(|number| number.to_string());
        Self { kind: wire.kind, resource: wire.resource, task_id }
    }
}

impl From<WireDisk> for OrphanedDisk {
    fn from(wire: WireDisk) -> Self {
        Self {
            disk_cid: wire.disk_cid,
            deployment_name: filled(wire.deployment_name),
            instance_name: filled(wire.instance_name),
            orphaned_at: wire.orphaned_at.as_deref().and_then(time),
            size: wire.size.and_then(|size| size.try_into().ok()),
        }
    }
}

/// As the Director writes times: `2026-11-23 10:15:00 UTC`.
fn time(text: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime("%Y-%m-%d %H:%M:%S UTC", text).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Every instance of a task's result, one JSON object per line.
///
/// # Errors
/// One line that cannot be read, or has lost its end, fails the whole.
pub(crate) fn instances(action: &str, deployment: &DeploymentName, result: &str) -> Result<Vec<Instance>> {
    let mut found = Vec::new();
    for (number, line) in result.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: String| unusable(action, format!("line {} of the result: {why}", number + 1));
        let wire: WireInstance = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        found.push(instance(deployment, wire).map_err(wrong)?);
    }
    found.sort_by(|a: &Instance, b| (&a.slug.group, a.index).cmp(&(&b.slug.group, b.index)));
    Ok(found)
}

fn instance(deployment: &DeploymentName, wire: WireInstance) -> Result<Instance, String> {
    let text = |error: remount_core::IdError| error.to_string();
    let slug =
        InstanceSlug { group: wire.job_name.parse().map_err(text)?, id: wire.id.parse().map_err(text)? };
    let recorded = wire.disk_cids.unwrap_or_default().into_iter().flatten().chain(wire.disk_cid);
    let mut disks: Vec<DiskCid> = Vec::new();
    for cid in recorded.filter(|cid| !cid.is_empty()) {
        let cid = cid.parse().map_err(text)?;
        if !disks.contains(&cid) {
            disks.push(cid);
        }
    }
    Ok(Instance {
        deployment: deployment.clone(),
        slug,
        index: wire.index.and_then(|index| index.try_into().ok()).unwrap_or_default(),
        az: filled(wire.az),
        vm: filled(wire.vm_cid).map(|cid| cid.parse().map_err(text)).transpose()?,
        ips: wire.ips.unwrap_or_default().into_iter().flatten().collect(),
        disks,
        desired: wire.state.unwrap_or_default(),
        job_state: filled(wire.job_state),
        bootstrap: wire.bootstrap.unwrap_or_default(),
        ignored: wire.ignore.unwrap_or_default(),
        vm_type: filled(wire.vm_type),
    })
}

/// A number, or the text of one; anything else counts as missing.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    })
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pg() -> DeploymentName {
        "pg-1".parse().unwrap()
    }

    const ID: &str = "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d";

    #[test]
    fn an_instance_without_a_vm_is_read() {
        let line = format!(
            r#"{{"vm_cid":null,"active":false,"disk_cid":"disk-1","disk_cids":["disk-1"],"ips":[],"agent_id":null,
            "job_name":"postgres","index":1,"job_state":null,"state":"detached","az":"z1","id":"{ID}",
            "bootstrap":false,"ignore":false,"processes":[],"vitals":null}}"#
        )
        .replace('\n', "");
        let found = instances("look", &pg(), &line).unwrap();
        assert_eq!((&found[0].vm, found[0].desired.as_str(), found[0].disks.len()), (&None, "detached", 1));
        assert!(!found[0].is_running());
    }

    #[test]
    fn the_managed_disk_counts_where_the_list_is_missing() {
        let line = format!(r#"{{"job_name":"pg","id":"{ID}","disk_cid":"disk-1"}}"#);
        assert_eq!(instances("look", &pg(), &line).unwrap()[0].disks, ["disk-1".parse().unwrap()]);
    }

    #[test]
    fn no_instance_is_lost_with_a_line_that_was_cut() {
        let line = format!(r#"{{"job_name":"pg","id":"{ID}"}}"#);
        let cut = format!("{line}\n{}", &line[..20]);
        assert!(instances("look", &pg(), &cut).unwrap_err().source().unwrap().to_string().contains("line 2"));
    }

    #[test]
    fn unknown_words_for_a_state_mean_that_it_goes_on() {
        let task: WireTask = serde_json::from_str(r#"{"id":7,"state":"paused","result":null}"#).unwrap();
        assert_eq!(Task::from(task).state, TaskState::Processing);
    }

    use std::error::Error as _;
}

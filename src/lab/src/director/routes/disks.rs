//! Disks: attach, orphans, delete. Director admins alone; no team admin gets here.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, Query, State as AxumState};
use remount_core::DiskCid;
use serde_json::Value;

use super::{Order, Reply, Shared, Who, json_as_json};
use crate::director::attach_disk::{AttachDisk, DiskProperties};
use crate::director::auth::Need;
use crate::director::error::{DirectorError, Result};
use crate::director::faults::Operation;
use crate::director::orphans;

type Parameters = Query<BTreeMap<String, String>>;

fn disk_cid(text: String) -> Result<DiskCid> {
    DiskCid::new(text).map_err(|error| DirectorError::generic(error.to_string()))
}

/// `GET /disks`.
pub(super) async fn list(AxumState(api): Shared, Extension(caller): Who) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let orphans = api.director.read(|s| s.orphans.iter().map(orphans::to_json).collect());
    Ok(json_as_json(&Value::Array(orphans)))
}

/// `PUT /disks/CID/attachments`. The task carries no context id.
pub(super) async fn attach(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(disk): Path<String>,
    Query(mut parameters): Parameters,
) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
    let deployment = api.deployment(&take("deployment"))?;
    let attach = AttachDisk {
        deployment: deployment.name.clone(),
        group: take("job"),
        instance_id: take("instance_id"),
        disk: disk_cid(disk)?,
        properties: match take("disk_properties").as_str() {
            "copy" => DiskProperties::Copy,
            _ => DiskProperties::Unknown,
        },
    };
    let order = Order {
        kind: "attach_disk",
        operation: Operation::Attach,
        description: format!("attach disk '{}' to '{}/{}'", attach.disk, attach.group, attach.instance_id),
        deployment: Some(&deployment),
        context_id: String::new(),
    };
    Ok(api.start_task(&caller, order, Box::new(move |cx| attach.perform(cx))))
}

/// `DELETE /disks/CID[?orphan=true]`.
pub(super) async fn delete(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(disk): Path<String>,
    Query(parameters): Parameters,
) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let disk = disk_cid(disk)?;
    let orphans_it = parameters.get("orphan").is_some_and(|value| value != "false");
    let order = |kind: &'static str, description: &str| Order {
        kind,
        operation: Operation::DeleteDisk,
        description: description.to_owned(),
        deployment: None,
        context_id: String::new(),
    };
    if orphans_it {
        let order = order("orphan_disk", "orphan disk");
        return Ok(api.start_task(&caller, order, Box::new(move |cx| orphans::orphan(cx, &disk))));
    }
    api.director.read(|s| orphans::check_deletable(s, &disk))?;
    let order = order("delete_orphan_disks", "delete orphan disks");
    Ok(api.start_task(&caller, order, Box::new(move |cx| orphans::delete(cx, &disk))))
}

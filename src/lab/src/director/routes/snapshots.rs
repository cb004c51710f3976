//! The Director's snapshots.

use axum::Extension;
use axum::extract::{Path, State as AxumState};
use axum::response::Response;
use remount_core::SnapshotCid;

use super::{Api, Order, Reply, Shared, Who, json_as_html};
use crate::director::auth::Caller;
use crate::director::error::DirectorError;
use crate::director::faults::Operation;
use crate::director::snapshots;
use crate::director::state::Deployment;
use crate::director::tasks::Job;

/// `GET /deployments/D/snapshots`.
pub(super) async fn list(AxumState(api): Shared, Extension(caller): Who, Path(name): Path<String>) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    Ok(json_as_html(&snapshots::list(deployment.instances.iter())))
}

/// `GET /deployments/D/jobs/J/INDEX_OR_ID/snapshots`.
pub(super) async fn list_of_instance(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, group, instance)): Path<(String, String, String)>,
) -> Reply {
    api.changeable(&caller, &name)?;
    let found = api.director.read(|s| s.find(&name, &group, &instance).cloned())?;
    Ok(json_as_html(&snapshots::list(std::iter::once(&found))))
}

/// `POST /deployments/D/snapshots`.
pub(super) async fn create(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let job: Job = Box::new(move |cx| snapshots::create_all(cx, &name));
    Ok(start(&api, &caller, &deployment, ("snapshot_deployment", "snapshot deployment"), job))
}

/// `POST /deployments/D/jobs/J/INDEX_OR_ID/snapshots`.
pub(super) async fn create_of_instance(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, group, instance)): Path<(String, String, String)>,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let found = api.director.read(|s| s.find(&name, &group, &instance).cloned())?;
    let job: Job = Box::new(move |cx| snapshots::create(cx, &name, &found.slug));
    Ok(start(&api, &caller, &deployment, ("create_snapshot", "create snapshot"), job))
}

/// `DELETE /deployments/D/snapshots`.
pub(super) async fn delete(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let job: Job = Box::new(move |cx| snapshots::delete(cx, &name, None));
    Ok(start(&api, &caller, &deployment, ("delete_deployment_snapshots", "delete deployment snapshots"), job))
}

/// `DELETE /deployments/D/snapshots/CID`.
pub(super) async fn delete_one(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, snapshot)): Path<(String, String)>,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let snapshot = SnapshotCid::new(snapshot).map_err(|error| DirectorError::generic(error.to_string()))?;
    api.director.read(|s| snapshots::check_known(s, &name, &snapshot))?;
    let job: Job = Box::new(move |cx| snapshots::delete(cx, &name, Some(&snapshot)));
    Ok(start(&api, &caller, &deployment, ("delete_snapshot", "delete snapshot"), job))
}

fn start(
    api: &Api,
    caller: &Caller,
    deployment: &Deployment,
    (kind, description): (&'static str, &str),
    job: Job,
) -> Response {
    let order = Order {
        kind,
        operation: Operation::Snapshot,
        description: description.to_owned(),
        deployment: Some(deployment),
        context_id: String::new(),
    };
    api.start_task(caller, order, job)
}

//! Instances: what they are, and the actions that touch one alone.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as AxumState};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Api, Order, Reply, Shared, Who, json_as_html, require_content_type};
use crate::director::auth::Caller;
use crate::director::error::DirectorError;
use crate::director::faults::Operation;
use crate::director::lifecycle::Drain;
use crate::director::state::{Desired, Instance};
use crate::director::update_instance::{Action, SilentAgent, UpdateInstance};
use crate::director::vms::{self, Report};

type Parameters = Query<BTreeMap<String, String>>;

/// `GET /deployments/D/instances`.
pub(super) async fn instances(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Reply {
    report(&api, &caller, &name, &parameters, Report::Instances)
}

/// `GET /deployments/D/vms`.
pub(super) async fn vms(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Reply {
    report(&api, &caller, &name, &parameters, Report::Vms)
}

fn report(
    api: &Api,
    caller: &Caller,
    name: &str,
    parameters: &BTreeMap<String, String>,
    report: Report,
) -> Reply {
    let deployment = api.readable(caller, name)?;
    if parameters.get("format").is_some_and(|format| format == "full") {
        let order = Order {
            kind: "vms",
            operation: Operation::Instances,
            description: "retrieve vm-stats".into(),
            deployment: Some(&deployment),
            context_id: String::new(),
        };
        let name = name.to_owned();
        return Ok(api.start_task(caller, order, Box::new(move |cx| vms::report(cx, &name, report))));
    }
    let shown = deployment.instances.iter().filter(|i| report == Report::Instances || i.vm.is_some());
    let entry = |instance: &Instance| {
        let mut entry = vms::short(instance);
        match report {
            Report::Instances => entry["expects_vm"] = (instance.desired != Desired::Detached).into(),
            Report::Vms => entry["active"] = true.into(),
        }
        entry
    };
    Ok(json_as_html(&Value::Array(shown.map(entry).collect())))
}

/// `GET /deployments/D/jobs/J/INDEX_OR_ID`: active and inactive disks; no agent is asked.
pub(super) async fn show(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, group, instance)): Path<(String, String, String)>,
) -> Reply {
    api.changeable(&caller, &name)?;
    let found = api.director.read(|s| s.find(&name, &group, &instance).cloned())?;
    Ok(json_as_html(&json!({
        "deployment": name,
        "job": found.slug.group,
        "index": found.index,
        "id": found.slug.id,
        "state": found.desired.word(),
        "disks": found.disks.iter().map(|disk| &disk.cid).collect::<Vec<_>>(),
    })))
}

/// `POST /deployments/D/instance_groups/G/INDEX_OR_ID/actions/A`.
pub(super) async fn action(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, group, instance, action)): Path<(String, String, String, String)>,
    Query(parameters): Parameters,
    uri: Uri,
) -> Reply {
    let is_set = |name: &str| parameters.get(name).is_some_and(|value| value == "true");
    let (word, operation) = match action.as_str() {
        "stop" if is_set("hard") => (Action::HardStop, Operation::Stop),
        "stop" => (Action::Stop, Operation::Stop),
        "start" => (Action::Start, Operation::Start),
        "restart" => (Action::Restart, Operation::Restart),
        "recreate" => (Action::Recreate, Operation::Restart),
        _ => return Err(DirectorError::no_endpoint(uri.path())),
    };
    let deployment = api.changeable(&caller, &name)?;
    let found = api.director.read(|s| s.find(&name, &group, &instance).cloned())?;
    let update = UpdateInstance {
        deployment: name,
        slug: found.slug,
        action: word,
        drain: if is_set("skip_drain") { Drain::Skip } else { Drain::Shutdown },
        silent_agent: match is_set("ignore_unresponsive_agent") && word == Action::Recreate {
            true => SilentAgent::IsIgnored,
            false => SilentAgent::Fails,
        },
    };
    let order = Order {
        kind: "update_instance",
        operation,
        description: format!("{action} instance"),
        deployment: Some(&deployment),
        context_id: caller.context_id.clone(),
    };
    Ok(api.start_task(&caller, order, Box::new(move |cx| update.perform(cx))))
}

/// `PUT /deployments/D/instance_groups/G/INDEX_OR_ID/ignore`.
pub(super) async fn ignore(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, group, instance)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    require_content_type(&headers, "application/json", &uri)?;
    api.changeable(&caller, &name)?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| DirectorError::generic(format!("Invalid JSON request body: {error}")))?;
    let Some(ignore) = value["ignore"].as_bool() else {
        return Err(DirectorError::new(40000, "Invalid request to change instance ignore state"));
    };
    api.director.write(|s| {
        let slug = s.find(&name, &group, &instance)?.slug.clone();
        s.instance_mut(&name, &slug).map(|i| i.ignore = ignore)
    })?;
    Ok(StatusCode::OK.into_response())
}

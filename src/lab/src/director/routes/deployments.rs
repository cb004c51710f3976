//! Deployments: list, show, deploy, delete, converging state changes, errands.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as AxumState};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Order, Reply, Shared, Who, json_as_html, require_content_type};
use crate::director::auth::{Caller, Need, team_of};
use crate::director::delete_deployment::{self, Force};
use crate::director::deploy::{Deploy, NewState, Recreation, SilentAgents, StateChange};
use crate::director::errands::{self, ErrandOptions, RunErrand};
use crate::director::error::{DirectorError, Result};
use crate::director::faults::Operation;
use crate::director::manifest;
use crate::director::scan_and_fix::ScanAndFix;
use crate::director::state::Deployment;

type Parameters = Query<BTreeMap<String, String>>;

fn is_true(parameters: &BTreeMap<String, String>, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value == "true")
}

/// `GET /deployments`.
pub(super) async fn list(
    AxumState(api): Shared,
    Extension(caller): Who,
    Query(parameters): Parameters,
) -> Reply {
    let admin = caller.scopes.iter().any(|scope| team_of(scope).is_some());
    if !admin {
        api.director.authorize(&caller, Need::DirectorRead)?;
    }
    let shown = api.director.read(|s| {
        let mine = s.deployments.values();
        let mine = mine.filter(|d| api.director.authorize(&caller, Need::DeploymentRead(d)).is_ok());
        let entry = |d: &Deployment| {
            let mut entry = json!({"name": d.name, "teams": d.teams});
            let parts = [
                ("exclude_configs", "cloud_config", json!("latest")),
                ("exclude_stemcells", "stemcells", json!([{"name": "lab", "version": "1"}])),
                ("exclude_releases", "releases", json!([{"name": "remount", "version": "0"}])),
                (
                    "exclude_lock",
                    "locked",
                    json!(s.locks.contains_key(&format!("lock:deployment:{}", d.name))),
                ),
            ];
            for (excluded, key, value) in parts {
                if !is_true(&parameters, excluded) {
                    entry[key] = value;
                }
            }
            entry
        };
        mine.map(entry).collect()
    });
    Ok(json_as_html(&Value::Array(shown)))
}

/// `GET /deployments/D`.
pub(super) async fn show(AxumState(api): Shared, Extension(caller): Who, Path(name): Path<String>) -> Reply {
    let deployment = api.readable(&caller, &name)?;
    Ok(json_as_html(&json!({"manifest": deployment.manifest})))
}

/// `POST /deployments/D/diff`: without an answer `bosh deploy` does not begin. It shows the operator what differs; here nothing does.
pub(super) async fn diff(AxumState(api): Shared, Extension(caller): Who, Path(name): Path<String>) -> Reply {
    let existing = api.director.read(|s| s.deployments.get(&name).cloned());
    api.director
        .authorize(&caller, existing.as_ref().map_or(Need::CreateDeployment, Need::DeploymentAdmin))?;
    Ok(json_as_html(&json!({"context": {}, "diff": []})))
}

/// `GET /deployments/D/variables`: the names alone.
pub(super) async fn variables(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let specs = match &deployment.manifest {
        Some(text) => manifest::variables(&manifest::parse(text)?)?,
        None => Vec::new(),
    };
    let names = specs.iter().enumerate().map(|(at, spec)| json!({"id": at.to_string(), "name": spec.name}));
    Ok(json_as_html(&Value::Array(names.collect())))
}

/// `POST /deployments`.
pub(super) async fn deploy(
    AxumState(api): Shared,
    Extension(caller): Who,
    Query(parameters): Parameters,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    require_content_type(&headers, "text/yaml", &uri)?;
    let text = manifest_text(&body)?;
    let name = manifest::parse(&text)?["name"].as_str().unwrap_or_default().to_owned();
    let existing = api.director.read(|s| s.deployments.get(&name).cloned());
    let need = existing.as_ref().map_or(Need::CreateDeployment, Need::DeploymentAdmin);
    api.director.authorize(&caller, need)?;
    // The row is there from here on, with the teams of who made it, whatever becomes of the deploy.
    let deployment = api.director.write(|s| {
        let teams = || caller.scopes.iter().filter_map(|scope| team_of(scope)).map(str::to_owned).collect();
        let entry = s.deployments.entry(name.clone());
        entry
            .or_insert_with(|| Deployment { name: name.clone(), teams: teams(), ..Deployment::default() })
            .clone()
    });
    let recreate = is_true(&parameters, "recreate");
    let order = Deploy {
        deployment: name,
        manifest: text,
        changes: Vec::new(),
        skip_drain: parameters.get("skip_drain").cloned(),
        silent_agents: silent_agents(&parameters),
        vms: if recreate { Recreation::All } else { Recreation::AsNeeded },
    };
    Ok(start_deploy(&api, &caller, &deployment, order))
}

fn manifest_text(body: &Bytes) -> Result<String> {
    String::from_utf8(body.to_vec()).map_err(|_| DirectorError::manifest("The manifest is not UTF-8"))
}

fn silent_agents(parameters: &BTreeMap<String, String>) -> SilentAgents {
    if is_true(parameters, "fix") { SilentAgents::Recreate } else { SilentAgents::Fail }
}

fn start_deploy(api: &Api, caller: &Caller, deployment: &Deployment, order: Deploy) -> Response {
    let task = Order {
        kind: "update_deployment",
        operation: Operation::Deploy,
        description: "create deployment".into(),
        deployment: Some(deployment),
        context_id: caller.context_id.clone(),
    };
    api.start_task(caller, task, Box::new(move |cx| order.perform(cx)))
}

/// `PUT /deployments/D/jobs/J?state=`.
pub(super) async fn change_group(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((deployment, group)): Path<(String, String)>,
    Query(parameters): Parameters,
    request: (Uri, HeaderMap, Bytes),
) -> Reply {
    converge(&api, &caller, Target { deployment, group, instance: None }, &parameters, request)
}

/// `PUT /deployments/D/jobs/J/INDEX_OR_ID?state=`.
pub(super) async fn change_instance(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((deployment, group, instance)): Path<(String, String, String)>,
    Query(parameters): Parameters,
    request: (Uri, HeaderMap, Bytes),
) -> Reply {
    converge(&api, &caller, Target { deployment, group, instance: Some(instance) }, &parameters, request)
}

struct Target {
    deployment: String,
    group: String,
    instance: Option<String>,
}

fn converge(
    api: &Api,
    caller: &Caller,
    target: Target,
    parameters: &BTreeMap<String, String>,
    (uri, headers, body): (Uri, HeaderMap, Bytes),
) -> Reply {
    require_content_type(&headers, "text/yaml", &uri)?;
    let deployment = api.changeable(caller, &target.deployment)?;
    let index = match &target.instance {
        None => None,
        Some(text) => {
            Some(api.director.read(|s| s.find(&deployment.name, &target.group, text).map(|i| i.index))?)
        }
    };
    let state = parameters.get("state").map(|word| NewState::parse(word)).transpose()?;
    let text = match (body.is_empty(), &deployment.manifest) {
        (false, _) => manifest_text(&body)?,
        (true, Some(current)) => current.clone(),
        (true, None) => return Err(DirectorError::manifest("The deployment has no manifest yet")),
    };
    let order = Deploy {
        deployment: deployment.name.clone(),
        manifest: text,
        changes: state.map(|to| StateChange { group: target.group.clone(), index, to }).into_iter().collect(),
        skip_drain: is_true(parameters, "skip_drain").then(|| target.group.clone()),
        silent_agents: silent_agents(parameters),
        vms: Recreation::AsNeeded,
    };
    Ok(start_deploy(api, caller, &deployment, order))
}

/// `PUT /deployments/D/scan_and_fix`: `{"jobs": {"group": ["uuid or index", …]}}`.
pub(super) async fn scan_and_fix(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
    (uri, headers, body): (Uri, HeaderMap, Bytes),
) -> Reply {
    require_content_type(&headers, "application/json", &uri)?;
    let deployment = api.changeable(&caller, &name)?;
    let asked: Scan = serde_json::from_slice(&body)
        .map_err(|error| DirectorError::generic(format!("Invalid JSON request body: {error}")))?;
    if api.director.read(|s| s.resurrection_paused) {
        return Err(DirectorError::new(410_004, "Resurrector is paused"));
    }
    let named = asked.jobs.iter().flat_map(|(group, ids)| ids.iter().map(move |id| (group, id)));
    let instances = named
        .map(|(group, id)| api.director.read(|s| s.find(&name, group, id).map(|found| found.slug.clone())))
        .collect::<Result<_>>()?;
    let order = Order {
        kind: "cck_scan_and_fix",
        operation: Operation::ScanAndFix,
        description: "scan and fix".into(),
        deployment: Some(&deployment),
        context_id: String::new(),
    };
    let scan = ScanAndFix { deployment: name, instances };
    Ok(api.start_task(&caller, order, Box::new(move |cx| scan.perform(cx))))
}

/// Which instances are to be looked at.
#[derive(Deserialize)]
struct Scan {
    jobs: BTreeMap<String, Vec<String>>,
}

/// `DELETE /deployments/D`.
pub(super) async fn delete(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let force = if is_true(&parameters, "force") { Force::Yes } else { Force::No };
    let order = Order {
        kind: "delete_deployment",
        operation: Operation::DeleteDeployment,
        description: format!("delete deployment {name}"),
        deployment: Some(&deployment),
        context_id: caller.context_id.clone(),
    };
    Ok(api.start_task(&caller, order, Box::new(move |cx| delete_deployment::perform(cx, &name, force))))
}

/// `GET /deployments/D/errands`.
pub(super) async fn errands(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path(name): Path<String>,
) -> Reply {
    let names = errands::names(&api.readable(&caller, &name)?);
    Ok(json_as_html(&names.iter().map(|name| json!({"name": name})).collect()))
}

/// `POST /deployments/D/errands/E/runs`.
pub(super) async fn run_errand(
    AxumState(api): Shared,
    Extension(caller): Who,
    Path((name, errand)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let deployment = api.changeable(&caller, &name)?;
    let options: ErrandOptions = serde_json::from_slice(&body)
        .map_err(|error| DirectorError::generic(format!("Invalid JSON request body: {error}")))?;
    let order = Order {
        kind: "run_errand",
        operation: Operation::RunErrand,
        description: format!("run errand {errand} from deployment {name}"),
        deployment: Some(&deployment),
        context_id: caller.context_id.clone(),
    };
    let run = RunErrand { deployment: name, errand, options };
    Ok(api.start_task(&caller, order, Box::new(move |cx| run.perform(cx))))
}

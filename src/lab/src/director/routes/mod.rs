//! The HTTP API: who may ask for what, and how it is answered.
//!
//! Two layers lie before every route. The outer one plays the ordered faults of the way (slow and lost
//! answers). The inner one finds out who calls, and refuses everybody else.

mod deployments;
mod disks;
mod info;
mod instances;
mod snapshots;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as AxumState};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};

use super::auth::{Caller, Need};
use super::core::LabDirector;
use super::error::{DirectorError, Result};
use super::faults::{FaultKind, Operation};
use super::state::Deployment;
use super::tasks::{Job, NewTask, Queue};

/// The answer of a route.
type Reply = Result<Response>;

/// Marks a response that must never be sent: the connection is closed instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the lab was told to lose this answer")]
pub(crate) struct LostAnswer;

/// What routes share.
#[derive(Clone, Debug)]
struct Api {
    director: Arc<LabDirector>,
    /// Scheme, host and port of `Location`.
    base: Arc<str>,
    uaa_url: Arc<str>,
}

/// The extension that carries the caller.
type Who = Extension<Caller>;
/// The shared part, as routes take it.
type Shared = AxumState<Api>;

/// Longer context ids are refused.
const CONTEXT_ID_LENGTH: usize = 64;

/// All routes of a Director.
pub(crate) fn router(director: Arc<LabDirector>, base: &str, uaa_url: &str) -> Router {
    let api = Api { director, base: base.into(), uaa_url: uaa_url.into() };
    let behind_auth = deployment_routes()
        .merge(other_routes())
        .fallback(no_endpoint)
        .method_not_allowed_fallback(no_endpoint)
        .layer(from_fn_with_state(api.clone(), authenticate));
    Router::new()
        .route("/info", get(info::info))
        .route("/oauth/token", post(info::token))
        .route("/uaa/oauth/token", post(info::token))
        .merge(behind_auth)
        .layer(from_fn_with_state(api.clone(), play_faults))
        .with_state(api)
}

fn deployment_routes() -> Router<Api> {
    const INSTANCE: &str = "/deployments/{deployment}/instance_groups/{group}/{instance}";
    const JOB: &str = "/deployments/{deployment}/jobs/{group}";
    Router::new()
        .route("/deployments", get(deployments::list).post(deployments::deploy))
        .route("/deployments/{deployment}", get(deployments::show).delete(deployments::delete))
        .route("/deployments/{deployment}/diff", post(deployments::diff))
        .route("/deployments/{deployment}/instances", get(instances::instances))
        .route("/deployments/{deployment}/vms", get(instances::vms))
        .route("/deployments/{deployment}/variables", get(deployments::variables))
        .route("/deployments/{deployment}/errands", get(deployments::errands))
        .route("/deployments/{deployment}/errands/{errand}/runs", post(deployments::run_errand))
        .route(
            "/deployments/{deployment}/snapshots",
            get(snapshots::list).post(snapshots::create).delete(snapshots::delete),
        )
        .route("/deployments/{deployment}/snapshots/{snapshot}", delete(snapshots::delete_one))
        .route("/deployments/{deployment}/scan_and_fix", put(deployments::scan_and_fix))
        .route(JOB, put(deployments::change_group))
        .route(&format!("{JOB}/{{instance}}"), get(instances::show).put(deployments::change_instance))
        .route(
            &format!("{JOB}/{{instance}}/snapshots"),
            get(snapshots::list_of_instance).post(snapshots::create_of_instance),
        )
        .route(&format!("{INSTANCE}/actions/{{action}}"), post(instances::action))
        .route(&format!("{INSTANCE}/ignore"), put(instances::ignore))
}

fn other_routes() -> Router<Api> {
    Router::new()
        .route("/tasks", get(tasks::list))
        .route("/tasks/cancel", post(tasks::cancel_many))
        .route("/tasks/{task}", get(tasks::show))
        .route("/tasks/{task}/output", get(tasks::output))
        .route("/task/{task}", delete(tasks::cancel))
        .route("/locks", get(info::locks))
        .route("/resurrection", get(info::resurrection).put(info::set_resurrection))
        .route("/disks", get(disks::list))
        .route("/disks/{disk}", delete(disks::delete))
        .route("/disks/{disk}/attachments", put(disks::attach))
}

async fn no_endpoint(uri: Uri) -> DirectorError {
    DirectorError::no_endpoint(uri.path())
}

/// Refuses who is not known. Every answer behind this carries the challenge, even a good one.
async fn authenticate(AxumState(api): Shared, mut request: Request, next: Next) -> Response {
    let mut response = match api.director.caller(request.headers()) {
        None => {
            let text = format!("Not authorized: '{}'\n", request.uri().path());
            (StatusCode::UNAUTHORIZED, text).into_response()
        }
        Some(caller) if caller.context_id.chars().count() > CONTEXT_ID_LENGTH => {
            let text = "X-Bosh-Context-Id cannot be more than 64 characters in length";
            DirectorError::new(70010, text).into_response()
        }
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    let challenge = HeaderValue::from_static("Basic realm=\"BOSH Director\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Loses and delays what was ordered.
async fn play_faults(AxumState(api): Shared, request: Request, next: Next) -> Response {
    let operation = operation_of(request.method(), request.uri());
    let about = request.uri().to_string();
    let take =
        |wanted: fn(FaultKind) -> bool| api.director.write(|s| s.faults.take(operation, &about, wanted));
    if take(|kind| kind == FaultKind::LoseRequest).is_some() {
        return lost();
    }
    let response = next.run(request).await;
    if let Some(FaultKind::SlowAnswer { milliseconds }) = take(|k| matches!(k, FaultKind::SlowAnswer { .. }))
    {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    if take(|kind| kind == FaultKind::LoseAnswer).is_some() { lost() } else { response }
}

fn lost() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(LostAnswer);
    response
}

fn operation_of(method: &Method, uri: &Uri) -> Operation {
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let full = uri.query().is_some_and(|query| query.contains("format=full"));
    match (method.as_str(), path.as_slice()) {
        ("PUT", ["disks", _, "attachments"]) => Operation::Attach,
        ("DELETE", ["disks", _]) => Operation::DeleteDisk,
        ("POST", [.., "actions", "stop"]) => Operation::Stop,
        ("POST", [.., "actions", "start"]) => Operation::Start,
        ("POST", [.., "actions", _]) => Operation::Restart,
        ("POST", ["deployments"]) | ("PUT", ["deployments", _, "jobs", ..]) => Operation::Deploy,
        ("PUT", [.., "scan_and_fix"]) => Operation::ScanAndFix,
        ("DELETE", ["deployments", _]) => Operation::DeleteDeployment,
        ("POST", [.., "runs"]) => Operation::RunErrand,
        ("GET", [.., "instances" | "vms"]) if full => Operation::Instances,
        (_, [.., "snapshots"] | [.., "snapshots", _]) => Operation::Snapshot,
        ("GET", ["tasks", _, ..]) => Operation::ReadTask,
        _ => Operation::Other,
    }
}

/// JSON in the body, HTML on the label: the Director's habit.
fn json_as_html(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "text/html;charset=utf-8")], value.to_string()).into_response()
}

/// JSON under its own label.
fn json_as_json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A route that is there only for one content type.
fn require_content_type(headers: &axum::http::HeaderMap, wanted: &str, uri: &Uri) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match given.split(';').next().map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case(wanted) => Ok(()),
        _ => Err(DirectorError::no_endpoint(uri.path())),
    }
}

/// A task as a route asks for it.
struct Order<'a> {
    kind: &'static str,
    operation: Operation,
    description: String,
    deployment: Option<&'a Deployment>,
    /// Only some routes pass the caller's context id on.
    context_id: String,
}

impl Api {
    /// A copy of the deployment, if it exists.
    fn deployment(&self, name: &str) -> Result<Deployment> {
        self.director.read(|s| s.deployment(name).cloned())
    }

    /// The deployment, if the caller may read it.
    fn readable(&self, caller: &Caller, name: &str) -> Result<Deployment> {
        let deployment = self.deployment(name)?;
        self.director.authorize(caller, Need::DeploymentRead(&deployment))?;
        Ok(deployment)
    }

    /// The deployment, if the caller may change it.
    fn changeable(&self, caller: &Caller, name: &str) -> Result<Deployment> {
        let deployment = self.deployment(name)?;
        self.director.authorize(caller, Need::DeploymentAdmin(&deployment))?;
        Ok(deployment)
    }

    /// Queues a task and answers with the way to it.
    fn start_task(&self, caller: &Caller, order: Order<'_>, job: Job) -> Response {
        let queue = if order.kind == "vms" { Queue::Urgent } else { Queue::Normal };
        let new = NewTask {
            kind: order.kind,
            operation: order.operation,
            queue,
            description: order.description,
            deployment: order.deployment.map(|d| d.name.clone()),
            teams: order.deployment.map(|d| d.teams.clone()).unwrap_or_default(),
            user: caller.name.clone(),
            context_id: order.context_id,
        };
        let id = self.director.enqueue(new, job);
        let location = format!("{}/tasks/{id}", self.base);
        let headers =
            [(header::LOCATION, location), (header::CONTENT_TYPE, "text/html;charset=utf-8".to_owned())];
        (StatusCode::FOUND, headers).into_response()
    }
}

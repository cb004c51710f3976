//! The operator's side of the lab's Director: what `bosh deploy`, `bosh stop`, `bosh run-errand` and the like
//! do, over the Director's HTTP API. Not the client that Remount ships (`remount-director`), on purpose: what
//! the lab prepares and the tests break must not depend on what they test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// One request may take this long.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// One task may take this long.
const TASK_LIMIT: Duration = Duration::from_secs(3600);
/// How often a task is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Where the Director is and who calls. Kept in a file that only root may read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// `https://…:port`.
    pub url: String,
    /// Its CA, PEM.
    pub ca: String,
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A client.
#[derive(Debug)]
pub struct Bosh {
    agent: Agent,
    url: String,
    authorization: String,
}

/// How a task ended.
#[derive(Debug)]
pub struct TaskEnd {
    /// Its number.
    pub id: u64,
    /// `done`, `error`, ….
    pub state: String,
    /// The short result, or the whole error message.
    pub message: String,
}

/// What one errand run left on one instance.
#[derive(Debug, Deserialize)]
pub struct ErrandResult {
    /// Its exit code.
    pub exit_code: i32,
    /// What it printed.
    #[serde(default)]
    pub stdout: String,
    /// What it printed as errors.
    #[serde(default)]
    pub stderr: String,
}

impl Bosh {
    /// A client of the lab's Director.
    ///
    /// # Errors
    /// The CA is no certificate.
    pub fn new(access: &Access) -> Result<Self> {
        let ca = Certificate::from_pem(access.ca.as_bytes()).context("read the Director's CA")?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(REQUEST_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let pair = format!("{}:{}", access.username, access.password);
        let authorization = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        Ok(Self { agent: config.into(), url: access.url.clone(), authorization })
    }

    /// The answer's JSON.
    ///
    /// # Errors
    /// No answer, another status than 200, no JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.get_text(path)?;
        anyhow::ensure!(status == 200, "GET {path}: {status} {body}");
        serde_json::from_str(&body).with_context(|| format!("GET {path}: the answer is no JSON"))
    }

    fn get_text(&self, path: &str) -> Result<(u16, String)> {
        let request =
            self.agent.get(format!("{}{path}", self.url)).header("Authorization", &self.authorization);
        let mut response = request.call().with_context(|| format!("GET {path}"))?;
        let body = response.body_mut().read_to_string().with_context(|| format!("GET {path}"))?;
        Ok((response.status().as_u16(), body))
    }

    /// The names of all deployments.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn deployments(&self) -> Result<Vec<String>> {
        let list = self.get("/deployments?exclude_configs=true")?;
        let names =
            list.as_array().into_iter().flatten().filter_map(|d| d["name"].as_str().map(str::to_owned));
        Ok(names.collect())
    }

    /// The instances of a deployment with all that their agents say.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn instances(&self, deployment: &str) -> Result<Vec<Value>> {
        let path = format!("/deployments/{deployment}/instances?format=full");
        let task = self.submit(Method::Get, &path, "text/plain", "")?;
        let end = self.wait(task, || {})?;
        anyhow::ensure!(end.state == "done", "task {} ended in {}: {}", end.id, end.state, end.message);
        let (_, body) = self.get_text(&format!("/tasks/{task}/output?type=result"))?;
        let lines = body.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).context("read an instance")).collect()
    }

    /// Deploys a manifest; `query` is empty, or with its `?`.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn deploy(&self, manifest: &str, query: &str) -> Result<TaskEnd> {
        self.change(Method::Post, &format!("/deployments{query}"), "text/yaml", manifest)
    }

    /// The manifest of a deployment, as it was deployed last.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn manifest(&self, deployment: &str) -> Result<String> {
        let answer = self.get(&format!("/deployments/{deployment}"))?;
        let text = answer["manifest"].as_str().map(str::to_owned);
        text.with_context(|| format!("deployment {deployment} was never deployed"))
    }

    /// What the health monitor asks where an agent is silent: VMs that do not answer are recreated.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn scan_and_fix(&self, deployment: &str, group: &str, id: &str) -> Result<TaskEnd> {
        let body = serde_json::json!({"jobs": {group: [id]}}).to_string();
        self.change(
            Method::Put,
            &format!("/deployments/{deployment}/scan_and_fix"),
            "application/json",
            &body,
        )
    }

    /// `actions/start`, `actions/stop`, … of one instance; `query` with its `?`.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn action(&self, deployment: &str, group: &str, id: &str, action: &str) -> Result<TaskEnd> {
        let path = format!("/deployments/{deployment}/instance_groups/{group}/{id}/actions/{action}");
        self.change(Method::Post, &path, "application/json", "")
    }

    /// Attaches a disk in the place of the instance's own.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn attach_disk(&self, deployment: &str, group: &str, id: &str, disk: &str) -> Result<TaskEnd> {
        let query = format!("deployment={deployment}&job={group}&instance_id={id}&disk_properties=copy");
        self.change(Method::Put, &format!("/disks/{disk}/attachments?{query}"), "text/plain", "")
    }

    /// Begins an errand and answers with its task.
    ///
    /// # Errors
    /// The Director's own words.
    pub fn run_errand(&self, deployment: &str, errand: &str) -> Result<u64> {
        let path = format!("/deployments/{deployment}/errands/{errand}/runs");
        self.submit(Method::Post, &path, "application/json", "{}")
    }

    /// What the errand's task left.
    ///
    /// # Errors
    /// The Director's own words, or results of another shape.
    pub fn errand_results(&self, task: u64) -> Result<Vec<ErrandResult>> {
        let (_, body) = self.get_text(&format!("/tasks/{task}/output?type=result"))?;
        let lines = body.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).context("read the errand's result")).collect()
    }

    /// Asks for a task's cancellation.
    ///
    /// # Errors
    /// No answer.
    pub fn cancel(&self, task: u64) -> Result<()> {
        let request = self.agent.delete(format!("{}/task/{task}", self.url));
        request.header("Authorization", &self.authorization).call().context("cancel the task").map(drop)
    }

    /// Follows a task to its end, `tick` each time it was looked at.
    ///
    /// # Errors
    /// No answer, or it does not end in time.
    pub fn wait(&self, task: u64, mut tick: impl FnMut()) -> Result<TaskEnd> {
        let deadline = Instant::now() + TASK_LIMIT;
        loop {
            let answer = self.get(&format!("/tasks/{task}"))?;
            let state = answer["state"].as_str().unwrap_or_default().to_owned();
            tick();
            if matches!(state.as_str(), "done" | "error" | "cancelled" | "timeout") {
                let message = self.message(task, &state, &answer);
                return Ok(TaskEnd { id: task, state, message });
            }
            anyhow::ensure!(Instant::now() < deadline, "task {task} is still {state}");
            std::thread::sleep(POLL);
        }
    }

    /// The whole error message is only in the event output; `result` is cut.
    fn message(&self, task: u64, state: &str, answer: &Value) -> String {
        let short = answer["result"].as_str().unwrap_or_default().to_owned();
        if state == "done" {
            return short;
        }
        let events = self.get_text(&format!("/tasks/{task}/output?type=event")).map(|(_, body)| body);
        let found = events.unwrap_or_default().lines().rev().find_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event["error"]["message"].as_str().map(str::to_owned)
        });
        found.unwrap_or(short)
    }

    fn change(&self, method: Method, path: &str, content_type: &str, body: &str) -> Result<TaskEnd> {
        let task = self.submit(method, path, content_type, body)?;
        let end = self.wait(task, || {})?;
        if end.state != "done" {
            bail!("task {} ended in {}: {}", end.id, end.state, end.message);
        }
        Ok(end)
    }

    fn submit(&self, method: Method, path: &str, content_type: &str, body: &str) -> Result<u64> {
        let url = format!("{}{path}", self.url);
        let authorization = &self.authorization;
        let answer = match method {
            Method::Get => self.agent.get(url).header("Authorization", authorization).call(),
            Method::Post => self
                .agent
                .post(url)
                .header("Authorization", authorization)
                .header("Content-Type", content_type)
                .send(body),
            Method::Put => self
                .agent
                .put(url)
                .header("Authorization", authorization)
                .header("Content-Type", content_type)
                .send(body),
        };
        let mut response = answer.with_context(|| format!("ask the Director for {path}"))?;
        let location = response.headers().get("location").and_then(|l| l.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let task = location.and_then(|l| l.rsplit('/').next().and_then(|id| id.parse().ok()));
        task.with_context(|| format!("{path}: the Director answered {} {text}", response.status()))
    }
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
    Put,
}

//! A raw HTTP client: it follows no redirect, retries nothing and checks nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const TASK_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    context: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
    }

    /// The task that the answer points to.
    pub fn task(&self) -> u64 {
        assert_eq!(self.status, 302, "{}", self.body);
        self.header("location").rsplit('/').next().unwrap().parse().unwrap()
    }

    pub fn code(&self) -> i64 {
        self.json()["code"].as_i64().unwrap()
    }
}

impl Client {
    pub fn new(url: &str, ca_pem: &str) -> Self {
        let ca = Certificate::from_pem(ca_pem.as_bytes()).unwrap();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(40)))
            .build();
        Self { agent: config.into(), url: url.into(), authorization: None, context: None }
    }

    pub fn basic(&self, user: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        Self { authorization: Some(format!("Basic {credentials}")), ..self.clone() }
    }

    pub fn bearer(&self, token: &str) -> Self {
        Self { authorization: Some(format!("bearer {token}")), ..self.clone() }
    }

    pub fn with_context(&self, context: &str) -> Self {
        Self { context: Some(context.into()), ..self.clone() }
    }

    /// Any request; an error is a connection that was closed without an answer.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if let Some(context) = &self.context {
            request = request.header("x-bosh-context-id", context);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = self.agent.configure_request(request.body(body.to_owned()).unwrap());
        let response: Response<ureq::Body> =
            self.agent.run(agent.allow_non_standard_methods(true).build())?;
        let (parts, mut body) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.read_to_string()? })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").unwrap()
    }

    pub fn post(&self, path: &str) -> Answer {
        self.send("POST", path, &[], "").unwrap()
    }

    pub fn put(&self, path: &str) -> Answer {
        self.send("PUT", path, &[], "").unwrap()
    }

    pub fn put_yaml(&self, path: &str) -> Answer {
        self.send("PUT", path, &[("content-type", "text/yaml")], "").unwrap()
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").unwrap()
    }

    pub fn output(&self, task: u64, kind: &str) -> String {
        self.get(&format!("/tasks/{task}/output?type={kind}")).body
    }

    pub fn task(&self, task: u64) -> Value {
        self.get(&format!("/tasks/{task}")).json()
    }

    /// Follows a task until `fact` holds of it.
    pub fn wait_for(&self, task: u64, fact: impl Fn(&str) -> bool) -> Value {
        let deadline = Instant::now() + TASK_LIMIT;
        loop {
            let shown = self.task(task);
            if fact(shown["state"].as_str().unwrap()) {
                return shown;
            }
            assert!(Instant::now() < deadline, "task is still {shown}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Follows a task to its end.
    pub fn finish(&self, task: u64) -> Value {
        self.wait_for(task, |state| !matches!(state, "queued" | "processing" | "cancelling"))
    }

    /// A task that must end well; answers its result.
    pub fn done(&self, answer: &Answer) -> String {
        let task = answer.task();
        let shown = self.finish(task);
        assert_eq!(shown["state"], "done", "{}", self.output(task, "event"));
        shown["result"].as_str().unwrap().to_owned()
    }

    /// A task that must fail; answers the code and the whole message from its event output.
    pub fn failed(&self, answer: &Answer) -> (i64, String) {
        let task = answer.task();
        let shown = self.finish(task);
        assert_eq!(shown["state"], "error", "{shown}");
        let events = self.output(task, "event");
        let error =
            events.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).find(|e| !e["error"].is_null());
        let error = error.unwrap()["error"].clone();
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }
}

//! Remount's own client through the fault proxy, with TLS on both sides.

use std::path::Path;
use std::time::{Duration, Instant};

use remount_core::{DeploymentName, InstanceSlug};
use remount_director::{Director, DirectorConfig, Error, RetryingDirector, StopKind, Task, TaskState};
use remount_faultproxy::{Identity, Proxy, ProxyConfig, Script, Upstream, UpstreamTls};
use remount_host::RetryPolicy;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::landscape::Landscape;
use crate::own_client::wait;

/// A Director, a proxy before it, and a client that knows the proxy alone.
struct ProxiedDirector {
    lab: Option<Landscape>,
    proxy: Proxy,
    director: RetryingDirector,
    pg: DeploymentName,
    db: InstanceSlug,
    _files: TempDir,
}

impl ProxiedDirector {
    async fn with(script: Value) -> Self {
        let lab = tokio::task::spawn_blocking(Landscape::deployed).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let (proxy, ca_file) = proxy(&lab, files.path(), script);
        let config: DirectorConfig = serde_json::from_value(json!({
            "url": proxy.url(), "ca_file": ca_file, "username": "admin", "password": "admin-secret"}))
        .unwrap();
        let pg = DeploymentName::new("pg").unwrap();
        let director = config.open(&RetryPolicy::within(Duration::from_secs(5))).unwrap();
        let instances = director.instances(&pg).await.unwrap();
        let db = instances.into_iter().find(|i| i.slug.group.as_str() == "db").unwrap().slug;
        Self { lab: Some(lab), proxy, director, pg, db, _files: files }
    }

    async fn stop(&self) -> remount_director::Result<remount_director::TaskId> {
        self.director.stop(&self.pg, &self.db, StopKind::Soft, "ctx").await
    }

    /// The tasks that were asked for with our context.
    async fn found(&self) -> Vec<Task> {
        let tasks = self.director.tasks(&self.pg, 10).await.unwrap();
        tasks.into_iter().filter(|task| task.context_id.as_deref() == Some("ctx")).collect()
    }

    fn stops(&self) -> usize {
        self.proxy.requests().iter().filter(|served| served.path.ends_with("/actions/stop")).count()
    }

    async fn end(mut self) {
        let lab = self.lab.take();
        tokio::task::spawn_blocking(move || drop(lab)).await.unwrap();
    }
}

fn proxy(lab: &Landscape, files: &Path, script: Value) -> (Proxy, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = |name: &str, content: &str| {
        let path = files.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let upstream_ca = file("director-ca.pem", lab.director.ca_pem());
    let identity = Identity {
        certificate_file: file("proxy.pem", &made.cert.pem()),
        private_key_file: file("proxy.key", &made.signing_key.serialize_pem()),
    };
    let ca_file = identity.certificate_file.clone();
    let upstream = Upstream::new(&lab.director.url(), Some(&UpstreamTls::trusting(&upstream_ca))).unwrap();
    let mut config = ProxyConfig::new(upstream, Script::from_json(script).unwrap());
    config.identity = Some(identity);
    (Proxy::start(config).unwrap(), ca_file)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_whose_answer_is_lost_was_carried_out_once_and_is_found_by_its_context() {
    let proxied =
        ProxiedDirector::with(json!([{"path": "*/actions/stop", "fault": {"kind": "drop_after"}}])).await;
    let error = proxied.stop().await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    assert_eq!(proxied.stops(), 1, "a change is never sent twice");
    let found = proxied.found().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(wait(&proxied.director, found[0].id, soon()).await.unwrap().state, TaskState::Done);
    let instances = proxied.director.instances(&proxied.pg).await.unwrap();
    assert_eq!(instances.iter().find(|i| i.slug == proxied.db).unwrap().desired, "stopped");
    proxied.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_never_arrived_left_no_task() {
    let proxied =
        ProxiedDirector::with(json!([{"path": "*/actions/stop", "fault": {"kind": "drop_before"}}])).await;
    let error = proxied.stop().await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    assert_eq!(proxied.stops(), 1);
    assert!(proxied.found().await.is_empty());
    proxied.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_not_sent_again_when_the_director_says_slow_down() {
    let proxied =
        ProxiedDirector::with(json!([{"path": "*/actions/stop", "fault": {"kind": "throttle"}}])).await;
    let error = proxied.stop().await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    assert_eq!(proxied.stops(), 1);
    proxied.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_come_through_losses_cuts_and_throttles() {
    let read = |kind: Value| json!({"method": "GET", "path": "/tasks*", "fault": kind});
    let proxied = ProxiedDirector::with(json!([
        read(json!({"kind": "drop_after"})),
        read(json!({"kind": "cut", "bytes": 3})),
        read(json!({"kind": "throttle", "status": 429})),
        read(json!({"kind": "duplicate"})),
        read(json!({"kind": "delay", "milliseconds": 50})),
    ]))
    .await;
    let task = proxied.stop().await.unwrap();
    assert_eq!(wait(&proxied.director, task, soon()).await.unwrap().state, TaskState::Done);
    let faults: Vec<_> = proxied.proxy.requests().iter().filter_map(|served| served.fault).collect();
    assert!(faults.starts_with(&["drop_after", "cut", "throttle", "duplicate"]), "{faults:?}");
    assert_eq!(proxied.stops(), 1);
    proxied.end().await;
}

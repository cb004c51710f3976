//! A Director with a small release and the deployment `pg`: two databases with a disk each.

use std::sync::Arc;
use std::time::Duration;

use remount_lab::director::{Account, DirectorHandle, DirectorServer, LabDirectorConfig, Secret};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::memory_iaas::MemoryIaas;

const RENDERER: &str = r#"
require 'json'
asked = JSON.parse($stdin.read)
jobs = asked['jobs'].map do |job|
  abort "job #{job['name']}: told to fail" if job['properties']['explode']
  seen = job.slice('properties', 'consumes').merge('spec' => asked['spec'])
  { 'name' => job['name'], 'files' => { 'config.json' => { 'content' => JSON.generate(seen) },
    'bin/pre-start' => { 'content' => '#!/bin/sh', 'executable' => true }, 'monit' => { 'content' => '' } } }
end
puts JSON.generate('jobs' => jobs)
"#;

const JOBS: [(&str, &str); 3] = [
    (
        "postgres",
        "name: postgres\ntemplates: {config.erb: config.json}\n\
         properties: {port: {default: 5432}, password: {}, tls: {}, store: {}, explode: {}}\n\
         provides: [{name: db, type: database, properties: [port]}]\n\
         consumes: [{name: db, type: database}]\n",
    ),
    ("check", "name: check\ntemplates: {run.erb: bin/run}\n"),
    (
        "smoke",
        "name: smoke\ntemplates: {run.erb: bin/run}\nconsumes: [{name: target, type: database, optional: true}]\n",
    ),
];

pub const MANIFEST: &str = "
name: pg
update: {canaries: 1, max_in_flight: 1, canary_watch_time: 5, update_watch_time: 5}
variables:
- {name: superuser, type: password}
- {name: /ca, type: certificate, options: {is_ca: true, common_name: ca}}
- {name: tls, type: certificate, options: {ca: /ca, common_name: pg, extended_key_usage: [server_auth]}}
instance_groups:
- name: db
  instances: 2
  azs: [z1, z2]
  persistent_disk: 1024
  networks: [{name: default}]
  jobs:
  - name: postgres
    properties: {password: ((superuser)), tls: ((tls)), store: ((store))}
  - name: check
- name: tests
  instances: 1
  lifecycle: errand
  jobs: [{name: smoke}]
";

/// A running landscape. Dropping it ends the Director.
#[derive(Debug)]
pub struct Landscape {
    pub iaas: Arc<MemoryIaas>,
    pub director: DirectorHandle,
    /// `admin`, by basic auth.
    pub client: Client,
    _release: TempDir,
}

impl Landscape {
    /// A Director without deployments.
    pub fn empty() -> Self {
        Self::with(|_| ())
    }

    /// A Director with the deployment `pg`.
    pub fn deployed() -> Self {
        Self::deployed_with(|_| ())
    }

    pub fn deployed_with(change: impl FnOnce(&mut LabDirectorConfig)) -> Self {
        let landscape = Self::with(change);
        let answer = landscape.deploy(MANIFEST);
        assert_eq!(landscape.client.done(&answer), "/deployments/pg");
        landscape.iaas.take_journal();
        landscape
    }

    pub fn with(change: impl FnOnce(&mut LabDirectorConfig)) -> Self {
        let release = tempfile::tempdir().unwrap();
        for (job, spec) in JOBS {
            let dir = release.path().join("jobs").join(job);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("spec"), spec).unwrap();
        }
        std::fs::write(release.path().join("render.rb"), RENDERER).unwrap();
        let iaas = Arc::new(MemoryIaas::default());
        let mut config = LabDirectorConfig::new(iaas.clone(), release.path().to_owned());
        let script = release.path().join("render.rb").to_string_lossy().into_owned();
        config.render.arguments = vec!["--disable-gems".into(), script];
        config.users = vec![account("admin", "admin-secret", &["bosh.admin"])];
        config.lock_wait = Duration::from_millis(300);
        config.variables.0.insert("store".into(), serde_json::json!({"type": "fs", "root": "/store"}));
        change(&mut config);
        let director = DirectorServer::start(config).unwrap();
        let client = Client::new(&director.url(), director.ca_pem()).basic("admin", "admin-secret");
        Self { iaas, director, client, _release: release }
    }

    pub fn deploy(&self, manifest: &str) -> Answer {
        self.client.send("POST", "/deployments", &[("content-type", "text/yaml")], manifest).unwrap()
    }

    /// `db/index`, from the full report.
    pub fn db(&self, index: usize) -> Value {
        let task = self.client.get("/deployments/pg/instances?format=full").task();
        assert_eq!(self.client.finish(task)["state"], "done");
        let lines = self.client.output(task, "result");
        let mut all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.find(|i| i["job_name"] == "db" && i["index"] == index).unwrap()
    }

    pub fn id(&self, index: usize) -> String {
        self.short(index)["id"].as_str().unwrap().to_owned()
    }

    /// `db/index`, without asking an agent.
    pub fn short(&self, index: usize) -> Value {
        self.client.get(&format!("/deployments/pg/jobs/db/{index}")).json()
    }

    /// The VM of `db/index`, without asking an agent.
    pub fn short_vm(&self, index: usize) -> String {
        let listed = self.client.get("/deployments/pg/instances").json();
        let found = listed.as_array().unwrap().iter().find(|i| i["job"] == "db" && i["index"] == index);
        found.unwrap()["cid"].as_str().unwrap().to_owned()
    }

    pub fn disk(&self, index: usize) -> String {
        self.short(index)["disks"][0].as_str().unwrap().to_owned()
    }

    pub fn action(&self, index: usize, action: &str) -> Answer {
        self.client.post(&format!("/deployments/pg/instance_groups/db/{}/actions/{action}", self.id(index)))
    }

    /// Attaches, with `disk_properties=copy` or without.
    pub fn attach(&self, index: usize, disk: &str, properties: &str) -> Answer {
        let id = self.id(index);
        let path = format!("/disks/{disk}/attachments?deployment=pg&job=db&instance_id={id}{properties}");
        self.client.put(&path)
    }

    /// The file a job of `db/index` was rendered to.
    pub fn rendered(&self, index: usize, job: &str) -> Value {
        let vm = self.db(index)["vm_cid"].as_str().unwrap().to_owned();
        let state = self.iaas.state();
        let vm = state.vms.iter().find(|(cid, _)| cid.as_str() == vm).unwrap().1;
        let job = vm.jobs.iter().find(|j| j.name == job).unwrap();
        serde_json::from_str(&job.files["config.json"].content).unwrap()
    }
}

pub fn account(name: &str, secret: &str, scopes: &[&str]) -> Account {
    Account {
        name: name.into(),
        secret: Secret::new(secret),
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
    }
}

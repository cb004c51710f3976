//! The configuration of command line and errands: `remount.json`, as the jobs render it
//! (`src/ARCHITECTURE.md`). All problems are told at once: a deploy per mistake is a bad night.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use remount_core::documents::OnFailure;
use remount_core::{DeploymentName, GroupName, RestoreTarget};
use remount_director::DirectorConfig;
use remount_flow::Keeping;
use remount_store::StoreConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::failure::Failure;
use remount_cloud::CloudConfig;
use remount_postgres::AgentsConfig;

/// `remount.json`.
#[derive(Debug)]
pub struct Config {
    /// The Director.
    pub director: DirectorConfig,
    /// The cloud.
    pub cloud: CloudConfig,
    /// The object store.
    pub store: StoreConfig,
    /// The way to the agents.
    pub agents: AgentsConfig,
    /// The errand's own deployment.
    pub deployment: Option<DeploymentName>,
    /// What the errand `backup` backs up.
    pub backup: BackupConfig,
    /// What the errand `restore` restores beyond the requests.
    pub restore: RestoreConfig,
}

/// The block `backup`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// The deployments.
    #[serde(default)]
    pub deployments: Vec<DeploymentName>,
    /// A lease ends by itself when its owner has given no sign of life for so long.
    pub lease_seconds: Option<u64>,
}

/// The block `restore`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreConfig {
    /// The deployment; empty: only requests are carried out.
    #[serde(default)]
    pub deployment: String,
    /// Its PostgreSQL group, where it has more than one.
    pub group: Option<GroupName>,
    /// The target.
    pub target: Option<RestoreTarget>,
    /// What to do when a step fails for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long old disks are kept after a restore that ended well.
    keep_old_disks_hours: Option<u64>,
    /// After how many days the Director deletes orphaned disks.
    director_orphan_days: Option<u64>,
}

impl RestoreConfig {
    /// How long old disks are kept.
    pub fn keeping(&self) -> Keeping {
        let default = Keeping::default();
        Keeping {
            keep_hours: self.keep_old_disks_hours.unwrap_or(default.keep_hours),
            director_days: self.director_orphan_days.unwrap_or(default.director_days),
        }
    }
}

/// What a lease needs to survive a slow store.
const SHORTEST_LEASE_SECONDS: u64 = 10;

const BLOCKS: [&str; 7] = ["director", "cloud", "store", "agents", "deployment", "backup", "restore"];

/// Reads blocks and gathers what is wrong with them.
struct Blocks {
    given: Map<String, Value>,
    problems: Vec<String>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// Every problem of every block.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: std::io::Error| {
            let next = "name the configuration with --config; the job `restore` renders one";
            Failure::usage(format!("{} cannot be read: {error}", path.display()), next)
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let open = remount_core::open_to_others(fs::metadata(path).map_err(unreadable)?.permissions().mode());
        let parsed = match (Self::parse(&text), open) {
            (Ok(config), None) => Ok(config),
            (parsed, open) => {
                Err(open.into_iter().chain(parsed.err().into_iter().flatten()).collect::<Vec<_>>())
            }
        };
        parsed.map_err(|problems| {
            let lines: String = problems.iter().map(|problem| format!("\n  - {problem}")).collect();
            let next = "mend the properties of the job and deploy again, or name another file with --config";
            Failure::usage(format!("{} cannot be used:{lines}", path.display()), next)
        })
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let given = match serde_json::from_str(text) {
            Ok(Value::Object(given)) => given,
            Ok(_) => return Err(vec!["it is not a JSON object".into()]),
            Err(error) => return Err(vec![format!("it is not JSON: {error}")]),
        };
        let mut blocks = Blocks { given, problems: Vec::new() };
        let director: Option<DirectorConfig> = blocks.needed("director");
        blocks.problems.extend(director.iter().flat_map(DirectorConfig::problems));
        let cloud: Option<CloudConfig> = blocks.needed("cloud");
        blocks.problems.extend(cloud.iter().flat_map(CloudConfig::problems));
        let (store, agents) = (blocks.needed("store"), blocks.needed("agents"));
        let deployment = blocks.optional("deployment");
        let backup: BackupConfig = blocks.optional("backup").unwrap_or_default();
        let restore: RestoreConfig = blocks.optional("restore").unwrap_or_default();
        blocks.problems.extend(problems_of(&backup, &restore));
        blocks.finish();
        match (director, cloud, store, agents) {
            (Some(director), Some(cloud), Some(store), Some(agents)) if blocks.problems.is_empty() => {
                Ok(Self { director, cloud, store, agents, deployment, backup, restore })
            }
            _ => Err(blocks.problems),
        }
    }
}

fn problems_of(backup: &BackupConfig, restore: &RestoreConfig) -> Vec<String> {
    let mut problems = Vec::new();
    if backup.lease_seconds.is_some_and(|seconds| seconds < SHORTEST_LEASE_SECONDS) {
        problems.push(format!("`backup.lease_seconds` has to be at least {SHORTEST_LEASE_SECONDS}"));
    }
    match (restore.deployment.is_empty(), &restore.target) {
        (false, None) => problems.push("`restore.deployment` is set, but none of `restore.target.*`".into()),
        (true, Some(_)) => problems.push("`restore.target.*` is set, but not `restore.deployment`".into()),
        _ => {}
    }
    if let (false, Err(error)) = (restore.deployment.is_empty(), DeploymentName::new(&restore.deployment)) {
        problems.push(format!("`restore.deployment`: {error}"));
    }
    if let Some(problem) = restore.keeping().problem() {
        let next = problem.next.map(|next| format!("; {next}")).unwrap_or_default();
        problems.push(format!("{}{next}", problem.what));
    }
    problems
}

impl Blocks {
    fn needed<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if self.given.get(name).is_none_or(Value::is_null) {
            self.problems.push(format!("`{name}` is missing"));
            return None;
        }
        self.optional(name)
    }

    /// A block that is null counts as absent: templates write what is not set so.
    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.given.get(name).filter(|value| !value.is_null())?;
        match serde_json::from_value(value.clone()) {
            Ok(block) => Some(block),
            Err(error) => {
                self.problems.push(format!("`{name}`: {error}"));
                None
            }
        }
    }

    fn finish(&mut self) {
        let unknown = self.given.keys().filter(|name| !BLOCKS.contains(&name.as_str()));
        self.problems.extend(unknown.map(|name| format!("`{name}` is unknown")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let text = r#"{
            "director": {"url": "http://10.0.0.6", "client_id": "a"},
            "cloud": {"type": "moon"},
            "store": {"type": "fs"},
            "deployment": "a/b",
            "backup": {"lease_seconds": 1},
            "restore": {"deployment": "pg", "keep_old_disks_hours": 120},
            "colour": "red"
        }"#;
        let problems = Config::parse(text).unwrap_err();
        let told = problems.join("\n");
        for word in [
            "url",
            "client_secret",
            "moon",
            "signing_key",
            "agents",
            "a/b",
            "lease",
            "target",
            "max_orphaned_age",
            "colour",
        ] {
            assert!(told.contains(word), "{word} is not among\n{told}");
        }
    }

    #[test]
    fn what_a_template_renders_is_read() {
        let text = format!(
            r#"{{
            "director": {{"url": "https://10.0.0.6:25555", "ca_file": "/ca.pem", "client_id": "a", "client_secret": "b",
                         "request_timeout_seconds": 30, "task_deadline_seconds": 3600}},
            "cloud": {{"type": "local", "root": "/cloud"}},
            "store": {{"type": "fs", "root": "/store", "signing_key": "{}"}},
            "agents": {{"port": 7443, "certificate_file": "/c", "private_key_file": "/k", "ca_file": "/a"}},
            "deployment": "remount",
            "backup": {{"deployments": ["pg-0001"], "lease_seconds": 60}},
            "restore": {{"deployment": "pg-0001", "group": null, "on_failure": "hold", "keep_old_disks_hours": 120, "director_orphan_days": 6,
                        "target": {{"target": {{"time": "2026-11-23T10:15:00Z"}}, "exclusive": true}}}}
        }}"#,
            "11".repeat(32)
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.restore.on_failure, OnFailure::Hold);
        assert_eq!(config.restore.keeping(), Keeping { keep_hours: 120, director_days: 6 });
        assert_eq!(config.restore.target.unwrap().to_string(), "just before time 2026-11-23T10:15:00Z");
    }
}

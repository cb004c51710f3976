//! The configuration of command line and errands: `remount.json`, as the jobs render it
//! (`src/ARCHITECTURE.md`). All problems are told at once: a deploy per mistake is a bad night.

use std::path::Path;

use remount_core::documents::OnFailure;
use remount_core::{DeploymentName, GroupName, RestoreTarget};
use remount_director::DirectorConfig;
use remount_flow::OldDiskRetention;
use remount_host::ConfigError;
use remount_host::config_file::Blocks;
use remount_store::StoreConfig;
use serde::Deserialize;

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
    pub fn old_disks(&self) -> OldDiskRetention {
        let default = OldDiskRetention::default();
        OldDiskRetention {
            keep_hours: self.keep_old_disks_hours.unwrap_or(default.keep_hours),
            director_days: self.director_orphan_days.unwrap_or(default.director_days),
        }
    }
}

/// What a lease needs to survive a slow store.
const SHORTEST_LEASE_SECONDS: u64 = 10;

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// Every problem of every block.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Blocks::read(path).and_then(|blocks| Self::of(blocks, path)).map_err(|error| {
            let next = "name the configuration with --config (the job `restore` renders one), or fix the job's properties and redeploy";
            Failure::usage(error.to_string(), next)
        })
    }

    fn of(mut blocks: Blocks, path: &Path) -> Result<Self, ConfigError> {
        let director: Option<DirectorConfig> = blocks.needed("director");
        blocks.note(director.iter().flat_map(DirectorConfig::problems));
        let cloud: Option<CloudConfig> = blocks.needed("cloud");
        blocks.note(cloud.iter().flat_map(CloudConfig::problems));
        let (store, agents) = (blocks.needed("store"), blocks.needed("agents"));
        let deployment = blocks.optional("deployment");
        let backup: BackupConfig = blocks.optional("backup").unwrap_or_default();
        let restore: RestoreConfig = blocks.optional("restore").unwrap_or_default();
        blocks.note(problems_of(&backup, &restore));
        blocks.finish()?;
        match (director, cloud, store, agents) {
            (Some(director), Some(cloud), Some(store), Some(agents)) => {
                Ok(Self { director, cloud, store, agents, deployment, backup, restore })
            }
            // Each missing block is a problem, so that `finish` has refused it.
            _ => Err(ConfigError { path: path.to_owned(), problems: vec!["it is incomplete".into()] }),
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
    if let Some(problem) = restore.old_disks().problem() {
        let next = problem.next.map(|next| format!("; {next}")).unwrap_or_default();
        problems.push(format!("{}{next}", problem.what));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let path = Path::new("remount.json");
        Config::of(Blocks::parse(path, text.as_bytes())?, path)
    }

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
        let told = parse(text).unwrap_err().to_string();
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
        let config = parse(&text).unwrap();
        assert_eq!(config.restore.on_failure, OnFailure::Hold);
        assert_eq!(config.restore.old_disks(), OldDiskRetention { keep_hours: 120, director_days: 6 });
        assert_eq!(config.restore.target.unwrap().to_string(), "just before time 2026-11-23T10:15:00Z");
    }
}

//! The configuration of command line and errands (`src/ARCHITECTURE.md`): `remount.json`, which the job `remount` renders
//! once for its VM, or the `errand.json` of an errand beside it, which names that file and adds the errand's own keys.
//! All problems are told at once: each deploy that finds one more takes minutes.

use std::path::Path;

use remount_cloud::CloudConfig;
use remount_core::documents::OnFailure;
use remount_core::{DeploymentName, GroupName, RestoreTarget};
use remount_director::DirectorConfig;
use remount_flow::OldDiskRetention;
use remount_host::ConfigError;
use remount_host::config_file::{Blocks, of_remount_job};
use remount_postgres::AgentsConfig;
use remount_store::StoreConfig;
use serde::Deserialize;

use crate::failure::Failure;

/// What the job `remount` renders, and what the errand adds.
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
    /// The deployment of this VM.
    pub deployment: Option<DeploymentName>,
    /// A lease ends by itself when its owner has given no sign of life for so long.
    pub lease_seconds: Option<u64>,
    /// How long old disks are kept.
    pub old_disks: OldDiskRetention,
    /// What the errand adds.
    pub errand: ErrandConfig,
}

/// The keys of `errand.json`.
#[derive(Debug, Default)]
pub struct ErrandConfig {
    /// What the errand `backup` backs up.
    pub backup: BackupErrand,
    /// What the errand `restore` restores beyond the requests.
    pub restore: RestoreErrand,
}

/// The errand `backup`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupErrand {
    /// The deployments.
    #[serde(default)]
    pub deployments: Vec<DeploymentName>,
}

/// The errand `restore`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreErrand {
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
    /// Whether it stops at its target for a person to look.
    #[serde(default)]
    pub pause: bool,
}

/// The block `backup` of `remount.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backups {
    lease_seconds: Option<u64>,
}

/// The block `restore` of `remount.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restores {
    /// How long old disks are kept after a restore that ended well.
    keep_old_disks_hours: Option<u64>,
    /// After how many days the Director deletes orphaned disks.
    director_orphan_days: Option<u64>,
}

impl Restores {
    fn old_disks(&self) -> OldDiskRetention {
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
    /// Reads the file of the job `remount`, or of an errand.
    ///
    /// # Errors
    /// Every problem of every block, of both files; the job `remount` is not on this VM.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut blocks = Blocks::read(path).map_err(|error| refusal(&[error]))?;
        let Some(shared) = blocks.file("remount") else {
            return Self::of(blocks, path).map_err(|error| refusal(&[error]));
        };
        let errand = ErrandConfig::of(blocks);
        let path = of_remount_job(&shared)?;
        match (Blocks::read(path).and_then(|blocks| Self::of(blocks, path)), errand) {
            (Ok(config), Ok(errand)) => Ok(Self { errand, ..config }),
            (shared, errand) => Err(refusal(&Vec::from_iter(errand.err().into_iter().chain(shared.err())))),
        }
    }

    /// The file of the job `remount` where a VM has it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of_this_vm() -> Result<Self, Failure> {
        Self::load(of_remount_job(Path::new(REMOUNT_CONFIG))?)
    }

    fn of(mut blocks: Blocks, path: &Path) -> Result<Self, ConfigError> {
        let director: Option<DirectorConfig> = blocks.needed("director");
        blocks.note(director.iter().flat_map(DirectorConfig::problems));
        let cloud = blocks.needed("cloud");
        let (store, agents) = (blocks.needed("store"), blocks.needed("agents"));
        let deployment = blocks.optional("deployment");
        let Backups { lease_seconds } = blocks.optional("backup").unwrap_or_default();
        if lease_seconds.is_some_and(|seconds| seconds < SHORTEST_LEASE_SECONDS) {
            blocks.note([format!("`backup.lease_seconds` has to be at least {SHORTEST_LEASE_SECONDS}")]);
        }
        let old_disks = blocks.optional::<Restores>("restore").unwrap_or_default().old_disks();
        blocks.note(old_disks.problem().map(|problem| {
            let next = problem.next.map(|next| format!("; {next}")).unwrap_or_default();
            format!("{}{next}", problem.what)
        }));
        blocks.finish()?;
        match (director, cloud, store, agents) {
            (Some(director), Some(cloud), Some(store), Some(agents)) => {
                let errand = ErrandConfig::default();
                Ok(Self { director, cloud, store, agents, deployment, lease_seconds, old_disks, errand })
            }
            // Each missing block is a problem, so that `finish` has refused it.
            _ => Err(ConfigError { path: path.to_owned(), problems: vec!["it is incomplete".into()] }),
        }
    }
}

/// Where the job `remount` renders its file.
pub const REMOUNT_CONFIG: &str = "/var/vcap/jobs/remount/config/remount.json";

fn refusal(errors: &[ConfigError]) -> Failure {
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::usage(
        told.join("\n"),
        "fix the job's properties and redeploy, or name another file with --config",
    )
}

impl ErrandConfig {
    fn of(mut blocks: Blocks) -> Result<Self, ConfigError> {
        let backup = blocks.optional("backup").unwrap_or_default();
        let restore: RestoreErrand = blocks.optional("restore").unwrap_or_default();
        blocks.note(restore.problems());
        blocks.finish()?;
        Ok(Self { backup, restore })
    }
}

impl RestoreErrand {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (self.deployment.is_empty(), &self.target) {
            (false, None) => {
                problems.push("`restore.deployment` is set, but none of `restore.target.*`".into())
            }
            (true, Some(_)) => {
                problems.push("`restore.target.*` is set, but not `restore.deployment`".into())
            }
            _ => {}
        }
        if let (false, Err(error)) = (self.deployment.is_empty(), DeploymentName::new(&self.deployment)) {
            problems.push(format!("`restore.deployment`: {error}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Blocks {
        Blocks::parse(Path::new("remount.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = r#"{
            "director": {"url": "http://10.0.0.6", "client_id": "a"},
            "cloud": {"type": "moon"},
            "store": {"type": "fs"},
            "deployment": "a/b",
            "backup": {"lease_seconds": 1},
            "restore": {"keep_old_disks_hours": 120},
            "colour": "red"
        }"#;
        let told = Config::of(blocks(text), Path::new("remount.json")).unwrap_err().to_string();
        for word in [
            "url",
            "client_secret",
            "moon",
            "signing_key",
            "agents",
            "a/b",
            "lease",
            "max_orphaned_age",
            "colour",
        ] {
            assert!(told.contains(word), "{word} is not among\n{told}");
        }
    }

    #[test]
    fn what_an_errand_adds_is_checked_too() {
        let told = ErrandConfig::of(blocks(r#"{"restore": {"deployment": "a/b"}, "colour": "red"}"#));
        let told = told.unwrap_err().to_string();
        for word in ["target", "a/b", "colour"] {
            assert!(told.contains(word), "{word} is not among\n{told}");
        }
    }

    #[test]
    fn what_the_jobs_render_is_read() {
        let errand = ErrandConfig::of(blocks(
            r#"{"backup": {"deployments": ["pg-0001"]}, "restore": {"deployment": "pg-0001", "group": null,
                "on_failure": "hold", "target": {"target": {"time": "2026-11-23T10:15:00Z"}, "exclusive": true}}}"#,
        ));
        let errand = errand.unwrap();
        assert_eq!(errand.backup.deployments.len(), 1);
        assert_eq!(errand.restore.on_failure, OnFailure::Hold);
        assert_eq!(errand.restore.target.unwrap().to_string(), "just before time 2026-11-23T10:15:00Z");
        let golden = |file: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/golden/remount/config");
            std::fs::read_to_string(folder.join(file)).unwrap()
        };
        let mut remount: serde_json::Value = serde_json::from_str(&golden("remount.json")).unwrap();
        for block in ["cloud", "store"] {
            remount[block] = serde_json::from_str(&golden(&format!("{block}.json"))).unwrap();
            remount.as_object_mut().unwrap().remove(&format!("{block}_file")).unwrap();
        }
        let config = Config::of(blocks(&remount.to_string()), Path::new("remount.json")).unwrap();
        assert_eq!(config.lease_seconds, Some(60));
        assert_eq!(config.old_disks, OldDiskRetention { keep_hours: 24, director_days: 5 });
    }
}

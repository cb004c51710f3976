//! The configuration of command line and errands: `remount.json`, as the jobs render it.

use std::fs;
use std::path::Path;

use remount_cloud::CloudConfig;
use remount_core::{DeploymentName, GroupName, RestoreTarget};
use remount_director::DirectorConfig;
use remount_postgres::AgentsConfig;
use remount_store::{OnFailure, StoreConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// `remount.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Director.
    pub director: DirectorConfig,
    /// The cloud.
    pub cloud: CloudConfig,
    /// The object store.
    pub store: StoreConfig,
    /// The way to the agents.
    pub agents: AgentsConfig,
    /// The deployment of the errands themselves.
    #[serde(default)]
    pub deployment: Option<DeploymentName>,
    /// What the errand `backup` backs up.
    #[serde(default)]
    pub backup: BackupConfig,
    /// What the errand `restore` restores beyond the requests.
    #[serde(default)]
    pub restore: RestoreConfig,
}

/// The block `backup`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// The deployments; empty: every cluster of which the store holds anything.
    #[serde(default)]
    pub deployments: Vec<DeploymentName>,
    /// Backup mode ends by itself when the driver has given no sign of life for this long.
    #[serde(default)]
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
    #[serde(default)]
    pub group: Option<GroupName>,
    /// The target.
    #[serde(default)]
    pub target: Option<RestoreTarget>,
    /// What to do when a step fails for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long old disks are kept.
    #[serde(default)]
    pub keep_old_disks_hours: Option<u64>,
}

/// The blocks, for a report on all of them at once.
const BLOCKS: [&str; 7] = ["director", "cloud", "store", "agents", "deployment", "backup", "restore"];

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// Every problem of every block.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let next = "look at the properties of the errand's job and deploy again, or give another --config";
        let shown = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| Failure::usage(format!("{shown}: {error}"), next))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{shown}: {error}"), next))?;
        serde_json::from_value(value.clone()).map_err(|error| {
            let problems = problems(&value);
            let all = if problems.is_empty() { error.to_string() } else { problems.join("; ") };
            Failure::usage(format!("{shown}: {all}"), next)
        })
    }
}

/// What is wrong with each block: serde stops at the first.
fn problems(value: &Value) -> Vec<String> {
    fn check<T: serde::de::DeserializeOwned>(value: &Value, name: &str) -> Option<String> {
        let block = value.get(name).cloned().unwrap_or(Value::Null);
        serde_json::from_value::<T>(block).err().map(|error| format!("`{name}`: {error}"))
    }
    let mut found: Vec<String> = [
        check::<DirectorConfig>(value, "director"),
        check::<CloudConfig>(value, "cloud"),
        check::<StoreConfig>(value, "store"),
        check::<AgentsConfig>(value, "agents"),
        check::<Option<DeploymentName>>(value, "deployment"),
        check::<Option<BackupConfig>>(value, "backup"),
        check::<Option<RestoreConfig>>(value, "restore"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let names = value.as_object().into_iter().flat_map(|blocks| blocks.keys());
    found.extend(
        names.filter(|name| !BLOCKS.contains(&name.as_str())).map(|name| format!("`{name}` is unknown")),
    );
    found
}

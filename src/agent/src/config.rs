//! `agent.json` (`src/ARCHITECTURE.md`).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remount_core::{ClusterName, DeploymentName, InstanceSlug};
use remount_postgres::{Identity, LocalConfig};
use remount_store::StoreConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The configuration of this program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The cluster this server belongs to.
    pub cluster: ClusterName,
    /// Its deployment.
    pub deployment: DeploymentName,
    /// This instance.
    pub instance: InstanceSlug,
    /// Where the API is served.
    pub listen: SocketAddr,
    /// The API's certificates.
    pub tls: TlsFiles,
    /// The server.
    pub postgres: LocalConfig,
    /// The object store.
    pub store: StoreConfig,
    /// Of `remount-wal` alone; here so that the file is one.
    #[serde(rename = "wal")]
    _wal: serde::de::IgnoredAny,
    /// Limits of pre-start.
    pub pre_start: Limit,
    /// Limits of post-start.
    pub post_start: Limit,
    /// Limits of post-deploy.
    pub post_deploy: Limit,
    /// Limits of drain.
    pub drain: Limit,
    /// Where things lie.
    pub directories: Directories,
    /// Who runs PostgreSQL and this daemon.
    #[serde(default = "default_user")]
    pub user: String,
    /// Where this configuration was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// Certificate, key and CA of the API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The agents' certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub private_key_file: PathBuf,
    /// The CA that signs the drivers' certificates, PEM.
    pub ca_file: PathBuf,
}

/// How long a hook may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// In seconds.
    pub deadline_seconds: u64,
}

/// Where things lie on the VM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directories {
    /// The persistent disk's mount point.
    pub store: PathBuf,
    /// On the VM's own disk: lost with the VM.
    pub data: PathBuf,
    /// Locks: lost with a reboot.
    pub run: PathBuf,
}

fn default_user() -> String {
    "vcap".into()
}

impl AgentConfig {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self> {
        let mut config: Self = load(path)?;
        config.path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Error::Config { path: path.display().to_string(), problems })
        }
    }

    /// Who this server is.
    pub fn identity(&self) -> Identity {
        Identity { instance: self.instance.clone(), cluster: self.cluster.clone() }
    }

    fn problems(&self) -> Vec<String> {
        let folders = [
            ("directories.store", &self.directories.store),
            ("directories.data", &self.directories.data),
            ("directories.run", &self.directories.run),
            ("postgres.data_directory", &self.postgres.data_directory),
            ("postgres.socket_directory", &self.postgres.socket_directory),
        ];
        let relative = folders.into_iter().filter(|(_, path)| !path.is_absolute());
        let mut problems: Vec<_> =
            relative.map(|(name, _)| format!("`{name}` has to be an absolute path")).collect();
        if !self.postgres.data_directory.starts_with(&self.directories.store) {
            problems.push("`postgres.data_directory` has to lie below `directories.store`".into());
        }
        let limits = [
            ("pre_start", self.pre_start),
            ("post_start", self.post_start),
            ("post_deploy", self.post_deploy),
            ("drain", self.drain),
        ];
        for (name, _) in limits.into_iter().filter(|(_, limit)| limit.deadline_seconds == 0) {
            problems.push(format!("`{name}.deadline_seconds` has to be at least 1"));
        }
        problems
    }
}

/// Reads a JSON file that nobody else can read. Its content is never repeated in an error: it may hold secrets.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let wrong = |problem: String| Error::Config { path: path.display().to_string(), problems: vec![problem] };
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mode = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.permissions().mode();
    if let Some(problem) = remount_core::open_to_others(mode) {
        return Err(wrong(problem));
    }
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}

//! What `remount-wal` needs of the agent's configuration (`src/ARCHITECTURE.md`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use remount_core::ClusterName;
use remount_store::{Codec, StoreConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};

/// `agent.json`. Blocks that only the agent reads are passed over; ours are read strictly.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// The cluster whose archive it is.
    pub cluster: ClusterName,
    /// The server.
    pub postgres: Postgres,
    /// The object store.
    pub store: StoreConfig,
    /// How WAL is pushed and fetched.
    pub wal: Wal,
    /// Where things are on this VM.
    pub directories: Directories,
}

/// The `postgres` block.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// The data directory: its control file knows the system identifier.
    pub data_directory: PathBuf,
    #[serde(rename = "socket_directory")]
    _socket_directory: Option<IgnoredAny>,
    #[serde(rename = "port")]
    _port: Option<IgnoredAny>,
    #[serde(rename = "superuser")]
    _superuser: Option<IgnoredAny>,
    #[serde(rename = "database")]
    _database: Option<IgnoredAny>,
    #[serde(rename = "bin_directory")]
    _bin_directory: Option<IgnoredAny>,
    #[serde(rename = "log_directory")]
    _log_directory: Option<IgnoredAny>,
}

/// The `wal` block.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wal {
    /// How segments are compressed.
    pub codec: Codec,
    fetch_deadline_seconds: u64,
    push_deadline_seconds: u64,
}

/// The `directories` block, of which only the persistent disk matters here.
#[derive(Debug, Deserialize)]
pub struct Directories {
    store: PathBuf,
}

impl Config {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |detail: String| Error::Config { path: path.to_owned(), detail };
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        // serde_json's text names fields, lines and columns, and none of our types shows a value.
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Where the plans lie that this disk has applied.
    pub fn applied_folder(&self) -> PathBuf {
        self.directories.store.join("remount/applied")
    }
}

impl Wal {
    /// How long a fetch may try.
    pub fn fetch_deadline(&self) -> Duration {
        Duration::from_secs(self.fetch_deadline_seconds)
    }

    /// How long a push may try.
    pub fn push_deadline(&self) -> Duration {
        Duration::from_secs(self.push_deadline_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_job_renders_for_the_agent_is_read_here_too() {
        let rendered = include_str!("../../../spec/golden/remount-agent/config/agent.json");
        let config: Config = serde_json::from_str(rendered).unwrap();
        assert_eq!(config.postgres.data_directory, Path::new("/var/vcap/store/postgres/data"));
    }
}

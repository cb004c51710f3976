//! What `remount-wal` needs of the agent's configuration (`docs/formats.md` section 4.2).

use std::path::Path;

use remount_core::ClusterName;
use remount_host::config_file::Blocks;
use remount_host::{ConfigError, Directories};
use remount_postgres::{Identity, LocalConfig};
use remount_store::{StoreConfig, WalConfig};

use crate::error::Result;

/// `agent.json`: the blocks that matter here. The agent refuses what is unknown in it.
#[derive(Debug)]
pub struct Config {
    /// The cluster whose archive it is.
    pub cluster: ClusterName,
    /// The server.
    pub postgres: LocalConfig,
    /// The object store.
    pub store: StoreConfig,
    /// How WAL is pushed and fetched.
    pub wal: WalConfig,
    /// Where things are on this VM.
    pub directories: Directories,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with what is needed here.
    pub fn load(path: &Path) -> Result<Self> {
        let mut blocks = Blocks::read(path)?;
        let config = Self::of(&mut blocks);
        blocks.leave_rest();
        blocks.finish()?;
        let incomplete = || ConfigError { path: path.to_owned(), problems: vec!["it is incomplete".into()] };
        Ok(config.ok_or_else(incomplete)?)
    }

    fn of(blocks: &mut Blocks) -> Option<Self> {
        let identity = Identity::of_config(blocks);
        let (postgres, store) = (blocks.needed("postgres"), blocks.needed("store"));
        let (wal, directories) = (blocks.needed("wal"), blocks.needed("directories"));
        Some(Self {
            cluster: identity?.cluster,
            postgres: postgres?,
            store: store?,
            wal: wal?,
            directories: directories?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_job_renders_for_the_agent_is_read_here_too() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/golden/remount-agent/config/");
        let rendered = std::fs::read_to_string(Path::new(golden).join("agent.json")).unwrap();
        let rendered = rendered.replace("/var/vcap/jobs/remount-agent/config/", golden);
        let mut blocks = Blocks::parse(Path::new("agent.json"), rendered.as_bytes()).unwrap();
        let config = Config::of(&mut blocks).unwrap();
        assert_eq!(config.postgres.data_directory, Path::new("/var/vcap/store/postgres/data"));
    }
}

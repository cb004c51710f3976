//! `agent.json` (`docs/formats.md` section 4.2).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remount_host::config_file::Blocks;
use remount_host::{ConfigError, Directories, tls};
use remount_postgres::{Identity, LocalConfig};
use remount_store::{StoreConfig, WalConfig};
use rustls::ServerConfig;
use serde::Deserialize;

use crate::error::Result;
use crate::store_client::StoreClient;

/// The configuration of this program.
#[derive(Debug)]
pub struct AgentConfig {
    /// Which server of which cluster this is.
    pub identity: Identity,
    /// Where the API is served.
    pub listen: SocketAddr,
    /// The API's certificates.
    pub tls: TlsFiles,
    /// The server.
    pub postgres: LocalConfig,
    /// The object store.
    pub store: StoreConfig,
    /// Limits of pre-start.
    pub pre_start: Limit,
    /// Limits of post-start.
    pub post_start: Limit,
    /// Limits of post-deploy.
    pub post_deploy: Limit,
    /// Limits of drain.
    pub drain: Limit,
    /// The configuration of the job `postgres`, where it is this release's: its roles are made again after a restore.
    pub postgres_config_file: Option<PathBuf>,
    /// Where things lie.
    pub directories: Directories,
    /// Who runs PostgreSQL and this daemon.
    pub user: String,
    /// Where this configuration was read from.
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

impl TlsFiles {
    /// Both sides show certificates of this CA, and no other CA counts.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn server_config(&self) -> Result<ServerConfig> {
        let identity = tls::Identity {
            certificate_file: self.certificate_file.clone(),
            private_key_file: self.private_key_file.clone(),
        };
        Ok(tls::server_config(&identity, &self.ca_file)?)
    }
}

/// How long a hook may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// In seconds.
    pub deadline_seconds: u64,
}

/// Who runs PostgreSQL under BOSH.
const DEFAULT_USER: &str = "vcap";

impl AgentConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let mut blocks = Blocks::read(path)?;
        let config = Self::of(&mut blocks, path);
        blocks.note(config.iter().flat_map(Self::problems));
        blocks.finish()?;
        let incomplete = || ConfigError { path: path.to_owned(), problems: vec!["it is incomplete".into()] };
        Ok(config.ok_or_else(incomplete)?)
    }

    /// Every block is read, so that the problems of all are told.
    fn of(blocks: &mut Blocks, path: &Path) -> Option<Self> {
        let identity = Identity::of_config(blocks);
        let (listen, tls) = (blocks.needed("listen"), blocks.needed("tls"));
        let (postgres, store) = (blocks.needed("postgres"), blocks.needed("store"));
        // Of `remount-wal` alone; read here so that what is wrong with it fails the deploy.
        let wal = blocks.needed::<WalConfig>("wal");
        let (pre_start, post_start) = (blocks.needed("pre_start"), blocks.needed("post_start"));
        let (post_deploy, drain) = (blocks.needed("post_deploy"), blocks.needed("drain"));
        let postgres_config_file = blocks.optional("postgres_config_file");
        let directories = blocks.needed("directories");
        let user = blocks.optional("user").unwrap_or_else(|| DEFAULT_USER.into());
        wal.is_some().then_some(())?;
        Some(Self {
            identity: identity?,
            listen: listen?,
            tls: tls?,
            postgres: postgres?,
            store: store?,
            pre_start: pre_start?,
            post_start: post_start?,
            post_deploy: post_deploy?,
            drain: drain?,
            postgres_config_file,
            directories: directories?,
            user,
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        })
    }

    /// This cluster's part of the store.
    #[must_use]
    pub fn store_client(&self) -> StoreClient {
        StoreClient::new(&self.store, &self.identity.cluster)
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

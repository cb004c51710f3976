//! `postgres.json` (`docs/formats.md` section 4.3).

use std::path::{Path, PathBuf};

use remount_core::InstanceSlug;
use remount_postgres::{LocalConfig, LocalServer};
use serde::Deserialize;

use crate::config::AgentConfig;
use crate::error::Result;
use remount_host::config_file;
use remount_host::{ConfigError, Secret};

/// The configuration of the job `postgres`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// This instance; its id names the standby to the primary.
    pub instance: InstanceSlug,
    /// Whether this is the group's bootstrap instance, that is the primary.
    pub bootstrap: bool,
    /// The primary's address; not needed on the bootstrap instance.
    pub primary_address: Option<String>,
    /// Every server's port.
    pub port: u16,
    /// The data directory.
    pub data_directory: PathBuf,
    /// PostgreSQL's programs.
    pub bin_directory: PathBuf,
    /// The folder of the Unix socket.
    pub socket_directory: PathBuf,
    /// `postgresql.conf` as the job rendered it.
    pub config_file: PathBuf,
    /// `pg_hba.conf` as the job rendered it.
    pub hba_file: PathBuf,
    /// `pg_ident.conf`, where the job renders one.
    pub ident_file: Option<PathBuf>,
    /// Where the standby's password lies for libpq; written by pre-start, on the VM's own disk.
    pub password_file: PathBuf,
    /// Where bpm notes the server's process.
    pub pid_file: PathBuf,
    /// Where PostgreSQL's messages are found.
    pub log_directory: PathBuf,
    /// The role that `initdb` makes.
    pub superuser: String,
    /// Its password, for connections over TCP; none: the socket only.
    pub superuser_password: Option<Secret>,
    /// The role that standbys connect as.
    pub replication: Login,
    /// Roles that have to exist.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Databases that have to exist.
    #[serde(default)]
    pub databases: Vec<Database>,
    /// The locale of `initdb`.
    #[serde(default = "default_locale")]
    pub locale: String,
    /// The user that PostgreSQL runs as.
    #[serde(default = "default_user")]
    pub user: String,
    /// `agent.json`, where the job `remount-agent` is deployed beside.
    pub agent_config_file: Option<PathBuf>,
    /// How long a standby waits for a primary to copy from.
    pub initialise_deadline_seconds: u64,
    /// How long post-start waits for the primary to take writes.
    pub post_start_deadline_seconds: u64,
    /// How long drain waits for the server to stop.
    pub drain_deadline_seconds: u64,
}

/// A role with a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// A role that has to exist.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its password; none: it cannot log in with one.
    pub password: Option<Secret>,
    /// Attributes, as `CREATEDB`.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
}

/// What `CREATE ROLE` may say of a role; nothing else reaches the statement.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Attribute {
    /// May do everything.
    Superuser,
    /// May make databases.
    Createdb,
    /// May make roles.
    Createrole,
    /// May stream WAL.
    Replication,
    /// Passes row-level security.
    Bypassrls,
}

/// A database that has to exist.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Whose it is; none: the superuser's.
    pub owner: Option<String>,
}

fn default_locale() -> String {
    "C.UTF-8".into()
}

fn default_user() -> String {
    "vcap".into()
}

impl PostgresConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let config: Self = config_file::read(path)?;
        if !config.bootstrap && config.primary_address.is_none() {
            let problems = vec!["`primary_address` is missing: this is not the bootstrap instance".into()];
            return Err(ConfigError { path: path.to_owned(), problems }.into());
        }
        Ok(config)
    }

    /// The configuration of the agent beside, where its job is deployed.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn agent(&self) -> Result<Option<AgentConfig>> {
        self.agent_config_file.as_deref().filter(|file| file.exists()).map(AgentConfig::load).transpose()
    }

    /// The server.
    pub fn server(&self) -> LocalServer {
        LocalServer::new(LocalConfig {
            data_directory: self.data_directory.clone(),
            socket_directory: self.socket_directory.clone(),
            port: self.port,
            superuser: self.superuser.clone(),
            database: "postgres".into(),
            bin_directory: self.bin_directory.clone(),
            log_directory: self.log_directory.clone(),
        })
    }

    /// How a standby reaches its primary. The password is in a file: this line is seen in `ps`.
    pub fn primary_conninfo(&self) -> Option<String> {
        let address = self.primary_address.as_ref()?;
        let pairs = [
            ("host", address.clone()),
            ("port", self.port.to_string()),
            ("user", self.replication.name.clone()),
            ("passfile", self.password_file.display().to_string()),
            ("application_name", self.instance.id.to_string()),
            ("connect_timeout", "10".into()),
        ];
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        Some(pairs.map(|(name, value)| format!("{name}='{}'", quoted(&value))).join(" "))
    }
}

//! `scheduler.json` (`docs/formats.md` section 4.5), which names the file of the job `remount`: this version needs nothing of it, and
//! refuses to start without it, so that the next one finds a deployment of the right shape.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remount_host::config_file::{Blocks, of_remount_job};
use remount_host::{ConfigError, Secret};
use serde::Deserialize;

use crate::database::Database;
use crate::error::Result;
use crate::tls::MakeTls;

/// The configuration of this program.
pub struct Config {
    /// Where health is told.
    pub listen: SocketAddr,
    /// Its database.
    pub database: Database,
}

/// The block `database`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseBlock {
    host: String,
    port: u16,
    name: String,
    user: String,
    password: Secret,
    /// The authority of the server's certificate; none: the connection is not encrypted.
    ca_file: Option<PathBuf>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it. Its content is never repeated: it holds a password.
    pub fn load(path: &Path) -> Result<Self> {
        let mut blocks = Blocks::read(path)?;
        let shared: Option<PathBuf> = blocks.file("remount");
        if shared.is_none() {
            blocks.note(["`remount_file` is missing".to_owned()]);
        }
        let config = Self::of(blocks, path)?;
        if let Some(shared) = shared {
            Blocks::read(of_remount_job(&shared)?)?;
        }
        Ok(config)
    }

    fn of(mut blocks: Blocks, path: &Path) -> Result<Self, ConfigError> {
        let listen = blocks.needed("listen");
        let database = blocks.needed::<DatabaseBlock>("database").and_then(|block| {
            let mut problems = Vec::new();
            let opened = open(block, &mut problems);
            blocks.note(problems);
            opened
        });
        blocks.finish()?;
        let incomplete = || ConfigError { path: path.to_owned(), problems: vec!["it is incomplete".into()] };
        let (listen, database) = listen.zip(database).ok_or_else(incomplete)?;
        Ok(Self { listen, database })
    }
}

fn open(block: DatabaseBlock, problems: &mut Vec<String>) -> Option<Database> {
    let texts = [
        ("host", block.host.as_str()),
        ("name", &block.name),
        ("user", &block.user),
        ("password", block.password.expose()),
    ];
    let empty = texts.iter().filter(|(_, text)| text.is_empty());
    problems.extend(empty.map(|(name, _)| format!("`database.{name}` is empty")));
    if block.port == 0 {
        problems.push("`database.port` has to be at least 1".into());
    }
    let tls = match block.ca_file.as_deref().map(MakeTls::trusting).transpose() {
        Ok(tls) => tls,
        Err(problem) => {
            problems.push(format!("`database.ca_file`: {problem}"));
            return None;
        }
    };
    let mut config = tokio_postgres::Config::new();
    config
        .host(block.host)
        .port(block.port)
        .dbname(block.name)
        .user(block.user)
        .password(block.password.expose());
    Some(Database::new(config, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once_and_no_password() {
        let text = r#"{"listen": "here", "colour": "red",
            "database": {"host": "", "port": 0, "name": "remount", "user": "", "password": "geheim", "ca_file": "/none"}}"#;
        let path = Path::new("scheduler.json");
        let blocks = Blocks::parse(path, text.as_bytes()).unwrap();
        let told = Config::of(blocks, path).map(drop).unwrap_err().to_string();
        for word in ["listen", "colour", "database.host", "database.port", "database.user", "/none"] {
            assert!(told.contains(word), "{word} is not among\n{told}");
        }
        assert!(!told.contains("geheim"), "{told}");
    }
}

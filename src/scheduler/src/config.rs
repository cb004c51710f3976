//! `scheduler.json` (`src/ARCHITECTURE.md`).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::database::Database;
use crate::error::{Error, Result};
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
    password: String,
    /// The authority of the server's certificate; none: the connection is not encrypted.
    ca_file: Option<PathBuf>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it. Its content is never repeated: it holds a password.
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |problems| Error::Config { path: path.display().to_string(), problems };
        let text = fs::read_to_string(path).map_err(|error| failed(vec![error.to_string()]))?;
        let mode = fs::metadata(path).map_err(|error| failed(vec![error.to_string()]))?.permissions().mode();
        match (Self::parse(&text), remount_core::open_to_others(mode)) {
            (Ok(config), None) => Ok(config),
            (parsed, open) => {
                Err(failed(open.into_iter().chain(parsed.err().into_iter().flatten()).collect()))
            }
        }
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut given: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| vec![format!("it is no JSON object: {error}")])?;
        let mut problems = Vec::new();
        let listen = take(&mut given, "listen", &mut problems);
        let block: Option<DatabaseBlock> = take(&mut given, "database", &mut problems);
        problems.extend(given.keys().map(|name| format!("`{name}` is unknown")));
        let database = block.and_then(|block| open(block, &mut problems));
        match (listen, database) {
            (Some(listen), Some(database)) if problems.is_empty() => Ok(Self { listen, database }),
            _ => Err(problems),
        }
    }
}

fn take<T: DeserializeOwned>(
    given: &mut Map<String, Value>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    let Some(value) = given.remove(name) else {
        problems.push(format!("`{name}` is missing"));
        return None;
    };
    serde_json::from_value(value).map_err(|error| problems.push(format!("`{name}`: {error}"))).ok()
}

fn open(block: DatabaseBlock, problems: &mut Vec<String>) -> Option<Database> {
    let texts =
        [("host", &block.host), ("name", &block.name), ("user", &block.user), ("password", &block.password)];
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
    config.host(block.host).port(block.port).dbname(block.name).user(block.user).password(block.password);
    Some(Database::new(config, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once_and_no_password() {
        let text = r#"{"listen": "here", "colour": "red",
            "database": {"host": "", "port": 0, "name": "remount", "user": "", "password": "geheim", "ca_file": "/none"}}"#;
        let told = Config::parse(text).map(drop).unwrap_err().join("\n");
        for word in ["listen", "colour", "database.host", "database.port", "database.user", "/none"] {
            assert!(told.contains(word), "{word} is not among\n{told}");
        }
        assert!(!told.contains("geheim"), "{told}");
    }
}

//! A program's configuration: one JSON file that its job rendered. All problems are told at once: a deploy per
//! mistake is a bad night. The content is never repeated in an error: it may hold secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::world_access;

/// A configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used:{}", .path.display(), lines(.problems))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// All that is wrong with it, one sentence each.
    pub problems: Vec<String>,
}

/// The blocks of a configuration, and what was found wrong with them so far.
#[derive(Debug)]
pub struct Blocks {
    path: PathBuf,
    given: Map<String, Value>,
    problems: Vec<String>,
}

impl Blocks {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is not a JSON object. That everyone may read it is a problem like others.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unusable = |problem: String| ConfigError { path: path.to_owned(), problems: vec![problem] };
        let text = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let mode = fs::metadata(path).map_err(|error| unusable(error.to_string()))?.permissions().mode();
        let mut blocks = Self::parse(path, &text)?;
        blocks.problems.extend(world_access(mode));
        Ok(blocks)
    }

    /// Takes the text of a file.
    ///
    /// # Errors
    /// It is not a JSON object.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, ConfigError> {
        let problem = match serde_json::from_slice(text) {
            Ok(Value::Object(given)) => {
                return Ok(Self { path: path.to_owned(), given, problems: Vec::new() });
            }
            Ok(_) => "it is not a JSON object".to_owned(),
            Err(error) => format!("it is not JSON: {error}"),
        };
        Err(ConfigError { path: path.to_owned(), problems: vec![problem] })
    }

    /// Takes a block that has to be there.
    pub fn needed<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if self.given.get(name).is_none_or(Value::is_null) {
            self.given.remove(name);
            self.problems.push(format!("`{name}` is missing"));
            return None;
        }
        self.optional(name)
    }

    /// Takes a block. One that is null counts as absent: templates write what is not set so.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.given.remove(name).filter(|value| !value.is_null())?;
        match serde_json::from_value(value) {
            Ok(block) => Some(block),
            Err(error) => {
                self.problems.push(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// Leaves the rest to the program that owns the file, and knows what may be in it.
    pub fn leave_rest(&mut self) {
        self.given.clear();
    }

    /// Notes problems that a look at the blocks has found.
    pub fn note(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// Ends the reading: what nobody took is unknown.
    ///
    /// # Errors
    /// All that was found wrong.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        self.problems.extend(self.given.keys().map(|name| format!("`{name}` is unknown")));
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError { path: self.path, problems: self.problems })
    }
}

/// Reads a configuration that is one block.
///
/// # Errors
/// It cannot be read, everyone may read it, or it is not what is wanted.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let blocks = Blocks::read(path)?;
    let mut problems = blocks.problems;
    match serde_json::from_value(Value::Object(blocks.given)) {
        Ok(config) if problems.is_empty() => return Ok(config),
        Ok(_) => {}
        Err(error) => problems.push(error.to_string()),
    }
    Err(ConfigError { path: path.to_owned(), problems })
}

fn lines(problems: &[String]) -> String {
    match problems {
        [only] => format!(" {only}"),
        several => several.iter().map(|problem| format!("\n  - {problem}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let text = br#"{"a": 1, "b": "x", "c": null, "colour": "red"}"#;
        let mut blocks = Blocks::parse(Path::new("x.json"), text).unwrap();
        assert_eq!(blocks.needed::<u32>("a"), Some(1));
        assert_eq!(blocks.needed::<u32>("b"), None);
        assert_eq!(blocks.optional::<u32>("c"), None);
        assert_eq!(blocks.needed::<u32>("d"), None);
        blocks.note(["more".to_owned()]);
        let told = blocks.finish().unwrap_err().to_string();
        for word in ["x.json", "`b`", "`d` is missing", "more", "`colour` is unknown"] {
            assert!(told.contains(word), "{word} is not in {told}");
        }
    }

    #[test]
    fn a_file_that_everyone_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "{}").unwrap();
        for (mode, good) in [(0o640, true), (0o644, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read::<Map<String, Value>>(&path).is_ok(), good, "{mode:o}");
        }
    }
}

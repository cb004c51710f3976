//! A program's configuration: a JSON file that its job rendered. All problems are reported at once, so that
//! one deploy fixes them. The content is never repeated in an error: it may hold secrets.
//!
//! A block is in the file itself, or in a file of its own: `store`, or `store_file` with that file's path. What several
//! jobs on a VM share is rendered once by the job `remount`; the others name its file as `remount_file`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remount_core::{OperatorError, Retry};
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

/// What the job `remount` renders is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is missing", .path.display())]
pub struct NoRemountJob {
    /// The file.
    pub path: PathBuf,
    #[source]
    source: NotOnThisVm,
}

/// Why it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the job `remount` is not on this VM: it renders Director, cloud, store and keys for the jobs beside it"
)]
struct NotOnThisVm;

impl OperatorError for NoRemountJob {
    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn next_step(&self) -> Option<String> {
        Some("add the job `remount` to the instance group and redeploy".into())
    }
}

/// Looks whether the job `remount` has rendered its file.
///
/// # Errors
/// It has not.
pub fn of_remount_job(path: &Path) -> Result<&Path, NoRemountJob> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(NoRemountJob { path: path.to_owned(), source: NotOnThisVm })
        }
        // What else is wrong with it shows when it is read.
        _ => Ok(path),
    }
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
    /// It cannot be read, or is not a JSON object. Access for everyone is one of the problems.
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
        if !self.has(name) && !self.has(&file_key(name)) {
            self.given.remove(name);
            self.problems.push(format!("`{name}` is missing"));
            return None;
        }
        self.optional(name)
    }

    /// Takes a block. One that is null counts as absent: templates write what is not set so.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let (value, place) = match self.file(name) {
            Some(path) => (self.content_of(&path)?, format!("{}: ", path.display())),
            None => (self.given.remove(name).filter(|value| !value.is_null())?, String::new()),
        };
        match serde_path_to_error::deserialize(value) {
            Ok(block) => Some(block),
            Err(error) => {
                self.problems.push(format!("{place}`{}`: {}", key_of(name, error.path()), error.inner()));
                None
            }
        }
    }

    /// Takes the path of the file that holds a block.
    pub fn file(&mut self, name: &str) -> Option<PathBuf> {
        let key = file_key(name);
        let value = self.given.remove(&key).filter(|value| !value.is_null())?;
        if self.has(name) {
            self.problems.push(format!("`{name}` and `{key}` exclude each other"));
        }
        match value {
            Value::String(path) => Some(path.into()),
            _ => {
                self.problems.push(format!("`{key}` is not the path of a file"));
                None
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }

    fn content_of(&mut self, path: &Path) -> Option<Value> {
        match Self::read(path) {
            Ok(blocks) => {
                let problems = blocks.problems.into_iter();
                self.problems.extend(problems.map(|problem| format!("{}: {problem}", path.display())));
                Some(Value::Object(blocks.given))
            }
            Err(error) => {
                self.problems.push(error.to_string());
                None
            }
        }
    }

    /// Ignores the rest: another program reads the same file and checks all of it.
    pub fn leave_rest(&mut self) {
        self.given.clear();
    }

    /// Notes problems that a look at the blocks has found.
    pub fn note(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// Ends the reading: a key that was not taken is unknown.
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
/// It cannot be read, is accessible to everyone, or is not what is wanted.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let blocks = Blocks::read(path)?;
    let mut problems = blocks.problems;
    match serde_path_to_error::deserialize(Value::Object(blocks.given)) {
        Ok(config) if problems.is_empty() => return Ok(config),
        Ok(_) => {}
        Err(error) if is_root(error.path()) => problems.push(error.inner().to_string()),
        Err(error) => problems.push(format!("`{}`: {}", error.path(), error.inner())),
    }
    Err(ConfigError { path: path.to_owned(), problems })
}

/// Where the value is that does not fit: the path of its key.
fn key_of(block: &str, path: &serde_path_to_error::Path) -> String {
    if is_root(path) { block.to_owned() } else { format!("{block}.{path}") }
}

/// A key that is missing or unknown is named by the problem itself.
fn is_root(path: &serde_path_to_error::Path) -> bool {
    path.iter().next().is_none()
}

fn file_key(name: &str) -> String {
    format!("{name}_file")
}

fn lines(problems: &[String]) -> String {
    match problems {
        [only] => format!(" {only}"),
        several => several.iter().map(|problem| format!("\n  - {problem}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

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
    fn a_value_that_does_not_fit_is_told_with_the_path_of_its_key() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        struct Block {
            hosts: Vec<u16>,
        }
        let wrong = |text: &str| {
            let mut blocks = Blocks::parse(Path::new("x.json"), text.as_bytes()).unwrap();
            blocks.needed::<Block>("director");
            blocks.finish().unwrap_err().to_string()
        };
        let told = wrong(r#"{"director": {"hosts": [1, "x"]}}"#);
        assert!(told.contains("`director.hosts[1]`: invalid type: string \"x\", expected u16"), "{told}");
        let told = wrong(r#"{"director": {"hosts": [], "colour": "red"}}"#);
        assert!(told.contains("colour"), "{told}");
        assert!(wrong(r#"{"director": 7}"#).contains("`director`: invalid type"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, r#"{"hosts": ["x"]}"#).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let told = read::<Block>(&path).unwrap_err().to_string();
        assert!(told.contains("`hosts[0]`: invalid type"), "{told}");
    }

    #[test]
    fn a_block_may_lie_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        fs::write(&path, r#"{"x": 1}"#).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let blocks = |text: Value| Blocks::parse(Path::new("a.json"), text.to_string().as_bytes()).unwrap();
        let mut good = blocks(serde_json::json!({"b_file": path}));
        assert_eq!(good.needed::<Map<String, Value>>("b").unwrap()["x"], 1);
        good.finish().unwrap();
        for (wrong, problem) in [
            (serde_json::json!({"b_file": path, "b": {}}), "exclude each other"),
            (serde_json::json!({"b_file": 7}), "not the path of a file"),
            (serde_json::json!({"b_file": folder.path().join("none.json")}), "none.json cannot be used"),
            (serde_json::json!({"b_file": null}), "`b` is missing"),
        ] {
            let mut blocks = blocks(wrong);
            blocks.needed::<Map<String, Value>>("b");
            let told = blocks.finish().unwrap_err().to_string();
            assert!(told.contains(problem), "{told}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut open = blocks(serde_json::json!({"b_file": path}));
        open.needed::<Map<String, Value>>("b");
        assert!(open.finish().unwrap_err().to_string().contains("mode 644"));
    }

    #[test]
    fn a_vm_without_the_job_remount_is_told_in_three_lines() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of_remount_job(folder.path()).is_ok());
        let error = of_remount_job(&folder.path().join("remount.json")).unwrap_err();
        let lines = remount_core::report(&error);
        assert!(
            lines.contains("remount.json is missing\ncause: the job `remount` is not on this VM"),
            "{lines}"
        );
        assert!(
            lines.ends_with(" next: add the job `remount` to the instance group and redeploy"),
            "{lines}"
        );
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

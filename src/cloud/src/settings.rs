//! Reads the settings of one cloud, the block `cloud` of `remount.json`, into a type that cannot hold wrong ones. The
//! names are those of each cloud's BOSH CPI, so that an operator finds the values where the Director's are.
//!
//! All problems are told at once, and no value of a secret. An empty text counts as not set: templates and manifests
//! write it so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use remount_host::Secret;

/// The block as it was given, without its `type`. Any value may be a secret, until the cloud says that it is none.
pub type Given = BTreeMap<String, Secret>;

/// One source of credentials, and the names of the values that it needs.
pub(crate) type Source = (&'static str, &'static [&'static str]);

/// The settings of one cloud while they are read.
pub(crate) struct Settings {
    cloud: &'static str,
    given: Given,
    problems: Vec<String>,
}

/// What is wrong with a block.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Problems(Vec<String>);

impl Settings {
    pub(crate) fn of(cloud: &'static str, mut given: Given) -> Self {
        given.retain(|_, value| !value.is_empty());
        Self { cloud, given, problems: Vec::new() }
    }

    /// Ends the reading: what nobody asked for is unknown.
    pub(crate) fn finish<T>(mut self, settings: T) -> Result<T, Problems> {
        for name in std::mem::take(&mut self.given).into_keys() {
            self.note(&name, "is unknown");
        }
        if self.problems.is_empty() { Ok(settings) } else { Err(Problems(self.problems)) }
    }

    /// A value that may be left out.
    pub(crate) fn optional(&mut self, name: &str) -> Option<String> {
        self.optional_secret(name).map(|value| value.expose().to_owned())
    }

    /// A value that has to be there; what it is otherwise does not matter, as there is a problem then.
    pub(crate) fn needed(&mut self, name: &str) -> String {
        self.secret(name).expose().to_owned()
    }

    /// A secret that has to be there.
    pub(crate) fn secret(&mut self, name: &str) -> Secret {
        self.optional_secret(name).unwrap_or_else(|| {
            self.note(name, "is missing");
            Secret::default()
        })
    }

    /// An address that credentials are sent to.
    pub(crate) fn https_url(&mut self, name: &str) -> String {
        let url = self.needed(name);
        if !url.is_empty() && !url.starts_with("https://") {
            self.note(name, "has to begin with https:// (credentials are sent there)");
        }
        url
    }

    /// The path of a folder.
    pub(crate) fn absolute_path(&mut self, name: &str) -> PathBuf {
        let path = PathBuf::from(self.needed(name));
        if path.is_relative() && !path.as_os_str().is_empty() {
            self.note(name, "has to be an absolute path");
        }
        path
    }

    /// One of a few words, as what it stands for; the first where there is a problem.
    pub(crate) fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let given = self.needed(name);
        let found = words.iter().find(|(word, _)| *word == given);
        if found.is_none() && !given.is_empty() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.note(name, format!("is `{given}`: it may be {}", known.join(" or ")));
        }
        found.unwrap_or(&words[0]).1
    }

    /// Takes the name of the source of credentials. What that one needs is there, and what only the others use is not:
    /// a forgotten key would be a puzzle at the next rotation. Takes no credential itself.
    pub(crate) fn source(&mut self, sources: &[Source]) -> &'static str {
        const NAME: &str = "credentials_source";
        let words: Vec<_> = sources.iter().map(|source| (source.0, source)).collect();
        let problems = self.problems.len();
        let (chosen, needed) = *self.one_of(NAME, &words);
        let others = sources.iter().filter(|(word, _)| *word != chosen).flat_map(|(_, names)| *names);
        if self.problems.len() > problems {
            // Nobody knows which of them belong here.
            sources.iter().flat_map(|(_, names)| *names).for_each(|name| drop(self.given.remove(*name)));
            return chosen;
        }
        let because = format!("`cloud.{}.{NAME}` is `{chosen}`", self.cloud);
        for name in needed.iter().filter(|name| !self.given.contains_key(**name)).collect::<Vec<_>>() {
            self.note(name, format!("is missing: {because}"));
        }
        for name in others {
            if self.given.remove(*name).is_some() {
                self.note(name, format!("is set, but {because}"));
            }
        }
        chosen
    }

    /// A credential of the chosen source: [`Settings::source`] has said already where it is missing.
    pub(crate) fn credential(&mut self, name: &str) -> Secret {
        self.optional_secret(name).unwrap_or_default()
    }

    fn optional_secret(&mut self, name: &str) -> Option<Secret> {
        self.given.remove(name)
    }

    fn note(&mut self, name: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("`cloud.{}.{name}` {problem}", self.cloud));
    }
}

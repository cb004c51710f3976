//! A release's jobs: `jobs/<job>/spec`, and the properties a job gets from a manifest and its defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{DirectorError, Result};

/// A job of the release.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseJob {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) spec: JobSpec,
}

/// `jobs/<job>/spec`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct JobSpec {
    #[serde(default)]
    templates: BTreeMap<String, String>,
    #[serde(default)]
    properties: Option<BTreeMap<String, PropertySpec>>,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    #[serde(default)]
    pub(crate) consumes: Vec<LinkSpec>,
    #[serde(default)]
    pub(crate) provides: Vec<LinkSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PropertySpec {
    #[serde(default)]
    default: Option<Value>,
}

/// A link that a job consumes or provides.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LinkSpec {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) optional: bool,
    #[serde(default)]
    pub(crate) properties: Vec<String>,
}

impl ReleaseJob {
    /// Reads the job's spec from the release.
    pub(crate) fn load(release_dir: &Path, name: &str) -> Result<Self> {
        let dir = release_dir.join("jobs").join(name);
        let file = dir.join("spec");
        let text = std::fs::read_to_string(&file).map_err(|error| {
            DirectorError::new(
                80000,
                format!("Job '{name}' is not in the release: {}: {error}", file.display()),
            )
        })?;
        let spec = serde_saphyr::from_str(&text).map_err(|error| {
            DirectorError::new(80000, format!("Job '{name}': its spec is no YAML: {error}"))
        })?;
        Ok(Self { name: name.to_owned(), dir, spec })
    }

    /// Whether it has a `bin/run`, and so can be run as an errand.
    pub(crate) fn runs_as_errand(&self) -> bool {
        self.spec.templates.values().any(|target| target == "bin/run")
    }

    /// The declared properties: the manifest's value, else the default; nothing that is not declared.
    pub(crate) fn properties(&self, manifest: &Map<String, Value>) -> Value {
        let mut all = Value::Object(Map::new());
        for (path, property) in self.spec.properties.iter().flatten() {
            let given = at_path(manifest, path).cloned();
            if let Some(value) = given.or_else(|| property.default.clone()) {
                set_path(&mut all, path, value);
            }
        }
        all
    }

    /// The part of `properties` that a link shows.
    pub(crate) fn link_properties(&self, link: &LinkSpec, properties: &Value) -> Value {
        let mut shown = Value::Object(Map::new());
        for path in &link.properties {
            let value = properties.as_object().and_then(|all| at_path(all, path));
            if let Some(value) = value {
                set_path(&mut shown, path, value.clone());
            }
        }
        shown
    }
}

fn at_path<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = map.get(first)?;
    match rest {
        None if value.is_null() => None,
        None => Some(value),
        Some(rest) => at_path(value.as_object()?, rest),
    }
}

fn set_path(target: &mut Value, path: &str, value: Value) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else { return };
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((first, rest)) => set_path(map.entry(first).or_insert(Value::Null), rest, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_declared_properties_arrive_and_defaults_fill_the_gaps() {
        let spec = "properties: {a.b: {default: 1}, a.c: {description: x}, d: {default: [1]}, e: {}}\n";
        let spec = serde_saphyr::from_str(spec).unwrap();
        let job = ReleaseJob { name: "j".into(), dir: PathBuf::new(), spec };
        let given = json!({"a": {"c": false, "x": 1}, "d": null, "z": 2});
        let properties = job.properties(given.as_object().unwrap());
        assert_eq!(properties, json!({"a": {"b": 1, "c": false}, "d": [1]}));
    }
}

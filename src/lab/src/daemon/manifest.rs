//! The release's own manifests, with the lab's values in the place of the operator's variables.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Reads a manifest and puts `values` in the place of their `((name))`: whole nodes, or parts of texts. What is
/// left is for the config server.
///
/// # Errors
/// The file cannot be read, or is no YAML.
pub fn interpolated(file: &Path, values: &BTreeMap<String, Value>) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut manifest: Value =
        serde_saphyr::from_str(&text).with_context(|| format!("read {}", file.display()))?;
    fill_in(&mut manifest, values);
    Ok(manifest)
}

fn fill_in(node: &mut Value, values: &BTreeMap<String, Value>) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, values)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| fill_in(entry, values)),
        Value::String(text) => {
            if let Some(filled) = filled(text, values) {
                *node = filled;
            }
        }
        _ => {}
    }
}

/// The text with every known variable in it replaced; none where it holds none.
fn filled(text: &str, values: &BTreeMap<String, Value>) -> Option<Value> {
    let whole = text.strip_prefix("((").and_then(|rest| rest.strip_suffix("))"));
    if let Some(value) = whole.and_then(|name| values.get(name)) {
        return Some(value.clone());
    }
    let mut replaced = text.to_owned();
    for (name, value) in values {
        if let Value::String(value) = value {
            replaced = replaced.replace(&format!("(({name}))"), value);
        }
    }
    (replaced != text).then(|| json!(replaced))
}

/// What the lab asks of the job `postgres` beyond the manifest: customers come by loopback, and commit times
/// are tracked so that the stories know what was committed when.
pub fn for_the_lab(manifest: &mut Value) {
    let groups = manifest["instance_groups"].as_array_mut();
    for job in groups.into_iter().flatten().filter_map(|group| group["jobs"].as_array_mut()).flatten() {
        if job["name"] == "remount-agent" {
            // Nobody has to wait a quarter of an hour to see that a broken store is refused.
            job["properties"]["pre_start"]["deadline_seconds"] = json!(20);
        }
        if job["name"] == "backup" || job["name"] == "restore" {
            job["properties"]["backup"]["lease_seconds"] = json!(10);
        }
        if job["name"] == "postgres" {
            job["properties"]["client_cidrs"] = json!(["127.0.0.0/8"]);
            job["properties"]["settings"] = json!({"track_commit_timestamp": "on"});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_nodes_become_structures_and_parts_become_text() {
        let values =
            BTreeMap::from([("store".into(), json!({"type": "fs"})), ("name".into(), json!("pg-0001"))]);
        let mut node = json!({"store": "((store))", "cn": "((name)).agent", "left": "((password))"});
        fill_in(&mut node, &values);
        assert_eq!(node, json!({"store": {"type": "fs"}, "cn": "pg-0001.agent", "left": "((password))"}));
    }
}

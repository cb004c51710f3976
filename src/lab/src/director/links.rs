//! Links: which job's instances and properties another job sees.
//!
//! A consumer that names nothing gets the only provider of the type in its deployment; several are an
//! error, none is one unless the link is optional. `{from: X}` names a provider (its own name or its
//! alias), also of another deployment if it is shared; `nil` means none; `{instances, properties}` is
//! written by hand.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::{DirectorError, Result};
use super::job_spec::LinkSpec;
use super::plan::{PlannedGroup, PlannedJob};

/// A link that a job of a deployment provides.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    name: String,
    alias: String,
    kind: String,
    shared: bool,
    content: Value,
}

/// Every link that the groups of a deployment provide.
pub(crate) fn providers(groups: &[PlannedGroup]) -> Vec<Provider> {
    let of_job = |group, job: &PlannedJob| -> Vec<Provider> {
        job.job.spec.provides.iter().filter_map(|link| provider(group, job, link)).collect()
    };
    groups.iter().flat_map(|group| group.jobs.iter().flat_map(move |job| of_job(group, job))).collect()
}

fn provider(group: &PlannedGroup, job: &PlannedJob, link: &LinkSpec) -> Option<Provider> {
    let said = job.reference.provides.get(&link.name);
    if said.is_some_and(is_nil) {
        return None;
    }
    let alias = said.and_then(|s| s.get("as")).and_then(Value::as_str).unwrap_or(&link.name);
    let instances: Vec<Value> = group
        .instances
        .iter()
        .map(|i| {
            json!({"name": group.plan.name, "id": i.slug.id, "index": i.index, "az": i.az,
                "address": i.ip, "bootstrap": i.bootstrap})
        })
        .collect();
    let properties = job.job.link_properties(link, &job.properties);
    Some(Provider {
        name: link.name.clone(),
        alias: alias.to_owned(),
        kind: link.kind.clone(),
        shared: said.and_then(|s| s.get("shared")).and_then(Value::as_bool).unwrap_or(false),
        content: json!({"instances": instances, "properties": properties}),
    })
}

/// The links `job` consumes: name → content. `elsewhere` holds the other deployments' providers.
pub(crate) fn resolve(
    job: &PlannedJob,
    own: &[Provider],
    elsewhere: &BTreeMap<String, Vec<Provider>>,
) -> Result<Value> {
    let mut links = Map::new();
    for link in &job.job.spec.consumes {
        let said = job.reference.consumes.get(&link.name);
        if said.is_some_and(is_nil) {
            continue;
        }
        if let Some(content) =
            resolve_one(link, said, own, elsewhere).map_err(|why| unresolved(job, link, &why))?
        {
            links.insert(link.name.clone(), content);
        }
    }
    Ok(Value::Object(links))
}

fn resolve_one(
    link: &LinkSpec,
    said: Option<&Value>,
    own: &[Provider],
    elsewhere: &BTreeMap<String, Vec<Provider>>,
) -> std::result::Result<Option<Value>, String> {
    if let Some(manual) = said.filter(|s| s.get("instances").is_some()) {
        let properties = manual.get("properties").cloned().unwrap_or_else(|| json!({}));
        return Ok(Some(json!({"instances": manual["instances"], "properties": properties})));
    }
    let from = said.and_then(|s| s.get("from")).and_then(Value::as_str);
    let deployment = said.and_then(|s| s.get("deployment")).and_then(Value::as_str);
    let candidates: Vec<&Provider> = match deployment {
        None => own.iter().collect(),
        Some(other) => elsewhere.get(other).into_iter().flatten().filter(|p| p.shared).collect(),
    };
    let fits = |p: &&&Provider| p.kind == link.kind && from.is_none_or(|f| p.alias == f || p.name == f);
    let found: Vec<&&Provider> = candidates.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(Some(one.content.clone())),
        [] if link.optional && from.is_none() => Ok(None),
        [] => Err("no provider was found".into()),
        many => Err(format!("{} providers are possible: name one with `from`", many.len())),
    }
}

/// The manifest's word for "no link".
fn is_nil(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("nil")
}

fn unresolved(job: &PlannedJob, link: &LinkSpec, why: &str) -> DirectorError {
    DirectorError::new(
        810_001,
        format!(
            "Failed to resolve link '{}' with type '{}' of job '{}': {why}",
            link.name, link.kind, job.job.name
        ),
    )
}

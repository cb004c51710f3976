//! The first part of a deploy: variables filled in, instances planned, links bound, templates rendered.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::error::{DirectorError, Result};
use super::links::{self, Provider};
use super::manifest::{self, Manifest};
use super::plan::{self, PlannedGroup};
use super::render;
use super::state::Instance;
use super::task_context::TaskContext;
use super::variables;
use crate::iaas::RenderedJob;

/// A deployment as it is to be.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) groups: Vec<PlannedGroup>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Per group, per instance.
    pub(crate) rendered: Vec<Vec<Vec<RenderedJob>>>,
}

/// Does it all; nothing is changed yet but the config server's new variables.
pub(crate) fn prepare(cx: &TaskContext, text: &str) -> Result<Prepared> {
    let manifest = interpolated(cx, text)?;
    let groups = cx.director.write(|state| plan::plan(&cx.director.config, state, &manifest))?;
    let providers = links::providers(&groups);
    let elsewhere = cx.director.read(|s| {
        s.deployments.values().map(|d| (d.name.clone(), d.providers.clone())).collect::<BTreeMap<_, _>>()
    });
    let rendered = groups.iter().map(|group| render_group(cx, group, &providers, &elsewhere));
    let rendered = rendered.collect::<Result<_>>()?;
    let text_of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = manifest.tags.iter().map(|(key, value)| (key.clone(), text_of(value))).collect();
    Ok(Prepared { groups, providers, tags, rendered })
}

fn interpolated(cx: &TaskContext, text: &str) -> Result<Manifest> {
    let mut value = manifest::parse(text)?;
    let operators = &cx.director.config.variables.0;
    variables::interpolate(&mut value, &|name| operators.get(name).cloned());
    let specs = manifest::variables(&value)?;
    let deployment = value["name"].as_str().unwrap_or_default().to_owned();
    let missing = cx.director.write(|state| -> Result<Vec<String>> {
        state.variables.generate(&deployment, &specs)?;
        Ok(variables::interpolate(&mut value, &|name| state.variables.value(&deployment, name)))
    })?;
    if missing.is_empty() {
        return Manifest::from_value(value);
    }
    let lines: Vec<String> = missing
        .iter()
        .map(|name| format!("  - Failed to find variable '{name}' from config server"))
        .collect();
    Err(DirectorError::new(
        540_000,
        format!("Unable to render instance groups for deployment. Errors are:\n{}", lines.join("\n")),
    ))
}

fn render_group(
    cx: &TaskContext,
    group: &PlannedGroup,
    own: &[Provider],
    elsewhere: &BTreeMap<String, Vec<Provider>>,
) -> Result<Vec<Vec<RenderedJob>>> {
    let jobs = group.jobs.iter().map(|job| {
        Ok(json!({
            "name": job.job.name,
            "dir": job.job.dir,
            "properties": job.properties,
            "consumes": links::resolve(job, own, elsewhere)?,
        }))
    });
    let jobs = jobs.collect::<Result<Vec<Value>>>()?;
    let instances = group.instances.iter().map(|instance| {
        cx.checkpoint()?;
        let request = json!({"jobs": jobs, "spec": plan::instance_spec(group, instance)});
        let mut rendered = render::render(&cx.director.config.render, &request)?;
        for job in &mut rendered {
            let of = group.jobs.iter().find(|planned| planned.job.name == job.name);
            job.packages = of.map(|planned| planned.job.spec.packages.clone()).unwrap_or_default();
        }
        Ok(rendered)
    });
    instances.collect()
}

/// Equal for equal files and packages. Good within one process, which is all the lab's database lives.
pub(crate) fn fingerprint(instance: &Instance) -> u64 {
    fingerprint_of(&instance.rendered)
}

/// As [`fingerprint`], of jobs that are not an instance's yet.
pub(crate) fn fingerprint_of(jobs: &[RenderedJob]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for job in jobs {
        (&job.name, &job.packages).hash(&mut hasher);
        for (path, file) in &job.files {
            (path, &file.content, file.executable).hash(&mut hasher);
        }
    }
    hasher.finish()
}

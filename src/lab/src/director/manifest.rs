//! The deployment manifest (BOSH v2), as far as the lab understands it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{DirectorError, Result};
use super::variables::VariableSpec;

/// A manifest with its variables filled in.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) update: UpdateSpec,
    #[serde(default)]
    stemcells: Vec<StemcellRef>,
    #[serde(default)]
    pub(crate) instance_groups: Vec<GroupSpec>,
    #[serde(default)]
    addons: Vec<AddonSpec>,
}

/// Jobs for every instance group of the deployment.
#[derive(Clone, Debug, Deserialize)]
// The lab knows no filters: an addon that has one is refused, instead of being given to everyone.
#[serde(deny_unknown_fields)]
struct AddonSpec {
    #[serde(rename = "name")]
    _name: String,
    jobs: Vec<JobRef>,
}

/// A stemcell of a manifest; groups name it by its alias.
#[derive(Clone, Debug, Deserialize)]
struct StemcellRef {
    alias: String,
    #[serde(alias = "os")]
    name: String,
    version: Value,
}

/// What a VM's first disk is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stemcell {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// An instance group.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GroupSpec {
    pub(crate) name: String,
    pub(crate) instances: u32,
    #[serde(default)]
    pub(crate) azs: Vec<String>,
    #[serde(default)]
    pub(crate) jobs: Vec<JobRef>,
    #[serde(default)]
    stemcell: Option<String>,
    #[serde(default)]
    pub(crate) vm_type: String,
    #[serde(default)]
    pub(crate) persistent_disk: Option<u64>,
    #[serde(default)]
    pub(crate) persistent_disk_type: Option<String>,
    #[serde(default)]
    pub(crate) networks: Vec<NetworkRef>,
    #[serde(default)]
    pub(crate) lifecycle: Lifecycle,
    #[serde(default)]
    pub(crate) update: UpdateSpec,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
}

/// `lifecycle` of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lifecycle {
    #[default]
    Service,
    Errand,
}

/// A job of a group.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JobRef {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) properties: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) consumes: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) provides: BTreeMap<String, Value>,
}

/// A network of a group.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NetworkRef {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) static_ips: Vec<String>,
}

/// `update:`, of the whole and of a group.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct UpdateSpec {
    canaries: Option<Value>,
    canary_watch_time: Option<Value>,
    update_watch_time: Option<Value>,
}

/// How instances of a group are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) canaries: u32,
    pub(crate) canary_watch: WatchTime,
    pub(crate) update_watch: WatchTime,
}

/// From when to when an instance's processes are asked whether they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchTime {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Default for WatchTime {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(300) }
    }
}

impl WatchTime {
    /// The pauses between looks: the minimum, then steps of 1 to 15 s, a tenth of the interval long.
    pub(crate) fn schedule(self) -> impl Iterator<Item = Duration> {
        let delta = self.max.saturating_sub(self.min);
        let step = (delta / 9).clamp(Duration::from_secs(1), Duration::from_secs(15));
        let steps = delta.as_millis() / step.as_millis();
        std::iter::once(self.min).chain((0..steps).map(move |_| step))
    }
}

/// YAML to the value that variables are filled into; 440001 where it is none, or has no name.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|error| DirectorError::manifest(format!("Incorrect YAML structure in manifest: {error}")))?;
    match value.get("name") {
        Some(Value::String(_)) => Ok(value),
        _ => Err(DirectorError::new(40001, "Deployment manifest must have a 'name' key")),
    }
}

/// `variables:` of a manifest.
pub(crate) fn variables(manifest: &Value) -> Result<Vec<VariableSpec>> {
    match manifest.get("variables") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|error| DirectorError::manifest(format!("'variables': {error}"))),
    }
}

impl Manifest {
    /// The typed form of an interpolated manifest, with each addon's jobs in every group.
    pub(crate) fn from_value(value: Value) -> Result<Self> {
        let mut manifest: Self = serde_json::from_value(value)
            .map_err(|error| DirectorError::manifest(format!("The manifest cannot be used: {error}")))?;
        for group in &mut manifest.instance_groups {
            group.jobs.extend(manifest.addons.iter().flat_map(|addon| addon.jobs.clone()));
        }
        Ok(manifest)
    }

    /// The stemcell that a group names; the lab's own where a manifest names none.
    pub(crate) fn stemcell_of(&self, group: &GroupSpec) -> Result<Stemcell> {
        let Some(alias) = &group.stemcell else {
            return Ok(Stemcell { name: "lab".into(), version: "1".into() });
        };
        let found = self.stemcells.iter().find(|stemcell| stemcell.alias == *alias).ok_or_else(|| {
            let text = format!("Instance group '{}' references unknown stemcell alias '{alias}'", group.name);
            DirectorError::new(140_019, text)
        })?;
        let version = found.version.as_str().map_or_else(|| found.version.to_string(), str::to_owned);
        Ok(Stemcell { name: found.name.clone(), version })
    }

    /// How a group's instances are updated: its own words before the deployment's.
    pub(crate) fn update_of(&self, group: &GroupSpec) -> Result<Update> {
        let watch = |own: &Option<Value>, all: &Option<Value>| match own.as_ref().or(all.as_ref()) {
            Some(value) => parse_watch_time(value),
            None => Ok(WatchTime::default()),
        };
        let (own, all) = (&group.update, &self.update);
        let canaries = own.canaries.as_ref().or(all.canaries.as_ref());
        Ok(Update {
            canaries: canaries.map_or(1, |value| count(value, group.instances)),
            canary_watch: watch(&own.canary_watch_time, &all.canary_watch_time)?,
            update_watch: watch(&own.update_watch_time, &all.update_watch_time)?,
        })
    }
}

/// A number, or a percentage of the group.
fn count(value: &Value, instances: u32) -> u32 {
    match value {
        Value::String(text) => match text.trim_end_matches('%').parse::<u32>() {
            Ok(percent) if text.ends_with('%') => (instances * percent).div_ceil(100),
            parsed => parsed.unwrap_or(1),
        },
        other => other.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
    }
}

/// `30000` or `1000-30000`, in milliseconds.
fn parse_watch_time(value: &Value) -> Result<WatchTime> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (min, max) = text.split_once('-').unwrap_or((&text, &text));
    let millis = |part: &str| part.trim().parse::<u64>().map(Duration::from_millis);
    match (millis(min), millis(max)) {
        (Ok(min), Ok(max)) if min <= max => Ok(WatchTime { min, max }),
        _ => {
            Err(DirectorError::manifest(format!("Watch time should be an integer or a range, not '{text}'")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_time_is_looked_at_in_steps_of_at_least_a_second() {
        let watch = parse_watch_time(&Value::from("10-3010")).unwrap();
        let pauses: Vec<u128> = watch.schedule().map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [10, 1000, 1000, 1000]);
        let once = parse_watch_time(&Value::from(20)).unwrap();
        assert_eq!(once.schedule().count(), 1);
        assert!(parse_watch_time(&Value::from("5-1")).is_err());
    }

    #[test]
    fn an_addons_jobs_are_in_every_group_after_its_own() {
        let text = "{name: d, instance_groups: [{name: a, instances: 1, jobs: [{name: x}]}, {name: b, instances: 1}], \
                    addons: [{name: shared, jobs: [{name: shared, release: r, properties: {p: 1}}]}]}";
        let manifest = Manifest::from_value(parse(text).unwrap()).unwrap();
        let names = |n: usize| -> Vec<String> {
            manifest.instance_groups[n].jobs.iter().map(|job| job.name.clone()).collect()
        };
        assert_eq!((names(0), names(1)), (vec!["x".into(), "shared".into()], vec!["shared".into()]));
        let filtered = text.replace("jobs: [{name: shared", "include: {jobs: []}, jobs: [{name: shared");
        assert!(Manifest::from_value(parse(&filtered).unwrap()).is_err());
    }

    #[test]
    fn a_manifest_without_a_name_is_refused() {
        assert_eq!(parse("{instance_groups: []}").unwrap_err().code, 40001);
        assert_eq!(parse("a: [").unwrap_err().code, 440_001);
    }
}

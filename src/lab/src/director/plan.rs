//! From a manifest to what each instance is to be: groups, instances, zones, addresses, rendered jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use remount_core::{GroupName, InstanceId, InstanceSlug};
use serde_json::{Map, Value, json};

use super::config::{AddressBlock, LabDirectorConfig};
use super::error::{DirectorError, Result};
use super::ids::uuid;
use super::job_spec::ReleaseJob;
use super::manifest::{GroupSpec, JobRef, Lifecycle, Manifest, Stemcell, Update};
use super::state::{Deployment, Desired, Instance, State};

/// What stays known of a group after a deploy.
#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub(crate) name: String,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) update: Update,
    pub(crate) vm_type: String,
    pub(crate) stemcell: Stemcell,
    pub(crate) disk: Option<DiskPlan>,
    pub(crate) jobs: Vec<JobPlan>,
}

/// A job of a group.
#[derive(Clone, Debug)]
pub(crate) struct JobPlan {
    pub(crate) name: String,
    pub(crate) runs_as_errand: bool,
}

/// The persistent disk a group's instances are to have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskPlan {
    pub(crate) size_mib: u64,
    pub(crate) disk_type: String,
}

impl DiskPlan {
    /// As the record keeps it beside the size.
    pub(crate) fn cloud_properties(&self) -> Value {
        if self.disk_type.is_empty() { json!({}) } else { json!({"type": self.disk_type}) }
    }
}

/// A group of the manifest with everything that is needed to render it.
#[derive(Debug)]
pub(crate) struct PlannedGroup {
    pub(crate) plan: GroupPlan,
    pub(crate) network: String,
    pub(crate) jobs: Vec<PlannedJob>,
    pub(crate) instances: Vec<Instance>,
}

/// A job of the manifest with its release side and its effective properties.
#[derive(Debug)]
pub(crate) struct PlannedJob {
    pub(crate) job: ReleaseJob,
    pub(crate) properties: Value,
    pub(crate) reference: JobRef,
}

/// All groups of `manifest`, with known instances kept and new ones named. Their addresses are reserved
/// at once, as another deployment may be planned before this one's instances are recorded.
pub(crate) fn plan(
    config: &LabDirectorConfig,
    state: &mut State,
    manifest: &Manifest,
) -> Result<Vec<PlannedGroup>> {
    state.reserved_ips.remove(&manifest.name);
    let mut addresses = Addresses::of(config.addresses, state);
    let known = state.deployments.get(&manifest.name);
    let group = |spec| plan_group(config, manifest, spec, known, &mut addresses);
    let groups: Vec<PlannedGroup> = manifest.instance_groups.iter().map(group).collect::<Result<_>>()?;
    let ips = groups.iter().flat_map(|g| &g.instances).map(|i| i.ip.clone()).collect();
    state.reserved_ips.insert(manifest.name.clone(), ips);
    Ok(groups)
}

fn plan_group(
    config: &LabDirectorConfig,
    manifest: &Manifest,
    spec: &GroupSpec,
    known: Option<&Deployment>,
    addresses: &mut Addresses,
) -> Result<PlannedGroup> {
    let own = spec.jobs.iter().filter(|job| !config.built_in_jobs.contains(&job.name));
    let jobs = own.map(|reference| plan_job(config, spec, reference)).collect::<Result<Vec<_>>>()?;
    let name = GroupName::new(&spec.name).map_err(|error| DirectorError::manifest(error.to_string()))?;
    let mut instances = Vec::new();
    for index in 0..spec.instances {
        let existing =
            known.and_then(|d| d.instances.iter().find(|i| i.slug.group == name && i.index == index));
        instances.push(match existing {
            Some(instance) => instance.clone(),
            None => new_instance(manifest, spec, &name, index, addresses)?,
        });
    }
    let plan = GroupPlan {
        name: spec.name.clone(),
        lifecycle: spec.lifecycle,
        update: manifest.update_of(spec)?,
        vm_type: spec.vm_type.clone(),
        stemcell: manifest.stemcell_of(spec)?,
        disk: disk_plan(config, spec)?,
        jobs: jobs
            .iter()
            .map(|j| JobPlan { name: j.job.name.clone(), runs_as_errand: j.job.runs_as_errand() })
            .collect(),
    };
    let network = spec.networks.first().map_or_else(|| "default".to_owned(), |n| n.name.clone());
    Ok(PlannedGroup { plan, network, jobs, instances })
}

fn plan_job(config: &LabDirectorConfig, group: &GroupSpec, reference: &JobRef) -> Result<PlannedJob> {
    let job = ReleaseJob::load(&config.release_dir, &reference.name)?;
    // A job without properties of its own still takes the group's (BOSH v1 manifests).
    let given: &Map<String, Value> = reference.properties.as_ref().unwrap_or(&group.properties);
    Ok(PlannedJob { properties: job.properties(given), job, reference: reference.clone() })
}

fn new_instance(
    manifest: &Manifest,
    spec: &GroupSpec,
    group: &GroupName,
    index: u32,
    addresses: &mut Addresses,
) -> Result<Instance> {
    let id = InstanceId::new(uuid()).map_err(|error| DirectorError::manifest(error.to_string()))?;
    let az = match spec.azs.len() {
        0 => "z1".to_owned(),
        zones => spec.azs[index as usize % zones].clone(),
    };
    let wanted = spec.networks.first().and_then(|network| network.static_ips.get(index as usize));
    Ok(Instance {
        deployment: manifest.name.clone(),
        slug: InstanceSlug { group: group.clone(), id },
        index,
        az,
        ip: addresses.take(wanted.map(String::as_str))?,
        bootstrap: index == 0,
        desired: Desired::Started,
        ignore: false,
        vm: None,
        disks: Vec::new(),
        rendered: Vec::new(),
        update_completed: false,
    })
}

fn disk_plan(config: &LabDirectorConfig, spec: &GroupSpec) -> Result<Option<DiskPlan>> {
    if let Some(name) = &spec.persistent_disk_type {
        let size = config.disk_types.get(name).ok_or_else(|| {
            DirectorError::new(
                140_011,
                format!("Instance group '{}' references an unknown disk type '{name}'", spec.name),
            )
        })?;
        return Ok(Some(DiskPlan { size_mib: *size, disk_type: name.clone() }));
    }
    let size = spec.persistent_disk.filter(|size| *size > 0);
    Ok(size.map(|size_mib| DiskPlan { size_mib, disk_type: String::new() }))
}

/// Which addresses are taken; those of deleted instances are free again.
struct Addresses {
    block: AddressBlock,
    taken: BTreeSet<String>,
}

impl Addresses {
    fn of(block: AddressBlock, state: &State) -> Self {
        let instances = state.deployments.values().flat_map(|d| &d.instances);
        let reserved = state.reserved_ips.values().flatten().cloned();
        Self { block, taken: instances.map(|i| i.ip.clone()).chain(reserved).collect() }
    }

    /// The wanted address, or the lowest free one.
    fn take(&mut self, wanted: Option<&str>) -> Result<String> {
        let range = u32::from(self.block.first)..=u32::from(self.block.last);
        let mut free = range.map(|ip| Ipv4Addr::from(ip).to_string()).filter(|ip| !self.taken.contains(ip));
        let address = match wanted {
            Some(ip) if self.taken.contains(ip) => {
                return Err(DirectorError::new(
                    130_009,
                    format!("Failed to reserve IP '{ip}': already reserved"),
                ));
            }
            Some(ip) => ip.to_owned(),
            None => free.next().ok_or_else(|| DirectorError::new(130_010, "no free address is left"))?,
        };
        self.taken.insert(address.clone());
        Ok(address)
    }
}

/// What templates see of an instance.
pub(crate) fn instance_spec(group: &PlannedGroup, instance: &Instance) -> Value {
    let mut networks = BTreeMap::new();
    networks
        .insert(&group.network, json!({"ip": instance.ip, "default": ["dns", "gateway"], "type": "manual"}));
    json!({
        "deployment": instance.deployment,
        "name": group.plan.name,
        "id": instance.slug.id,
        "index": instance.index,
        "az": instance.az,
        "address": instance.ip,
        "ip": instance.ip,
        "bootstrap": instance.bootstrap,
        "networks": networks,
    })
}

//! What the instances' disks are, from the cloud's own records: a restore must not change it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::scenarios::cluster::{Cluster, DEPLOYMENT};

/// What makes a disk what it is, beside its content.
const WHAT: [&str; 4] = ["zone", "size_mib", "disk_type", "attributes"];

/// By the instances' numbers.
pub async fn read(cluster: &Cluster) -> Result<BTreeMap<u32, Value>> {
    let folder = cluster.cloud()?.join("disks");
    let mut shapes = BTreeMap::new();
    for deployment in cluster.lab.status().await?.deployments {
        for instance in deployment.instances.iter().filter(|_| deployment.name == DEPLOYMENT) {
            let disk = instance.disk.as_ref().context("an instance has no disk")?;
            let text = std::fs::read_to_string(folder.join(format!("{disk}.json")));
            let text = text.with_context(|| format!("read the cloud's record of disk {disk}"))?;
            let record: Value = serde_json::from_str(&text)?;
            let shape = WHAT.iter().map(|name| ((*name).to_owned(), record[*name].clone())).collect();
            shapes.insert(instance.index, Value::Object(shape));
        }
    }
    Ok(shapes)
}

//! What servers do that their deployment does not say: `postgresql.auto.conf` is read last, and links in the data directory
//! lead to other disks.

use futures_util::future::join_all;
use remount_core::{ClusterName, DeploymentName, InstanceSlug};
use remount_director::Director;
use remount_postgres::{Servers, SettingOverride, Severity};

use crate::{FlowError, Result};

/// What the servers of a cluster were found to do.
#[derive(Debug, Default)]
pub struct SettingsReport {
    /// How many have answered.
    pub answered: usize,
    /// Who has not, and why.
    pub silent: Vec<(InstanceSlug, String)>,
    /// Who does something else than its job says.
    pub overrides: Vec<(InstanceSlug, SettingOverride)>,
    /// Who has data on another disk than the persistent one, and where.
    pub elsewhere: Vec<(InstanceSlug, String)>,
}

impl SettingsReport {
    /// Why there can be no backup: WAL may not reach the archive, or a snapshot does not hold all, or not together.
    #[must_use]
    pub fn breaking(&self) -> Vec<String> {
        let overrides = self.overrides.iter().filter(|(_, found)| found.severity == Severity::Breaks);
        let overrides = overrides.map(|(slug, found)| format!("{slug}: {found}"));
        let elsewhere = self.elsewhere.iter();
        overrides
            .chain(elsewhere.map(|(slug, places)| format!("{slug} has data on another disk: {places}")))
            .collect()
    }
}

/// Asks every server of a cluster, each once. A server that does not answer is no failure: a restore works without it.
///
/// # Errors
/// The Director does not answer, or no server can be asked at all.
pub async fn read_settings(
    director: &dyn Director,
    servers: &dyn Servers,
    deployment: &DeploymentName,
    cluster: &ClusterName,
) -> Result<SettingsReport> {
    let instances = director.instances(deployment).await;
    let instances =
        instances.map_err(FlowError::director(format!("read the instances of deployment {deployment}")))?;
    let of_cluster = |slug: &InstanceSlug| {
        let whole = cluster.as_str() == deployment.as_str();
        whole || ClusterName::of(deployment, Some(&slug.group)).is_ok_and(|name| name == *cluster)
    };
    let asked = instances.iter().filter(|instance| of_cluster(&instance.slug) && instance.vm.is_some());
    // In a deployment of one cluster the others have no disk, and no agent.
    let asked = asked.filter(|instance| !instance.disks.is_empty());
    let mut looks = Vec::new();
    for instance in asked {
        let Some(address) = instance.ips.first() else { continue };
        let server = servers.server(deployment, &instance.slug, address);
        let server = server.map_err(FlowError::server("reach the server", &instance.slug))?;
        looks.push(async move { (instance.slug.clone(), server.status().await) });
    }
    let mut report = SettingsReport::default();
    for (slug, status) in join_all(looks).await {
        match status {
            Ok(status) => {
                report.answered += 1;
                if !status.on_other_disks.is_empty() {
                    report.elsewhere.push((slug.clone(), status.on_other_disks.join(", ")));
                }
                report.overrides.extend(status.overrides.into_iter().map(|found| (slug.clone(), found)));
            }
            Err(error) => report.silent.push((slug, remount_core::with_causes(&error))),
        }
    }
    Ok(report)
}

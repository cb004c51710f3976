//! Instances and servers: looking at them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use remount_core::{DeploymentName, GroupName, InstanceSlug, Role};
use remount_director::Instance;
use remount_postgres::{Server, ServerStatus};

use crate::{FlowContext, FlowError, Problem, Result};

/// Every instance of a deployment.
pub async fn all(ctx: &FlowContext, deployment: &DeploymentName) -> Result<Vec<Instance>> {
    let mut found = ctx
        .director
        .instances(deployment)
        .await
        .map_err(FlowError::director(format!("read the instances of deployment {deployment}")))?;
    found.retain(|instance| !instance.is_record_alone());
    Ok(found)
}

/// The instances of the deployment's PostgreSQL group: the one that is named, or the only one with disks.
///
/// # Errors
/// No such group, or more than one.
pub fn of_group(
    instances: &[Instance],
    deployment: &DeploymentName,
    group: Option<&GroupName>,
) -> Result<Vec<Instance>, Problem> {
    let wanted = match group {
        Some(group) => group.clone(),
        None => only_group(instances, deployment)?,
    };
    let found: Vec<Instance> =
        instances.iter().filter(|instance| instance.slug.group == wanted).cloned().collect();
    if found.is_empty() {
        let what = format!("deployment {deployment} has no instance group {wanted}");
        return Err(Problem::new(what, "check the name against `bosh instances`"));
    }
    Ok(found)
}

fn only_group(instances: &[Instance], deployment: &DeploymentName) -> Result<GroupName, Problem> {
    let mut groups: Vec<&GroupName> = instances
        .iter()
        .filter(|instance| !instance.disks.is_empty())
        .map(|instance| &instance.slug.group)
        .collect();
    groups.sort();
    groups.dedup();
    match groups[..] {
        [only] => Ok(only.clone()),
        [] => {
            let what = format!("deployment {deployment} has no instance with a persistent disk");
            Err(Problem::new(what, "check the name against `bosh deployments`"))
        }
        _ => {
            let names: Vec<String> = groups.iter().map(ToString::to_string).collect();
            let what = format!(
                "deployment {deployment} has several groups with persistent disks: {}",
                names.join(", ")
            );
            Err(Problem::new(what, "name the PostgreSQL group with --group"))
        }
    }
}

/// The server of an instance, at its first address.
///
/// # Errors
/// No address, or no usable certificate.
pub fn server(ctx: &FlowContext, instance: &Instance) -> Result<Arc<dyn Server>> {
    let slug = &instance.slug;
    let address = instance.ips.first().ok_or_else(|| {
        FlowError::check(format!("{slug} has no address"), "look at it with `bosh instances`")
    })?;
    ctx.servers
        .server(&instance.deployment, slug, address)
        .map_err(FlowError::server("reach the server", slug))
}

/// One look at a server; why not, where it does not answer.
pub async fn status(ctx: &FlowContext, instance: &Instance) -> Result<ServerStatus> {
    server(ctx, instance)?.status().await.map_err(FlowError::server("read the status", &instance.slug))
}

/// A look at every instance that has a VM, all at once. Where the Director says that all runs, one lost answer
/// is not taken for an answer.
pub async fn statuses(
    ctx: &FlowContext,
    instances: &[Instance],
) -> Vec<(InstanceSlug, Result<ServerStatus>)> {
    let looks = instances.iter().filter(|instance| instance.vm.is_some());
    join_all(looks.map(|instance| async { (instance.slug.clone(), status_with_retry(ctx, instance).await) }))
        .await
}

/// A look at a server. Where the Director says that it runs, one lost answer is not taken for an answer.
pub async fn status_with_retry(ctx: &FlowContext, instance: &Instance) -> Result<ServerStatus> {
    let limit = if instance.is_running() { ctx.timeouts.lost_answer } else { Duration::ZERO };
    let status = server(ctx, instance)?.status_with_retry(limit).await;
    status.map_err(FlowError::server("read the status", &instance.slug))
}

/// The instance that is the primary: the one whose server says so, or the bootstrap instance.
///
/// # Errors
/// Several say so, or there is no bootstrap instance.
pub fn primary_of(
    instances: &[Instance],
    statuses: &[(InstanceSlug, Result<ServerStatus>)],
) -> Result<InstanceSlug, Problem> {
    let says_so = |(slug, status): &(InstanceSlug, Result<ServerStatus>)| {
        let primary = status.as_ref().is_ok_and(|status| status.role == Role::Primary);
        primary.then(|| slug.clone())
    };
    let primaries: Vec<InstanceSlug> = statuses.iter().filter_map(says_so).collect();
    match &primaries[..] {
        [only] => Ok(only.clone()),
        [] => instances
            .iter()
            .find(|instance| instance.bootstrap)
            .map(|instance| instance.slug.clone())
            .ok_or_else(|| {
                let what = "no server is a primary and the group has no bootstrap instance";
                Problem::new(what, "look at the deployment with `bosh instances --details`")
            }),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            let what = format!("several servers are primaries: {}", names.join(", "));
            Err(Problem::new(
                what,
                "stop all but the right one (`bosh stop --no-converge`), then run the command again",
            ))
        }
    }
}

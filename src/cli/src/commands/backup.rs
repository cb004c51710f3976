//! `remount backup`, and the errand of that name.

use remount_core::documents::BackupManifest;
use remount_core::{ClusterName, DeploymentName, ExitCode, GroupName};
use remount_flow::{BackupRequest, FlowContext, Progress, run_backup};

use super::{Output, disks, print_json};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::{message, output};
use crate::progress::Steps;

/// Takes one backup, or those of the errand `backup`.
pub async fn run(
    config: &Config,
    deployment: Option<DeploymentName>,
    group: Option<GroupName>,
    output: Output,
) -> Result<(), Failure> {
    let Some(deployment) = deployment else {
        return of_configuration(config, &Steps::on_stderr(), output).await;
    };
    let mut request = BackupRequest::of(deployment);
    request.group = group;
    let manifest = run_backup(&context::open(config)?, &request, &Steps::on_stderr()).await?;
    print(std::slice::from_ref(&manifest), output)
}

/// Backs up every deployment of `backup.deployments`, also after one failed. Then deletes the old disks that are due, of
/// the clusters that were backed up: this errand runs often.
pub async fn of_configuration(config: &Config, steps: &dyn Progress, output: Output) -> Result<(), Failure> {
    let deployments = &config.errand.backup.deployments;
    if deployments.is_empty() {
        let next =
            "set `backup.deployments` of the errand `backup`, or name one with `remount backup --deployment`";
        return Err(Failure::usage("`backup.deployments` names no deployment", next));
    }
    let context = context::open(config)?;
    let mut taken = Vec::new();
    let mut worst = ExitCode::Done;
    for deployment in deployments {
        match one(&context, deployment, steps).await {
            Ok(manifest) => taken.push(manifest),
            Err(failure) => {
                message!("{}", failure.text());
                worst = worst.max(failure.code());
            }
        }
    }
    print(&taken, output)?;
    let mut missed = Vec::new();
    if taken.len() < deployments.len() {
        missed.push(format!(
            "{} of {} backups were not taken",
            deployments.len() - taken.len(),
            deployments.len()
        ));
    }
    let clusters: Vec<ClusterName> = taken.iter().map(|manifest| manifest.cluster.clone()).collect();
    if let Err(failure) = disks::release_due(&context, &clusters).await {
        worst = worst.max(failure.code());
        missed.push("old disks that are due were not deleted".into());
    }
    // Also those of clusters that were not backed up: while a restore is held, none is.
    disks::warn_of_expiry(&context, &clusters_of(deployments)).await;
    match worst {
        ExitCode::Done => Ok(()),
        code => Err(Failure::summary(code, missed.join("; "))),
    }
}

fn clusters_of(deployments: &[DeploymentName]) -> Vec<ClusterName> {
    deployments.iter().filter_map(|deployment| ClusterName::of(deployment, None).ok()).collect()
}

async fn one(
    context: &FlowContext,
    deployment: &DeploymentName,
    steps: &dyn Progress,
) -> Result<BackupManifest, Failure> {
    if context.cancellation.is_cancelled() {
        return Err(Failure::unchanged(format!(
            "backup of {deployment}: not begun, as this process was asked to stop"
        )));
    }
    message!("backup of {deployment}");
    Ok(run_backup(context, &BackupRequest::of(deployment.clone()), steps).await?)
}

fn print(manifests: &[BackupManifest], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print_json(&manifests),
        Output::Text => {
            for manifest in manifests {
                let (id, cluster, at) = (&manifest.id, &manifest.cluster, manifest.stopped_at);
                output!("backup {id} of {cluster} is good: consistent from {at}");
            }
            Ok(())
        }
    }
}

//! `remount restore`: request it, look at it, or run it.

use remount_core::{ClusterName, DeploymentName, RestoreId};
use remount_flow::{FlowContext, RestoreReport, resume_restore, rollback_restore, run_restore};
use remount_store::{OnFailure, RestoreRequest};

use super::plan::{dry_run, request_for};
use super::{Output, opened, print_json};
use crate::arguments::{RestoreArguments, RestoreCommand, RestoreWish};
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Lines;

/// Does what the arguments ask.
pub async fn run(config: &Config, arguments: RestoreArguments, output: Output) -> Result<(), Failure> {
    if let Some(RestoreCommand::Request(wish)) = arguments.request {
        return request(config, &wish, output).await;
    }
    if let Some(restore) = arguments.resume {
        return resume(&opened(config)?, &restore, output).await;
    }
    if let Some(restore) = arguments.rollback {
        return rollback(&opened(config)?, &restore).await;
    }
    let Some(wish) = arguments.wish else {
        return Err(Failure::usage("no deployment and no target are given", "see `remount restore --help`"));
    };
    let request = asked(&wish);
    if arguments.dry_run {
        return dry_run(&opened(config)?, &request, output).await;
    }
    if !arguments.now {
        return Err(Failure::usage(
            "a restore is requested for the errand, or run from here",
            "`remount restore request …` and `bosh run-errand restore`, or add --now, or look first with --dry-run",
        ));
    }
    let report = carry_out(&opened(config)?, request).await?;
    answer(&report, output)?;
    keep_note(config);
    Ok(())
}

/// How long the way back stays open.
pub fn keep_note(config: &Config) {
    if let Some(hours) = config.restore.keep_old_disks_hours {
        eprintln!(
            "the old disks are the way back: keep them {hours} h; the Director deletes orphans after its own max_orphaned_age_in_days (5)"
        );
    }
}

fn asked(wish: &RestoreWish) -> RestoreRequest {
    request_for(&wish.cluster, &wish.target, wish.on_failure.into())
}

/// Stores a request.
async fn request(config: &Config, wish: &RestoreWish, output: Output) -> Result<(), Failure> {
    refuse_own(config, &wish.cluster.deployment)?;
    let request = asked(wish);
    config.store.open()?.requests().put(&request).await?;
    if output == Output::Json {
        return print_json(&request);
    }
    println!("request {}: restore {} to {}", request.id, request.deployment, request.target);
    println!(
        "carry it out: bosh -d {} run-errand restore",
        config.deployment.as_ref().map_or("remount", |d| d.as_str())
    );
    Ok(())
}

/// Goes on where the journal ends.
async fn resume(context: &FlowContext, restore: &RestoreId, output: Output) -> Result<(), Failure> {
    let cluster = cluster_of_restore(context, restore).await?;
    let report = resume_restore(context, &cluster, restore, OnFailure::Rollback, &Lines::new()).await?;
    answer(&report, output)
}

/// Takes a begun restore back.
async fn rollback(context: &FlowContext, restore: &RestoreId) -> Result<(), Failure> {
    let cluster = cluster_of_restore(context, restore).await?;
    rollback_restore(context, &cluster, restore, &Lines::new()).await?;
    println!("restore {restore} was taken back: {cluster} is as it was");
    Ok(())
}

/// The cluster that a restore is of, by the store.
async fn cluster_of_restore(context: &FlowContext, restore: &RestoreId) -> Result<ClusterName, Failure> {
    for cluster in context.store.clusters().await? {
        if context.store.cluster(&cluster).restores().await?.contains(restore) {
            return Ok(cluster);
        }
    }
    Err(Failure::missing(
        format!("there is no restore {restore}"),
        "look at `remount journal --deployment …`",
    ))
}

/// The errand could never stop the deployment it runs in.
pub fn refuse_own(config: &Config, deployment: &DeploymentName) -> Result<(), Failure> {
    if config.deployment.as_ref() == Some(deployment) {
        return Err(Failure::usage(
            format!(
                "{deployment} is the errand's own deployment: the Director holds its lock while the errand runs, so that its instances can be neither stopped nor started"
            ),
            "run the restore from a deployment of its own (manifests/remount.yml)",
        ));
    }
    Ok(())
}

/// Restores, with its steps on standard error.
pub async fn carry_out(context: &FlowContext, request: RestoreRequest) -> Result<RestoreReport, Failure> {
    let on_failure = request.on_failure;
    Ok(run_restore(context, request, on_failure, &Lines::new()).await?)
}

/// Tells how a restore went.
pub fn answer(report: &RestoreReport, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print_json(report);
    }
    println!("{}", description(report));
    Ok(())
}

/// What an operator wants to know when it is over.
pub fn description(report: &RestoreReport) -> String {
    let plan = &report.plan;
    let mut lines = vec![format!(
        "restored {} to {}: timeline {}, replayed to {}",
        plan.deployment,
        plan.target,
        report.new_timeline,
        report.replayed_to.map_or_else(|| "?".to_owned(), |lsn| lsn.to_string())
    )];
    lines.extend(report.steps.iter().map(|step| format!("  {:<18} {:>8.2} s", step.name, step.seconds)));
    let split = &report.downtime;
    lines.push(format!(
        "downtime {:.2} s, estimated {:.0} s: Director {:.2} s, PostgreSQL {:.2} s, Remount {:.2} s",
        report.downtime_seconds,
        report.estimate_seconds,
        split.director_seconds,
        split.postgres_seconds,
        split.remount_seconds
    ));
    lines.extend(
        report.old_disks.iter().map(|(instance, disk)| format!("old disk of {instance}, kept: {disk}")),
    );
    lines.extend(report.backup.iter().map(|backup| format!("backup of the restored cluster: {backup}")));
    lines.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

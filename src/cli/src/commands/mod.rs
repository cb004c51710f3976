//! The commands, one file each.

mod backup;
mod backups;
mod check;
mod disks;
mod errand;
mod journal;
mod pending;
mod plan;
mod requests;
mod restore;
mod started;
mod table;

use remount_core::{ClusterName, DeploymentName, GroupName, RestoreId};
use remount_store::{ClusterStore, Store};

use crate::arguments::{Arguments, ClusterFilter, Command, Errand};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::output;

/// How a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs a command.
///
/// # Errors
/// What failed, what is true afterwards, and what to do next.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    // These fail without a configuration, too.
    if let Command::Errand { errand: Errand::Unavailable(errand) } = arguments.command {
        return Err(errand::not_in_this_version(errand));
    }
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::of_this_vm()?,
    };
    if needs_cloud(&arguments.command) {
        // Before anything else: for a cloud without an adapter no request is stored and no server changed.
        config.cloud.supported()?;
    }
    let output = if arguments.json { Output::Json } else { Output::Text };
    match arguments.command {
        Command::List(filter) => backups::list(&context::open_store(&config)?, &filter, output).await,
        Command::Info { backup } => backups::info(&context::open_store(&config)?, &backup, output).await,
        Command::Requests => requests::list(&context::open_store(&config)?, output).await,
        Command::Journal { restore, cluster } => {
            journal::show(&context::open_store(&config)?, &cluster, restore, config.old_disks, output).await
        }
        Command::Backup { deployment, group } => backup::run(&config, deployment, group, output).await,
        Command::Plan(options) => plan::run(&config, &options, output).await,
        Command::Restore(arguments) => restore::run(&config, *arguments, output).await,
        Command::Resume { restore: id, on_failure } => {
            started::resume(&config, &id, on_failure.into(), output).await
        }
        Command::Rollback { restore: id } => started::roll_back(&config, &id).await,
        Command::Abort { restore: id } => started::abort(&config, &id).await,
        Command::Disks(arguments) => disks::run(&config, *arguments, output).await,
        Command::Check { offline: true, .. } => check::offline(output),
        Command::Check { wait, .. } => {
            let wait = if wait { check::RetryFor::Outage } else { check::RetryFor::LostAnswer };
            check::run(&config, wait, output).await
        }
        Command::Errand { errand } => errand::run(&config, errand, output).await,
    }
}

/// The others work from the store alone.
const fn needs_cloud(command: &Command) -> bool {
    !matches!(
        command,
        Command::List(_)
            | Command::Info { .. }
            | Command::Requests
            | Command::Journal { .. }
            | Command::Abort { .. }
            // It reports the cloud itself, with its other checks.
            | Command::Check { .. }
    )
}

/// The cluster of a deployment's PostgreSQL group.
fn cluster_name(deployment: &DeploymentName, group: Option<&GroupName>) -> Result<ClusterName, Failure> {
    ClusterName::of(deployment, group)
        .map_err(|error| Failure::usage(error.to_string(), "check --deployment and --group"))
}

/// The clusters that a filter selects; without one, all that the store knows.
async fn clusters(store: &Store, filter: &ClusterFilter) -> Result<Vec<ClusterStore>, Failure> {
    let names = match &filter.deployment {
        Some(deployment) => vec![cluster_name(deployment, filter.group.as_ref())?],
        None => store.clusters().await?,
    };
    Ok(names.iter().map(|name| store.cluster(name)).collect())
}

/// The cluster that a restore was begun in.
async fn cluster_with(store: &Store, restore: &RestoreId) -> Result<ClusterStore, Failure> {
    if let Some(cluster) = store.cluster_of_restore(restore).await?
        && cluster.plan(restore).await?.is_some()
    {
        return Ok(cluster);
    }
    Err(Failure::missing(
        format!("no cluster has a restore {restore}"),
        "`remount journal` shows the newest one",
    ))
}

/// Prints a document as JSON.
fn print_json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::unchanged(format!("the answer cannot be written as JSON: {error}")))?;
    output!("{json}");
    Ok(())
}

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

use std::time::Duration;

use remount_core::{ClusterName, DeploymentName, ExitCode, GroupName, RestoreId};
use remount_director::Director as _;
use remount_host::RetryPolicy;
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
        Command::List(filter) => {
            let store = context::open_store(&config)?;
            must_be_known(&store, deployments(&config), &filter).await?;
            backups::list(&store, &filter, output).await
        }
        Command::Info { backup, cluster } => {
            backups::info(&context::open_store(&config)?, &backup, &cluster, output).await
        }
        Command::Requests => requests::list(&context::open_store(&config)?, output).await,
        Command::Journal { restore, cluster } => {
            journal::show(&context::open_store(&config)?, &cluster, restore, config.old_disks, output).await
        }
        Command::Backup { deployment, group } => backup::run(&config, deployment, group, output).await,
        Command::Plan(options) => plan::run(&config, &options, output).await,
        Command::Restore(arguments) => restore::run(&config, *arguments, output).await,
        Command::Resume { restore, on_failure } => {
            started::resume(&config, &restore, on_failure.into(), output).await
        }
        Command::Rollback(restore) => started::roll_back(&config, &restore).await,
        Command::Abort(restore) => started::abort(&config, &restore).await,
        Command::Disks(arguments) => disks::run(&config, *arguments, output).await,
        Command::Check { offline: true, .. } => check::offline(output),
        Command::Check { wait, .. } => {
            let wait = if wait { check::RetryFor::Outage } else { check::RetryFor::LostAnswer };
            check::run(&config, wait, output).await
        }
        Command::Errand { errand } => errand::run(&config, errand, output).await,
    }
}

/// One lost answer of the Director is not taken for an answer; who reads waits no longer for what the store may do without.
const LOST_ANSWER: Duration = Duration::from_secs(2);

/// What the Director has, for a command that else asks the store alone.
async fn deployments(config: &Config) -> Result<Vec<DeploymentName>, remount_director::Error> {
    config.director.open(&RetryPolicy::within(LOST_ANSWER))?.deployments().await
}

/// The others work from the store alone.
const fn needs_cloud(command: &Command) -> bool {
    !matches!(
        command,
        Command::List(_)
            | Command::Info { .. }
            | Command::Requests
            | Command::Journal { .. }
            | Command::Abort(_)
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

/// The cluster that a restore was begun in; with a filter that one alone is asked.
async fn cluster_with(
    store: &Store,
    restore: &RestoreId,
    filter: &ClusterFilter,
) -> Result<ClusterStore, Failure> {
    let within = within(filter)?;
    let found = store.cluster_of_restore(restore, within.as_ref()).await?;
    found.ok_or_else(|| match within {
        Some(name) => Failure::missing(
            format!("cluster {name} has no restore {restore}"),
            format!("`remount journal {restore}` finds its cluster"),
        ),
        None => Failure::missing(
            format!("no cluster has a restore {restore}"),
            "`remount journal` shows the newest one",
        ),
    })
}

/// Refuses a deployment that neither the store nor the Director knows: "nothing is there" would be taken for an answer.
async fn must_be_known(
    store: &Store,
    director: impl Future<Output = Result<Vec<DeploymentName>, remount_director::Error>>,
    filter: &ClusterFilter,
) -> Result<(), Failure> {
    let (Some(deployment), Some(name)) = (&filter.deployment, within(filter)?) else { return Ok(()) };
    if store.cluster(&name).is_known().await? {
        return Ok(());
    }
    let what = format!("nobody knows deployment {deployment}");
    let next = "check the name: `bosh deployments`, and `remount list` for those that have backups";
    let because = |cause: String| Failure::because(ExitCode::Unchanged, &what, cause, next);
    match director.await {
        Ok(deployments) if deployments.contains(deployment) => Ok(()),
        Ok(_) => Err(because(format!(
            "the store has nothing of cluster {name}, and the Director has no such deployment"
        ))),
        Err(error) => {
            let why = remount_core::with_causes(&error);
            Err(because(format!(
                "the store has nothing of cluster {name}, and the Director cannot be asked: {why}"
            )))
        }
    }
}

/// The cluster that a filter names.
fn within(filter: &ClusterFilter) -> Result<Option<ClusterName>, Failure> {
    let named = filter.deployment.as_ref();
    named.map(|deployment| cluster_name(deployment, filter.group.as_ref())).transpose()
}

/// Prints a document as JSON.
fn print_json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::unchanged(format!("the answer cannot be written as JSON: {error}")))?;
    output!("{json}");
    Ok(())
}

//! The commands, one file each.

mod backup;
mod backups;
mod errand;
mod journal;
mod plan;
mod requests;
mod restore;
mod table;

use remount_core::ClusterName;
use remount_flow::{FlowContext, cluster_of};
use remount_store::ClusterStore;

use crate::arguments::{Arguments, ClusterArguments, Command};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;

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
    let config = Config::load(&arguments.config)?;
    let output = if arguments.json { Output::Json } else { Output::Text };
    match arguments.command {
        Command::List { deployment, group } => {
            let store = config.store.open()?;
            backups::list(&store, deployment.as_ref().map(|d| (d, group.as_ref())), output).await
        }
        Command::Info { backup, cluster } => {
            backups::info(&cluster_store(&config, &cluster)?, &backup, output).await
        }
        Command::Requests => requests::list(&config.store.open()?, output).await,
        Command::Journal { restore, cluster } => {
            journal::show(&cluster_store(&config, &cluster)?, restore, output).await
        }
        Command::Backup(cluster) => backup::run(&opened(&config)?, &cluster, output).await,
        Command::Plan { cluster, target } => plan::run(&opened(&config)?, &cluster, &target, output).await,
        Command::Restore(restore) => restore::run(&config, *restore, output).await,
        Command::Errand { errand } => errand::run(&config, errand, output).await,
    }
}

/// The adapters, with signals turned into a wish to stop.
fn opened(config: &Config) -> Result<FlowContext, Failure> {
    let context = context::open(config)?;
    context::cancel_on_signals(context.cancellation.clone())?;
    Ok(context)
}

fn cluster_store(config: &Config, cluster: &ClusterArguments) -> Result<ClusterStore, Failure> {
    Ok(config.store.open()?.cluster(&name_of(cluster)?))
}

fn name_of(cluster: &ClusterArguments) -> Result<ClusterName, Failure> {
    Ok(cluster_of(&cluster.deployment, cluster.group.as_ref())?)
}

/// Prints a document as JSON.
fn print_json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::unchanged(format!("write the answer as JSON: {error}")))?;
    println!("{json}");
    Ok(())
}

//! What the flows are given: adapters made from the configuration, and a token that signals cancel.

use std::sync::Arc;
use std::time::Duration;

use remount_flow::{FlowContext, Timeouts};
use remount_host::{RetryPolicy, cancel_on_signals, user_name};
use remount_postgres::{RemoteServers, RetryingServers};
use remount_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::message;

/// Opens the adapters and listens to signals from now on.
///
/// # Errors
/// The configuration cannot work.
pub fn open(config: &Config) -> Result<FlowContext, Failure> {
    let cancellation = CancellationToken::new();
    let policy = RetryPolicy::within(RETRY).cancelled_by(cancellation.clone());
    let servers = Arc::new(RemoteServers::new(&config.agents)?);
    let context = FlowContext {
        cloud: config.cloud.open(&policy)?,
        director: Arc::new(config.director.open(&policy)?),
        servers: Arc::new(RetryingServers::new(servers, policy.clone())),
        store: config.store.open(&policy)?,
        owner: format!("remount on {}, process {}", host(), std::process::id()),
        own_deployment: config.deployment.clone(),
        old_disks: config.old_disks,
        timeouts: timeouts(config),
        cancellation: cancellation.clone(),
    };
    let told = || {
        message!(
            "stopping: Remount does not wait any longer; tasks that the Director or the cloud accepted continue"
        )
    };
    cancel_on_signals(cancellation, told)
        .map_err(|error| Failure::unchanged(format!("signals cannot be received: {error}")))?;
    Ok(context)
}

/// What fails in passing in the middle of a backup or a restore is tried again for so long.
const RETRY: Duration = Duration::from_secs(120);
/// A command that only reads the store tries for so long: an operator waits for its answer.
const READ_RETRY: Duration = Duration::from_secs(30);

/// Opens the store for a command that needs nothing else.
///
/// # Errors
/// The configuration cannot work.
pub fn open_store(config: &Config) -> Result<Store, Failure> {
    Ok(config.store.open(&RetryPolicy::within(READ_RETRY))?)
}

/// Who asks, for requests and journals: the user by the system's own record, not by the environment.
pub fn requester() -> String {
    let uid = rustix::process::getuid().as_raw();
    format!("{}@{}", user_name(uid).unwrap_or_else(|| uid.to_string()), host())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn timeouts(config: &Config) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let task = config.director.task_deadline();
    (timeouts.stop, timeouts.attach, timeouts.delete) = (task, task, task);
    // Replay is part of a start, and may take longer than any other task.
    timeouts.start = timeouts.start.max(task);
    if let Some(seconds) = config.lease_seconds {
        timeouts.agent_lease = Duration::from_secs(seconds);
        timeouts.lease_term = Duration::from_secs(seconds);
    }
    timeouts
}

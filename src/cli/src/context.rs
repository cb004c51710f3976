//! What the flows are given: adapters made from the configuration.

use std::sync::Arc;
use std::time::Duration;

use remount_director::HttpDirector;
use remount_flow::{Cancellation, FlowContext, Timeouts};
use remount_postgres::RemoteServers;

use crate::config::Config;
use crate::failure::Failure;

/// Opens the adapters. `as_errand`: the Director holds the lock of the errand's own deployment meanwhile.
///
/// # Errors
/// The configuration cannot work.
pub fn open(config: &Config) -> Result<FlowContext, Failure> {
    let mut timeouts = Timeouts::default();
    let task = Duration::from_secs(config.director.task_deadline_seconds.max(1));
    timeouts.stop = timeouts.stop.min(task);
    timeouts.attach = timeouts.attach.min(task);
    if let Some(seconds) = config.backup.lease_seconds {
        timeouts.agent_lease = Duration::from_secs(seconds.max(5));
    }
    Ok(FlowContext {
        cloud: config.cloud.open()?,
        director: Arc::new(HttpDirector::new(&config.director)?),
        servers: Arc::new(RemoteServers::new(&config.agents)?),
        store: config.store.open()?,
        owner: owner(),
        own_deployment: config.deployment.clone(),
        timeouts,
        cancellation: Cancellation::default(),
    })
}

/// Who acts, as leases and journals name it.
fn owner() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("remount on {host}, process {}", std::process::id())
}

/// Turns SIGTERM and SIGINT into a wish to stop before the next step.
///
/// # Errors
/// The signals cannot be had.
pub fn cancel_on_signals(cancellation: Cancellation) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::unchanged(format!("listen to signals: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        eprintln!("asked to stop: ends before the next step");
        cancellation.cancel();
    });
    Ok(())
}

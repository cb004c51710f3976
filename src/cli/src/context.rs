//! What the flows are given: adapters made from the configuration, and the wish to stop.

use std::sync::Arc;
use std::time::Duration;

use remount_director::HttpDirector;
use remount_flow::{Cancellation, FlowContext, Timeouts};
use remount_postgres::RemoteServers;

use crate::config::Config;
use crate::failure::Failure;
use crate::say::tell;

/// Opens the adapters and listens to signals from now on.
///
/// # Errors
/// The configuration cannot work.
pub fn open(config: &Config) -> Result<FlowContext, Failure> {
    let context = FlowContext {
        cloud: config.cloud.open()?,
        director: Arc::new(HttpDirector::new(&config.director)?),
        servers: Arc::new(RemoteServers::new(&config.agents)?),
        store: config.store.open()?,
        owner: format!("remount on {}, process {}", host(), std::process::id()),
        own_deployment: config.deployment.clone(),
        keeping: config.restore.keeping(),
        timeouts: timeouts(config),
        cancellation: Cancellation::default(),
    };
    cancel_on_signals(context.cancellation.clone())?;
    Ok(context)
}

/// The store's passing troubles are waited out for this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks, for requests and journals: the user by the system's own record, not by the environment.
pub fn requester() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_uid = |line: &&str| line.split(':').nth(2).is_some_and(|field| field == uid.to_string());
    let name = passwd.lines().find(of_uid).and_then(|line| line.split(':').next());
    format!("{}@{}", name.map_or_else(|| uid.to_string(), str::to_owned), host())
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
    if let Some(seconds) = config.backup.lease_seconds {
        timeouts.agent_lease = Duration::from_secs(seconds);
        timeouts.lease_term = Duration::from_secs(seconds);
    }
    timeouts
}

/// Turns SIGTERM and SIGINT into a wish to stop before the next step: a step is never cut. A terminal that has gone
/// (SIGHUP) is no such wish: nothing serves while a restore stands still.
fn cancel_on_signals(cancellation: Cancellation) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::unchanged(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => log::warn!("the terminal is gone: going on without it"),
            }
        }
        tell!("asked to stop: the step that runs is finished first");
        cancellation.cancel();
    });
    Ok(())
}

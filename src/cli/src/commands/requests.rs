//! `remount requests`, and how a request is made.

use jiff::Timestamp;
use remount_core::documents::FORMAT;
use remount_core::documents::RestoreRequest;
use remount_core::{DeploymentName, RestoreId};
use remount_store::{PendingRequests, Store};

use super::table::table;
use super::{Output, print_json};
use crate::arguments::RestoreOptions;
use crate::config::Config;
use crate::context::requester;
use crate::failure::Failure;
use crate::output::{message, output};

/// Lists the requests that the errand has not carried out yet.
pub async fn list(store: &Store, output: Output) -> Result<(), Failure> {
    let PendingRequests { requests: pending, unreadable } = store.requests().pending().await?;
    match output {
        Output::Json => print_json(&pending)?,
        Output::Text if pending.is_empty() => message!("no request is pending"),
        Output::Text => output!("{}", listing(&pending)),
    }
    let count = unreadable.len();
    for error in unreadable {
        message!("{}", Failure::from(error).text());
    }
    match count {
        0 => Ok(()),
        n => Err(Failure::unchanged(format!(
            "{n} requests cannot be read or verified, and are not carried out"
        ))),
    }
}

fn listing(pending: &[RestoreRequest]) -> String {
    let row = |request: &RestoreRequest| {
        let target = request.target.to_string();
        vec![request.id.to_string(), request.deployment.to_string(), request.requested_by.clone(), target]
    };
    let rows: Vec<Vec<String>> = pending.iter().map(row).collect();
    table(&["REQUEST", "DEPLOYMENT", "ASKED BY", "TARGET"], &rows)
}

/// Stores a request for the errand.
pub async fn store(config: &Config, options: &RestoreOptions, output: Output) -> Result<(), Failure> {
    let request = from(options)?;
    refuse_own(config, &request.deployment)?;
    crate::context::open_store(config)?.requests().put(&request).await?;
    if output == Output::Json {
        return print_json(&request);
    }
    output!("request {}: {} to {}", request.id, request.deployment, request.target);
    let own = config.deployment.as_ref().map_or("remount", DeploymentName::as_str);
    message!(" next: `bosh -d {own} run-errand restore`; follow it with `remount journal {}`", request.id);
    Ok(())
}

/// The request that these options make, by the user of this process.
pub fn from(options: &RestoreOptions) -> Result<RestoreRequest, Failure> {
    let now = Timestamp::now();
    Ok(RestoreRequest {
        format: FORMAT,
        id: RestoreId::at(now, rand::random()),
        deployment: options.deployment()?,
        group: options.group.clone(),
        target: options.target.target()?,
        requested_by: requester(),
        requested_at: now,
        pause: options.pause,
        on_failure: options.on_failure.into(),
        options: options.chosen(),
        accept_loss: options.accept_loss.iter().copied().map(Into::into).collect(),
    })
}

/// A restore cannot stop the VM that it runs on, and an errand holds the lock of its own deployment.
pub fn refuse_own(config: &Config, deployment: &DeploymentName) -> Result<(), Failure> {
    if config.deployment.as_ref() != Some(deployment) {
        return Ok(());
    }
    let what = format!(
        "deployment {deployment} cannot be restored from its own VM: a restore stops its instances, and an errand holds the lock \
         that their stop needs"
    );
    Err(Failure::usage(what, "do it from a deployment of its own (manifests/remount.yml)"))
}

//! The errands: what `bosh run-errand` starts. They take no arguments, so what varies comes from requests in the
//! store and from the job's properties.

use jiff::Timestamp;
use remount_core::{DeploymentName, ExitCode, FORMAT, RestoreId};
use remount_flow::{BackupRequest, FlowContext, run_backup};
use remount_store::{RequestOutcome, RestoreRequest, Store};

use super::restore::{answer, carry_out, keep_note, refuse_own};
use super::{Output, opened};
use crate::arguments::Errand;
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Lines;

/// Runs an errand.
pub async fn run(config: &Config, errand: Errand, output: Output) -> Result<(), Failure> {
    match errand {
        Errand::Restore => restore(config, output).await,
        Errand::Backup => backup(config).await,
    }
}

/// Carries out every pending request, oldest first, then what the properties ask for. One that fails does not
/// keep the next from its chance: they are of different clusters.
async fn restore(config: &Config, output: Output) -> Result<(), Failure> {
    let context = opened(config)?;
    let mut wanted: Vec<(RestoreRequest, Origin)> = context
        .store
        .requests()
        .pending()
        .await?
        .into_iter()
        .map(|request| (request, Origin::Stored))
        .collect();
    wanted.extend(by_properties(config)?.map(|request| (request, Origin::Properties)));
    if wanted.is_empty() {
        println!("nothing to do: no request is pending and the properties `restore.*` ask for nothing");
        return Ok(());
    }
    let mut worst: Option<ExitCode> = None;
    for (request, origin) in wanted {
        let (id, deployment) = (request.id.clone(), request.deployment.clone());
        eprintln!("restore {id}: {deployment} to {}, asked for by {}", request.target, request.requested_by);
        let outcome = restore_one(config, &context, request, output).await;
        if let Err(failure) = &outcome {
            eprintln!("{}", failure.text());
            worst = worst.max(Some(failure.code()));
        }
        if origin == Origin::Stored {
            finish(&context.store, &id, &outcome).await?;
        }
    }
    worst.map_or(Ok(()), |code| Err(Failure::worst(code, "not every restore was carried out (see above)")))
}

/// Where a wish came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Stored,
    Properties,
}

async fn restore_one(
    config: &Config,
    context: &FlowContext,
    request: RestoreRequest,
    output: Output,
) -> Result<(), Failure> {
    refuse_own(config, &request.deployment)?;
    let report = carry_out(context, request).await?;
    answer(&report, output)?;
    keep_note(config);
    Ok(())
}

/// A request is over whatever came of it: it is never carried out twice by accident.
async fn finish(store: &Store, id: &RestoreId, outcome: &Result<(), Failure>) -> Result<(), Failure> {
    let (exit_code, message) = match outcome {
        Ok(()) => (ExitCode::Done as u8, "restored".to_owned()),
        Err(failure) => (failure.code() as u8, failure.text().to_owned()),
    };
    let outcome = RequestOutcome { format: FORMAT, at: Timestamp::now(), exit_code, message };
    Ok(store.requests().finish(id, &outcome).await?)
}

/// What the properties `restore.deployment` and `restore.target.*` ask for.
fn by_properties(config: &Config) -> Result<Option<RestoreRequest>, Failure> {
    let wish = &config.restore;
    if wish.deployment.is_empty() {
        return Ok(None);
    }
    let next = "set `restore.deployment` and one of `restore.target.*`";
    let deployment =
        DeploymentName::new(&wish.deployment).map_err(|error| Failure::usage(error.to_string(), next))?;
    let target =
        wish.target.clone().ok_or_else(|| Failure::usage("`restore.deployment` has no target", next))?;
    let now = Timestamp::now();
    Ok(Some(RestoreRequest {
        format: FORMAT,
        id: RestoreId::at(now, rand::random()),
        deployment,
        group: wish.group.clone(),
        target,
        requested_by: "the properties of the errand".into(),
        requested_at: now,
        on_failure: wish.on_failure,
    }))
}

/// Backs up every deployment of the properties; one that fails does not keep the next from its backup.
async fn backup(config: &Config) -> Result<(), Failure> {
    let context = opened(config)?;
    let deployments = match &config.backup.deployments[..] {
        [] => known_deployments(&context.store).await?,
        named => named.to_vec(),
    };
    let mut worst: Option<ExitCode> = None;
    for deployment in &deployments {
        eprintln!("backup of {deployment}");
        match run_backup(&context, &BackupRequest::of(deployment.clone()), &Lines::new()).await {
            Ok(manifest) => {
                println!(
                    "backup {} of {} is good, consistent at {}",
                    manifest.id, deployment, manifest.stopped_at
                );
            }
            Err(error) => {
                let failure = Failure::from(error);
                eprintln!("{}", failure.text());
                worst = worst.max(Some(failure.code()));
            }
        }
    }
    worst.map_or(Ok(()), |code| Err(Failure::worst(code, "not every backup was taken (see above)")))
}

/// Every cluster of which the store holds anything: one group to a deployment, as the store names them.
async fn known_deployments(store: &Store) -> Result<Vec<DeploymentName>, Failure> {
    let clusters = store.clusters().await?;
    if clusters.is_empty() {
        let next = "name the deployments in `backup.deployments`, or wait until a cluster has archived its first WAL";
        return Err(Failure::usage("the store knows no cluster, and `backup.deployments` is empty", next));
    }
    let names = clusters.iter().map(|cluster| DeploymentName::new(cluster.as_str()));
    names.collect::<Result<_, _>>().map_err(|error| Failure::usage(error.to_string(), "name the deployments"))
}

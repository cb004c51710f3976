//! The errands: what `bosh run-errand` starts. They take no arguments, so what varies comes from requests in
//! the store and from the job's properties. Every step is a line on standard output.

use jiff::Timestamp;
use remount_core::documents::FORMAT;
use remount_core::documents::RestoreRequest;
use remount_core::{DeploymentName, ExitCode, RestoreId};
use remount_flow::FlowContext;
use remount_store::Store;

use super::{Output, backup, pending, requests};
use crate::arguments::{Absent, Errand};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::message;
use crate::progress::Steps;

/// Who asks when the properties do.
const PROPERTIES: &str = "the properties of the errand";

/// Runs an errand.
pub async fn run(config: &Config, errand: Errand, output: Output) -> Result<(), Failure> {
    // With --json standard output is the answer's alone.
    let steps = if output == Output::Json { Steps::on_stderr() } else { Steps::on_stdout() };
    match errand {
        Errand::Restore => restore(config, &steps, output).await,
        Errand::Backup => backup::of_configuration(config, &steps, output).await,
        Errand::Absent(absent) => Err(not_configured(absent)),
    }
}

/// What this version does not do, whatever the properties are.
pub fn not_configured(errand: Absent) -> Failure {
    match errand {
        Absent::Drill => Failure::because(
            ExitCode::Usage,
            "the errand `drill` is not configured",
            "this version restores into no other deployment: nothing was restored, nothing is proved",
            "`remount plan --deployment NAME --to-latest` checks all that can be checked without touching anything",
        ),
        Absent::Prune => Failure::because(
            ExitCode::Usage,
            "the errand `prune` is not configured",
            "this version has no retention: all backups and their WAL are kept, nothing was deleted",
            "old disks of restores are another matter: `remount disks release --due`, which the errand `backup` does at its \
             end, too",
        ),
    }
}

/// Carries out every pending request, oldest first, and with them what the properties ask for. One that
/// fails does not keep the next from its chance, but a wish to stop does: the rest stays pending.
async fn restore(config: &Config, steps: &Steps, output: Output) -> Result<(), Failure> {
    let store = crate::context::open_store(config)?;
    ask_by_properties(config, &store).await?;
    let wanted = store.requests().pending().await?;
    if wanted.is_empty() {
        message!("nothing to do: no request is pending, and the properties `restore.*` ask for nothing");
        return Ok(());
    }
    let mut context: Option<FlowContext> = None;
    let mut worst = ExitCode::Done;
    let mut failed = 0;
    for (n, request) in wanted.iter().enumerate() {
        if context.as_ref().is_some_and(|context| context.cancellation.is_cancelled()) {
            let left = wanted.len() - n;
            message!("stopped: {left} requests stay pending (`remount requests`)");
            worst = worst.max(ExitCode::Unchanged);
            failed += left;
            break;
        }
        message!(
            "restore {}: {} to {}, asked for by {}",
            request.id,
            request.deployment,
            request.target,
            request.requested_by
        );
        let outcome = one(config, &mut context, request, steps, output).await;
        if let Err(failure) = pending::settle(&store, request, outcome).await {
            message!("{}", failure.text());
            worst = worst.max(failure.code());
            failed += 1;
        }
    }
    store.requests().prune().await?;
    match worst {
        ExitCode::Done => Ok(()),
        code => {
            Err(Failure::summary(code, format!("{failed} of {} restores were not carried out", wanted.len())))
        }
    }
}

/// The adapters are opened with the first request that may be carried out.
async fn one(
    config: &Config,
    context: &mut Option<FlowContext>,
    request: &RestoreRequest,
    steps: &Steps,
    output: Output,
) -> pending::Outcome {
    if let Err(refused) = requests::refuse_own(config, &request.deployment) {
        return pending::Outcome::Over(Err(refused));
    }
    let opened = match context.take() {
        Some(open) => open,
        None => match context::open(config) {
            Ok(open) => open,
            // A configuration that cannot work says nothing about the request.
            Err(failure) => return pending::Outcome::Open(failure),
        },
    };
    let outcome = pending::carry_out(&opened, request, steps, output).await;
    *context = Some(opened);
    outcome
}

/// Stores what the properties `restore.deployment` and `restore.target.*` ask for as a request, so that it is
/// found again when this process dies on the way. One that is pending already is not asked for twice.
async fn ask_by_properties(config: &Config, store: &Store) -> Result<(), Failure> {
    let wish = &config.errand.restore;
    let Some(target) = wish.target.clone().filter(|_| !wish.deployment.is_empty()) else {
        return Ok(());
    };
    let deployment = DeploymentName::new(&wish.deployment)
        .map_err(|error| Failure::usage(error.to_string(), "mend the property `restore.deployment`"))?;
    let asked = store.requests().pending().await?;
    let same = |request: &RestoreRequest| {
        request.requested_by == PROPERTIES
            && (&request.deployment, &request.group, &request.target) == (&deployment, &wish.group, &target)
    };
    if asked.iter().any(same) {
        return Ok(());
    }
    let now = Timestamp::now();
    let request = RestoreRequest {
        format: FORMAT,
        id: RestoreId::at(now, rand::random()),
        deployment,
        group: wish.group.clone(),
        target,
        requested_by: PROPERTIES.into(),
        requested_at: now,
        on_failure: wish.on_failure,
    };
    Ok(store.requests().put(&request).await?)
}

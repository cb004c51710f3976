//! The errands: what `bosh run-errand` starts. They take no arguments: what varies comes from requests in
//! the store and from the job's properties. Every step is a line on standard output.

use jiff::Timestamp;
use remount_core::documents::FORMAT;
use remount_core::documents::RestoreRequest;
use remount_core::{DeploymentName, ExitCode, RestoreId};
use remount_flow::FlowContext;
use remount_store::{PendingRequests, Store};

use super::{Output, backup, pending, requests};
use crate::arguments::{Errand, UnavailableErrand};
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
        Errand::Unavailable(errand) => Err(not_in_this_version(errand)),
    }
}

/// The failure of an errand that is not in this version.
pub fn not_in_this_version(errand: UnavailableErrand) -> Failure {
    match errand {
        UnavailableErrand::Drill => Failure::because(
            ExitCode::Usage,
            "the errand `drill` is not in this version",
            "this version cannot restore into another deployment: nothing was restored and nothing was tested",
            "`remount plan --deployment NAME --to-latest` runs all checks of a restore and changes nothing",
        ),
        UnavailableErrand::Prune => Failure::because(
            ExitCode::Usage,
            "the errand `prune` is not in this version",
            "this version has no retention: all backups and their WAL are kept, nothing was deleted",
            "to delete old disks of restores, run `remount disks release --due`; the errand `backup` does so at its end",
        ),
    }
}

/// Carries out every pending request, oldest first, and with them the one of the properties. It goes on after one that
/// failed; when the process is asked to stop, the rest stays pending.
async fn restore(config: &Config, steps: &Steps, output: Output) -> Result<(), Failure> {
    let store = crate::context::open_store(config)?;
    ask_by_properties(config, &store).await?;
    let PendingRequests { requests: wanted, unreadable } = store.requests().pending().await?;
    if wanted.is_empty() && unreadable.is_empty() {
        message!("nothing to do: no request is pending, and the properties `restore.*` name no restore");
        return Ok(());
    }
    let mut context: Option<FlowContext> = None;
    let mut worst = ExitCode::Done;
    let of = wanted.len() + unreadable.len();
    let mut failed = unreadable.len();
    for error in unreadable {
        // Passed over: whoever may write to the store could stop everybody's restores with one.
        let failure = Failure::from(error);
        message!("{}", failure.text());
        worst = worst.max(failure.code());
    }
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
        let outcome = one(config, &store, &mut context, request, steps, output).await;
        if let Err(failure) = pending::settle(&store, request, outcome).await {
            message!("{}", failure.text());
            worst = worst.max(failure.code());
            failed += 1;
        }
    }
    if let Err(error) = store.requests().prune().await {
        // The next run does it: what was restored is restored.
        message!("requests that ended long ago could not be deleted: {}", remount_core::with_causes(&error));
    }
    match worst {
        ExitCode::Done => Ok(()),
        code => Err(Failure::summary(code, format!("{failed} of {of} restores failed"))),
    }
}

/// The adapters are opened with the first request that may be carried out.
async fn one(
    config: &Config,
    store: &Store,
    context: &mut Option<FlowContext>,
    request: &RestoreRequest,
    steps: &Steps,
    output: Output,
) -> pending::Outcome {
    if let Err(refused) = requests::refuse_own(config, &request.deployment) {
        return pending::Outcome::Over(Err(refused));
    }
    if let Some(expired) = pending::if_expired(store, request).await {
        return expired;
    }
    let opened = match context.take() {
        Some(open) => open,
        None => match context::open(config) {
            Ok(open) => open,
            // The configuration is wrong, not the request.
            Err(failure) => return pending::Outcome::Open(failure),
        },
    };
    let outcome = pending::carry_out(&opened, request, steps, output).await;
    *context = Some(opened);
    outcome
}

/// Stores the restore of the properties `restore.deployment` and `restore.target.*` as a request, so that the next run
/// finds it if this process dies. One that is pending already is not stored twice.
async fn ask_by_properties(config: &Config, store: &Store) -> Result<(), Failure> {
    let options = &config.errand.restore;
    let Some(target) = options.target.clone().filter(|_| !options.deployment.is_empty()) else {
        return Ok(());
    };
    let deployment = DeploymentName::new(&options.deployment).map_err(|error| {
        Failure::usage(error.to_string(), "fix the property `restore.deployment` and redeploy")
    })?;
    let now = Timestamp::now();
    let request = RestoreRequest {
        format: FORMAT,
        id: RestoreId::at(now, rand::random()),
        deployment,
        group: options.group.clone(),
        target,
        requested_by: PROPERTIES.into(),
        requested_at: now,
        pause: options.pause,
        on_failure: options.on_failure,
        options: remount_core::documents::RestoreOptions { verify: options.verify, reindex: options.reindex },
        accept_loss: options.accept_loss.clone(),
    };
    let asked = store.requests().pending().await?.requests;
    let mine = |asked: &&RestoreRequest| {
        asked.requested_by == PROPERTIES
            && (&asked.deployment, &asked.group) == (&request.deployment, &request.group)
    };
    for asked in asked.iter().filter(mine) {
        if is_the_same(asked, &request) {
            return Ok(());
        }
        if !pending::replace(store, asked).await? && asked.target == request.target {
            // Once more to the same target would take away what was written since.
            message!(
                "request {} was begun before the properties changed: it goes on as it was asked for",
                asked.id
            );
            return Ok(());
        }
    }
    Ok(store.requests().put(&request).await?)
}

/// Whether both ask for the same. Only id and time may differ: a pipeline that pauses does not mean the one that did not.
fn is_the_same(asked: &RestoreRequest, wanted: &RestoreRequest) -> bool {
    let RestoreRequest { id, requested_at, .. } = asked.clone();
    *asked == RestoreRequest { id, requested_at, ..wanted.clone() }
}

//! One pending request: carried out, or continued where another process died, and recorded.
//!
//! | journal of the request's restore | what is done |
//! |---|---|
//! | none | the restore is run |
//! | ends in a step | its driver died: continued when the dead driver's lease has ended |
//! | `held`, `stuck` | nothing: a person decides (`remount resume` or `remount rollback`) |
//! | `paused` | nothing: a person who has looked decides (`remount restore accept`, `forward` or `give-up`) |
//! | `finished` | nothing: only the record was missing |
//!
//! A request expires a day after it was asked for, by the time that is signed: on a shared file system a database VM can
//! put back one that was carried out, without its record, its plan or the end of its journal. What was begun and is
//! older, a person goes on with.
//!
//! A request that was begun is over, whatever its outcome, and never carried out a second time: the cluster
//! may have been restored to another point by then. One that was not begun because the process was asked to
//! stop, or because another process holds the cluster's lease, stays pending.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use log::warn;
use remount_core::documents::FORMAT;
use remount_core::documents::{RequestOutcome, RestoreRequest};
use remount_core::{ClusterName, ExitCode};
use remount_flow::{
    FlowContext, FlowError, RestorePhase, RestoreState, RestoreStep, resume_restore, run_restore,
};
use remount_store::Store;

use super::restore::print_report;
use super::{Output, cluster_name};
use crate::failure::Failure;
use crate::output::message;
use crate::progress::Steps;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It ended.
    Over(Result<(), Failure>),
    /// It stands at its target for a person to look, as was asked for: what is left to do is that person's.
    Paused,
    /// It stays pending, or another process goes on with it.
    Open(Failure),
}

/// A dead driver's lease has ended after this many terms.
const TERMS: u32 = 3;

/// Carries a request out.
pub async fn carry_out(
    context: &FlowContext,
    request: &RestoreRequest,
    steps: &Steps,
    output: Output,
) -> Outcome {
    let id = &request.id;
    let state = match state_of(&context.store, request).await {
        Ok(state) => state,
        Err(failure) => return Outcome::Open(failure),
    };
    let result = match state {
        None => run_restore(context, request.clone(), request.on_failure, steps).await,
        Some(state) => match (state.phase, state.waiting_state()) {
            (RestorePhase::Restored, _) => return Outcome::Over(Ok(())),
            (RestorePhase::Undone | RestorePhase::RolledBack, _) => {
                let what = format!("restore {id} was rolled back already");
                let next = format!("`remount journal {id}`");
                return Outcome::Over(Err(Failure::with(ExitCode::Undone, what, next)));
            }
            _ if state.is_paused() => {
                message!(
                    "restore {id} is paused since an earlier run: `remount journal {id}` shows what to do next"
                );
                return Outcome::Paused;
            }
            (_, Some(how)) => {
                let what = format!("restore {id} is {how} since an earlier run");
                let next = format!("`remount journal {id}` shows the reason and what to do next");
                return Outcome::Over(Err(Failure::with(ExitCode::Stuck, what, next)));
            }
            (RestorePhase::NotBegun | RestorePhase::Unfinished, None) => go_on(context, request, steps).await,
        },
    };
    match result {
        Ok(report) => match print_report(&report, output) {
            Ok(()) if report.paused.is_some() => Outcome::Paused,
            answered => Outcome::Over(answered),
        },
        Err(error) => after(error, context.cancellation.is_cancelled()),
    }
}

/// What becomes of a request whose time is over; none where it may be carried out, or only its record is missing.
pub async fn if_expired(store: &Store, request: &RestoreRequest) -> Option<Outcome> {
    let state = match state_of(store, request).await {
        Ok(state) => state,
        Err(failure) => return Some(Outcome::Open(failure)),
    };
    let is_open = state.as_ref().is_none_or(|state| {
        let is_open = matches!(state.phase, RestorePhase::NotBegun | RestorePhase::Unfinished);
        is_open && state.waiting_state().is_none()
    });
    let expired = expired(request, state.is_some(), Timestamp::now()).filter(|_| is_open)?;
    Some(Outcome::Over(Err(expired)))
}

/// Why a request is not carried out any more; none where its time is not over.
fn expired(request: &RestoreRequest, is_planned: bool, now: Timestamp) -> Option<Failure> {
    let RestoreRequest { id, deployment, requested_at, .. } = request;
    let age = now.duration_since(*requested_at);
    let why = if age > LIFE {
        format!("more than {} h ago", LIFE.as_hours())
    } else if age < -SKEW {
        format!("later than now, {now}: a clock is wrong")
    } else {
        return None;
    };
    let what = format!(
        "request {id}, to restore {deployment}, was asked for at {requested_at}, {why}: it is not carried out"
    );
    if is_planned {
        let next = format!(
            "look at it with `remount journal {id}`; then `remount resume {id}` or `remount rollback {id}`"
        );
        return Some(Failure::with(ExitCode::Stuck, what, next));
    }
    let next = "where it is still wanted, ask again: `remount restore request …`";
    Some(Failure::with(ExitCode::Unchanged, what, next))
}

/// So long a request is good for.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// So far the clocks of who asks and who carries out may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Ends a request of the errand's properties, as they ask for something else now; whether it could: one that was begun is
/// continued, or a person decides.
pub async fn replace(store: &Store, request: &RestoreRequest) -> Result<bool, Failure> {
    if state_of(store, request).await?.is_some() {
        return Ok(false);
    }
    let id = &request.id;
    let what = format!("request {id} was replaced: the properties of the errand have changed since");
    message!("{what}");
    record(store, request, ExitCode::Unchanged, what).await?;
    Ok(true)
}

/// Records how a request ended.
pub async fn settle(store: &Store, request: &RestoreRequest, outcome: Outcome) -> Result<(), Failure> {
    let (done, result) = match outcome {
        Outcome::Open(failure) => return Err(failure),
        Outcome::Over(result) => ("restored", result),
        Outcome::Paused => ("paused at its target", Ok(())),
    };
    let (code, message) = match &result {
        Ok(()) => (ExitCode::Done, done.to_owned()),
        Err(failure) => (failure.code(), failure.text().to_owned()),
    };
    record(store, request, code, message).await?;
    result
}

async fn record(
    store: &Store,
    request: &RestoreRequest,
    code: ExitCode,
    message: String,
) -> Result<(), Failure> {
    let record = RequestOutcome { format: FORMAT, at: Timestamp::now(), exit_code: code as u8, message };
    match store.requests().finish(&request.id, &record).await {
        // Another process was faster; the first record stays.
        Err(remount_store::Error::Conflict { .. }) => {
            warn!(request = request.id.as_str(); "the request's outcome had been recorded already");
            Ok(())
        }
        recorded => Ok(recorded?),
    }
}

fn after(error: FlowError, asked_to_stop: bool) -> Outcome {
    match error {
        // A call that was being tried again when the wish to stop came ends with its own error.
        error if asked_to_stop && error.exit_code() == ExitCode::Unchanged => Outcome::Open(error.into()),
        // Nothing was begun: it is tried again with the next run. Taken over, or leased to another process, which
        // may be carrying out this very request: that one records it.
        FlowError::Cancelled { .. }
        | FlowError::WaitCancelled { .. }
        | FlowError::Interrupted { .. }
        | FlowError::TakenOver { .. }
        | FlowError::Store { source: remount_store::Error::Leased { .. }, .. } => Outcome::Open(error.into()),
        error => Outcome::Over(Err(error.into())),
    }
}

/// Where the request's restore is; none where it was never planned.
async fn state_of(store: &Store, request: &RestoreRequest) -> Result<Option<RestoreState>, Failure> {
    let cluster = store.cluster(&cluster_name(&request.deployment, request.group.as_ref())?);
    if cluster.plan(&request.id).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(RestoreState::read(&cluster, &request.id).await?))
}

/// Continues what a dead driver began. Its lease ends by itself; a living driver keeps it.
async fn go_on(
    context: &FlowContext,
    request: &RestoreRequest,
    steps: &Steps,
) -> Result<remount_flow::RestoreReport, FlowError> {
    let cluster = ClusterName::of(&request.deployment, request.group.as_ref())
        .map_err(|error| FlowError::Usage(error.to_string()))?;
    let deadline = Instant::now() + context.timeouts.lease_term * TERMS;
    message!("restore {} was begun by an earlier run: continuing it", request.id);
    loop {
        let outcome = resume_restore(context, &cluster, &request.id, request.on_failure, steps).await;
        match outcome {
            Err(FlowError::Store { source: remount_store::Error::Leased { owner, .. }, .. })
                if Instant::now() < deadline && !context.cancellation.is_cancelled() =>
            {
                message!("waiting for the lease of {owner} to end");
                let pause = tokio::time::sleep(context.timeouts.lease_term / 6);
                context.cancellation.run_until_cancelled(pause).await;
            }
            // A living driver, here or elsewhere: its run records the outcome.
            Err(FlowError::Store { source: source @ remount_store::Error::Leased { .. }, .. }) => {
                let source =
                    Box::new(FlowError::Store { action: format!("cluster {cluster} is in use"), source });
                let (restore, step) = (request.id.clone(), RestoreStep::Begin);
                return Err(FlowError::TakenOver { restore, step, source });
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_good_for_a_day() {
        let request: RestoreRequest = serde_json::from_value(serde_json::json!({
            "format": 1, "id": "20261123T101700Z-0abc", "deployment": "pg-0001", "target": {"target": "latest"},
            "requested_at": "2026-11-23T10:17:00Z",
        }))
        .unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for good in ["2026-11-23T10:02:00Z", "2026-11-23T10:17:00Z", "2026-11-24T10:17:00Z"] {
            assert!(expired(&request, false, at(good)).is_none(), "{good}");
        }
        let late = expired(&request, false, at("2026-11-24T10:17:01Z")).unwrap();
        assert!(late.code() == ExitCode::Unchanged && late.text().contains("ask again"), "{}", late.text());
        let begun = expired(&request, true, at("2026-11-24T10:17:01Z")).unwrap();
        assert!(
            begun.code() == ExitCode::Stuck && begun.text().contains("remount resume"),
            "{}",
            begun.text()
        );
        let early = expired(&request, false, at("2026-11-23T10:01:59Z")).unwrap();
        assert!(early.text().contains("a clock is wrong"), "{}", early.text());
    }

    #[test]
    fn what_another_process_keeps_from_beginning_stays_pending() {
        let leased = remount_store::Error::Leased {
            cluster: "pg-0001".into(),
            owner: "remount on vm, process 7".into(),
            purpose: "restore".into(),
            since: Timestamp::UNIX_EPOCH,
            ends_at: Timestamp::UNIX_EPOCH,
            epoch: 3,
        };
        let error = FlowError::Store { action: "take the lease".into(), source: leased };
        let Outcome::Open(failure) = after(error, false) else {
            panic!("the request was recorded as failed")
        };
        assert_eq!(failure.code(), ExitCode::Unchanged);
        assert!(failure.text().contains("process 7"), "{}", failure.text());
    }

    #[test]
    fn a_call_that_the_wish_to_stop_has_cut_leaves_the_request_pending() {
        let cut = || {
            let source = "connection refused".into();
            let source = remount_store::Error::Unanswered { action: "read the plan".into(), source };
            FlowError::Store { action: "plan".into(), source }
        };
        assert!(matches!(after(cut(), true), Outcome::Open(_)));
        assert!(matches!(after(cut(), false), Outcome::Over(Err(_))));
    }
}

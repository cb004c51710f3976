//! `remount journal`: what a restore did. An event of a later version is shown as `unknown`.

use jiff::Timestamp;
use remount_core::RestoreId;
use remount_core::documents::{JournalEvent, Outcome, What};
use remount_flow::{FlowError, OldDiskRetention, RestoreState, read_report};
use remount_store::{ClusterStore, LeaseHolder, Store};
use serde_json::{Value, json};

use super::restore::downtime;
use super::table::{duration, table};
use super::{Output, cluster_name, cluster_with, print_json};
use crate::arguments::ClusterFilter;
use crate::failure::Failure;
use crate::output::output;

/// Shows a restore's journal; the newest one's without an id.
pub async fn show(
    store: &Store,
    filter: &ClusterFilter,
    restore: Option<RestoreId>,
    old_disks: OldDiskRetention,
    output: Output,
) -> Result<(), Failure> {
    let (cluster, id) = match restore {
        Some(id) => (cluster_with(store, &id, filter).await?, id),
        None => newest(store, filter).await?,
    };
    let (plan, events) = (cluster.plan(&id).await?, cluster.journal(&id).await?);
    let holder = cluster.lease_holder().await?;
    let report = match &plan {
        // The events are shown also where this version cannot make a report of them.
        Some(plan) if is_restored(&events) => match read_report(&cluster, plan.clone()).await {
            Err(FlowError::Journal { .. }) => None,
            report => Some(report?),
        },
        _ => None,
    };
    let out_since = out_since(&id, &events);
    if output == Output::Json {
        return print_json(&json!({
            "restore": id, "cluster": cluster.name(), "plan": plan, "events": events, "report": report,
            "lease": holder.as_ref().map(lease_json),
            "director_deletes_old_disks_at": out_since.and_then(|since| old_disks.director_deletes_at(since)),
        }));
    }
    output!("restore  {id} of cluster {}", cluster.name());
    if let Some(plan) = &plan {
        output!("to       {}, from backup {}", plan.target, plan.path.backup);
        output!("asked    by {}", plan.requested_by);
    }
    output!("state    {}", state(&events, holder.as_ref()));
    if let Some(report) = &report {
        output!("downtime {}", downtime(report));
    }
    output!("\n{}", listing(&events));
    for line in next_steps(&events) {
        output!(" next: {line}");
    }
    if let Some(since) = out_since {
        output!(" limit: end it while the old disks are there: {}", old_disks.told(since));
    }
    Ok(())
}

/// Since when the old disks of a restore that has not ended are the Director's orphans. A journal that this version
/// cannot follow says nothing of it.
fn out_since(id: &RestoreId, events: &[JournalEvent]) -> Option<Timestamp> {
    RestoreState::of(id, events.to_vec()).ok()?.swapped_since()
}

async fn newest(store: &Store, filter: &ClusterFilter) -> Result<(ClusterStore, RestoreId), Failure> {
    let newest = match &filter.deployment {
        None => store.newest_restore().await?,
        Some(deployment) => {
            let cluster = store.cluster(&cluster_name(deployment, filter.group.as_ref())?);
            cluster.restores().await?.into_iter().max().map(|id| (cluster, id))
        }
    };
    newest.ok_or_else(|| Failure::missing("there is no restore", "`remount list` shows the backups"))
}

/// The outcome that a journal ends with.
fn outcome(events: &[JournalEvent]) -> Option<Outcome> {
    match events.last()?.what {
        What::Finished { outcome } => Some(outcome),
        _ => None,
    }
}

fn is_restored(events: &[JournalEvent]) -> bool {
    outcome(events) == Some(Outcome::Completed)
}

/// The state of the restore, in a few words.
fn state(events: &[JournalEvent], holder: Option<&LeaseHolder>) -> String {
    let driver = match holder {
        Some(holder) if !holder.expired => {
            format!("; {} holds the lease since {}", holder.owner, holder.since)
        }
        Some(holder) => format!("; {} has been silent since {}", holder.owner, holder.last_beat),
        None => String::new(),
    };
    let Some(last) = events.last() else {
        return format!("planned, no step begun{driver}");
    };
    match &last.what {
        What::Finished { outcome: Outcome::Completed } => "restored".into(),
        What::Finished { outcome } => outcome.to_string(),
        What::Held { step, .. } => format!("held at step `{step}`{driver}"),
        What::Paused { .. } => format!("paused at its target, in recovery: nobody can write{driver}"),
        What::Stuck { step, .. } => format!("STUCK at step `{step}`: an operator is needed{driver}"),
        What::Begun { .. } => format!("begun, no step yet{driver}"),
        What::PutAside { .. } => format!("being rolled back, its disks kept{driver}"),
        What::Unknown => format!("run by a later version of Remount: read it with that version{driver}"),
        what => format!("at step `{}`{driver}", what.step().unwrap_or_default()),
    }
}

/// What an operator can do with a restore that is held or stuck.
fn next_steps(events: &[JournalEvent]) -> &[String] {
    match events.last().map(|last| &last.what) {
        Some(What::Held { next, .. } | What::Stuck { next, .. } | What::Paused { next, .. }) => next,
        _ => &[],
    }
}

fn listing(events: &[JournalEvent]) -> String {
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&["N", "AT", "STEP", "EVENT", "DETAIL"], &rows)
}

fn row(event: &JournalEvent) -> Vec<String> {
    vec![
        event.n.to_string(),
        event.at.strftime("%m-%d %H:%M:%SZ").to_string(),
        event.what.step().unwrap_or_default().to_owned(),
        event.what.name().to_owned(),
        detail(&event.what),
    ]
}

fn detail(what: &What) -> String {
    match what {
        What::Done { times, .. } if times.seconds < 10.0 => format!("{:.2} s", times.seconds),
        What::Done { times, .. } => duration(times.seconds),
        What::Failed { error, .. }
        | What::UndoFailed { error, .. }
        | What::Held { error, .. }
        | What::Stuck { error, .. } => error.replace('\n', " "),
        What::Finished { outcome: Outcome::Completed } => "restored".into(),
        What::Finished { outcome } => outcome.to_string(),
        What::Unknown => "of a later version".into(),
        What::Reopened { why, .. } => why.clone(),
        What::PutAside { reason } => format!("the restored disks are kept: {reason}"),
        What::Paused { .. } => "before it, for somebody to look".into(),
        What::Begun { .. } | What::Intended { .. } | What::UndoIntended { .. } | What::Undone { .. } => {
            String::new()
        }
    }
}

fn lease_json(holder: &LeaseHolder) -> Value {
    json!({
        "epoch": holder.epoch, "owner": holder.owner, "purpose": holder.purpose, "since": holder.since,
        "last_beat": holder.last_beat, "expired": holder.expired,
    })
}

//! `remount journal`: what a restore did. Journals may be of a newer version: what is not known is shown as
//! it is.

use remount_core::RestoreId;
use remount_flow::read_report;
use remount_store::{ClusterStore, LeaseHolder, Store};
use serde_json::{Value, json};

use super::table::{duration, table};
use super::{Output, cluster_with, clusters, print_json};
use crate::arguments::ClusterFilter;
use crate::context::PATIENCE;
use crate::failure::Failure;
use crate::say::answer;

/// Shows a restore's journal; the newest one's without an id.
pub async fn show(
    store: &Store,
    filter: &ClusterFilter,
    restore: Option<RestoreId>,
    output: Output,
) -> Result<(), Failure> {
    let (cluster, id) = match restore {
        Some(id) => (cluster_with(store, &id).await?, id),
        None => newest(store, filter).await?,
    };
    let (plan, events) = (cluster.plan(&id).await?, cluster.journal(&id).await?);
    let holder = cluster.lease_holder().await?;
    let report = match &plan {
        Some(plan) if state(&events, None) == "restored" => {
            Some(read_report(&cluster, plan.clone(), PATIENCE).await?)
        }
        _ => None,
    };
    if output == Output::Json {
        return print_json(&json!({
            "restore": id, "cluster": cluster.name(), "plan": plan, "events": events, "report": report,
            "lease": holder.as_ref().map(lease_json),
        }));
    }
    answer!("restore  {id} of cluster {}", cluster.name());
    if let Some(plan) = &plan {
        answer!("to       {}, from backup {}", plan.target, plan.path.backup);
        answer!("asked    by {}", plan.requested_by);
    }
    answer!("state    {}\n\n{}", state(&events, holder.as_ref()), listing(&events));
    for line in ways_on(&events) {
        answer!(" next: {line}");
    }
    Ok(())
}

async fn newest(store: &Store, filter: &ClusterFilter) -> Result<(ClusterStore, RestoreId), Failure> {
    let mut newest: Option<(ClusterStore, RestoreId)> = None;
    for cluster in clusters(store, filter).await? {
        let last = cluster.restores().await?.into_iter().max();
        if let Some(id) = last.filter(|id| newest.as_ref().is_none_or(|(_, known)| id > known)) {
            newest = Some((cluster, id));
        }
    }
    newest.ok_or_else(|| Failure::missing("nothing was ever restored", "`remount list` shows what there is"))
}

/// Where the restore is, in a word or two.
fn state(events: &[Value], holder: Option<&LeaseHolder>) -> String {
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
    match text(last, "event") {
        "finished" => last.pointer("/detail/outcome").and_then(Value::as_str).unwrap_or("ended").to_owned(),
        "held" => format!("held at step `{}`{driver}", text(last, "step")),
        "stuck" => format!("STUCK at step `{}`: an operator is needed{driver}", text(last, "step")),
        _ => format!("at step `{}`{driver}", text(last, "step")),
    }
}

/// The commands that a restore which stands still left behind.
fn ways_on(events: &[Value]) -> Vec<&str> {
    let commands = events.last().and_then(|last| last.pointer("/detail/next")).and_then(Value::as_array);
    commands.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn listing(events: &[Value]) -> String {
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&["N", "AT", "STEP", "EVENT", "DETAIL"], &rows)
}

fn row(event: &Value) -> Vec<String> {
    let at = text(event, "at");
    let shown = at
        .parse()
        .map_or_else(|_| at.to_owned(), |time: jiff::Timestamp| time.strftime("%m-%d %H:%M:%SZ").to_string());
    vec![
        event.get("n").map(Value::to_string).unwrap_or_default(),
        shown,
        text(event, "step").to_owned(),
        text(event, "event").to_owned(),
        detail(event),
    ]
}

fn detail(event: &Value) -> String {
    let Some(detail) = event.get("detail") else {
        return String::new();
    };
    if let Some(error) = detail.get("error").and_then(Value::as_str) {
        return error.replace('\n', " ");
    }
    if let Some(seconds) = detail.get("seconds").and_then(Value::as_f64) {
        return if seconds < 10.0 { format!("{seconds:.2} s") } else { duration(seconds) };
    }
    detail.get("outcome").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn lease_json(holder: &LeaseHolder) -> Value {
    json!({
        "epoch": holder.epoch, "owner": holder.owner, "purpose": holder.purpose, "since": holder.since,
        "last_beat": holder.last_beat, "expired": holder.expired,
    })
}

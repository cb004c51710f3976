//! `remount journal`: what a restore did.

use std::time::Duration;

use jiff::Timestamp;
use remount_core::RestoreId;
use remount_flow::read_report;
use remount_store::ClusterStore;
use serde_json::{Value, json};

use super::restore::description;
use super::{Output, print_json};
use crate::failure::Failure;

/// The store's passing troubles are waited out for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows a restore's journal; the newest one's without an id.
pub async fn show(cluster: &ClusterStore, restore: Option<RestoreId>, output: Output) -> Result<(), Failure> {
    let id = chosen(cluster, restore).await?;
    let (plan, events) = (cluster.plan(&id).await?, cluster.journal(&id).await?);
    if plan.is_none() && events.is_empty() {
        let what = format!("cluster {} has no restore {id}", cluster.name());
        return Err(Failure::missing(what, "leave the id away for the newest one"));
    }
    let report = match &plan {
        Some(plan) if restored(&events) => Some(read_report(cluster, plan.clone(), PATIENCE).await?),
        _ => None,
    };
    if output == Output::Json {
        return print_json(&json!({"restore": id, "plan": plan, "events": events, "report": report}));
    }
    if let Some(plan) = plan {
        println!("restore {id} of {} to {}", plan.deployment, plan.target);
    }
    events.iter().for_each(|event| println!("{}", line(event)));
    if let Some(report) = report {
        println!("{}", description(&report));
    }
    if let Some(holder) = cluster.lease_holder().await? {
        println!("the cluster's lease: {} for {} since {}", holder.owner, holder.purpose, holder.since);
    }
    Ok(())
}

async fn chosen(cluster: &ClusterStore, restore: Option<RestoreId>) -> Result<RestoreId, Failure> {
    if let Some(id) = restore {
        return Ok(id);
    }
    cluster.restores().await?.into_iter().max().ok_or_else(|| {
        let what = format!("cluster {} was never restored", cluster.name());
        Failure::missing(what, "look at the names with `remount list`")
    })
}

/// Whether it ended with the restored cluster.
fn restored(events: &[Value]) -> bool {
    events
        .last()
        .is_some_and(|event| event["event"] == "finished" && event["detail"]["outcome"] == "restored")
}

fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let n = event["n"].as_u64().unwrap_or_default();
    let (at, said) = (to_the_millisecond(text("at")), detail(&event["detail"]));
    format!("{n:>4}  {at}  {:<14} {:<14} {said}", text("step"), text("event")).trim_end().to_owned()
}

fn to_the_millisecond(at: &str) -> String {
    let shown = at.parse::<Timestamp>().map(|time| time.strftime("%Y-%m-%d %H:%M:%S.%3fZ").to_string());
    shown.unwrap_or_else(|_| at.to_owned())
}

/// What an event says: how long it took, what came of it, why it failed.
fn detail(detail: &Value) -> String {
    if let Some(text) = detail.as_str() {
        return text.to_owned();
    }
    let seconds = detail["seconds"].as_f64().map(|seconds| format!("{seconds:.2} s"));
    let said = ["error", "outcome", "reason"].iter().find_map(|key| match &detail[key] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    [seconds, said].into_iter().flatten().collect::<Vec<_>>().join("  ")
}

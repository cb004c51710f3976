//! `remount journal`: what a restore did.

use remount_core::RestoreId;
use remount_store::ClusterStore;
use serde_json::{Value, json};

use super::{Output, print_json};
use crate::failure::Failure;

/// Shows a restore's journal; the newest one's without an id.
pub async fn show(cluster: &ClusterStore, restore: Option<RestoreId>, output: Output) -> Result<(), Failure> {
    let restores = cluster.restores().await?;
    let Some(id) = restore.or_else(|| restores.into_iter().max()) else {
        return Err(Failure::missing(
            format!("cluster {} was never restored", cluster.name()),
            "look at the names with `remount list`",
        ));
    };
    let (plan, events) = (cluster.plan(&id).await?, cluster.journal(&id).await?);
    if plan.is_none() && events.is_empty() {
        return Err(Failure::missing(
            format!("cluster {} has no restore {id}", cluster.name()),
            "leave the id away for the newest one",
        ));
    }
    if output == Output::Json {
        // The last event of a restore that ended well carries its report.
        let report =
            events.iter().rev().find_map(|event| event.get("report").filter(|report| !report.is_null()));
        return print_json(&json!({"restore": id, "plan": plan, "events": events, "report": report}));
    }
    if let Some(plan) = plan {
        println!("restore {id} of {} to {}", plan.deployment, plan.target);
    }
    events.iter().for_each(|event| println!("{}", line(event)));
    if let Some(holder) = cluster.lease_holder().await? {
        println!("the lease is held: {holder:?}");
    }
    Ok(())
}

fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let n = event["n"].as_u64().unwrap_or_default();
    let detail = event["detail"].as_str().map_or_else(String::new, |detail| format!("  {detail}"));
    format!("{n:>4}  {}  {:<18} {:<14}{detail}", text("at"), text("step"), text("event"))
}

//! `remount plan`: what a restore would do, and whether it could.

use jiff::Timestamp;
use remount_core::{FORMAT, RestoreId, RestorePlan};
use remount_flow::{FlowContext, PreflightReport, plan_restore};
use remount_store::{OnFailure, RestoreRequest};
use serde_json::json;

use super::{Output, print_json};
use crate::arguments::ClusterArguments;
use crate::failure::Failure;
use crate::target::TargetArguments;

/// Plans and checks; nothing is touched.
pub async fn run(
    context: &FlowContext,
    cluster: &ClusterArguments,
    target: &TargetArguments,
    output: Output,
) -> Result<(), Failure> {
    dry_run(context, &request_for(cluster, target, OnFailure::Rollback), output).await
}

/// Plans and checks what a request asks for.
pub async fn dry_run(context: &FlowContext, request: &RestoreRequest, output: Output) -> Result<(), Failure> {
    let (plan, preflight) = plan_restore(context, request).await?;
    match output {
        Output::Json => print_json(&json!({"plan": plan, "preflight": preflight})),
        Output::Text => {
            println!("{}", description(&plan, &preflight));
            Ok(())
        }
    }
}

/// The request that these arguments make, asked for now by whoever runs this.
pub fn request_for(
    cluster: &ClusterArguments,
    target: &TargetArguments,
    on_failure: OnFailure,
) -> RestoreRequest {
    let now = Timestamp::now();
    RestoreRequest {
        format: FORMAT,
        id: RestoreId::at(now, rand::random()),
        deployment: cluster.deployment.clone(),
        group: cluster.group.clone(),
        target: target.target(),
        requested_by: std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| "root".into()),
        requested_at: now,
        on_failure,
    }
}

fn description(plan: &RestorePlan, preflight: &PreflightReport) -> String {
    let path = &plan.path;
    let mut lines = vec![
        format!("restore {} to {}", plan.deployment, plan.target),
        format!("  from backup   {} (snapshot {})", path.backup, path.snapshot),
        format!("  timelines     {}, then {}", path.history, path.new_timeline),
        format!("  WAL           {} to {}", path.segments.0, path.segments.1),
        format!("  replay        from {}, consistent at {}", path.start_lsn, path.consistent_lsn),
    ];
    for planned in &plan.instances {
        let old = planned.old_disk.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let zone = planned.az.as_deref().unwrap_or("no zone");
        lines.push(format!(
            "  {:<13} {} in {zone}, its disk now: {old}",
            planned.role.to_string(),
            planned.instance
        ));
    }
    let basis = &preflight.estimate_basis;
    lines.push(format!("  downtime      about {:.0} s ({basis})", preflight.estimate_seconds));
    lines.extend(preflight.checks.iter().map(|check| format!("  ok            {check}")));
    lines.extend(preflight.warnings.iter().map(|warning| format!("  warning       {warning}")));
    lines.push("nothing was touched".into());
    lines.join("\n")
}

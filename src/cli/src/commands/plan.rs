//! `remount plan`: what a restore would do, and whether it can.

use remount_core::documents::RestorePlan;
use remount_flow::{PreflightReport, plan_restore};
use serde_json::json;

use super::table::{bytes, duration, sheet};
use super::{Output, print_json, requests};
use crate::arguments::RestoreOptions;
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::{message, output};

/// Plans and checks; nothing is changed.
pub async fn run(config: &Config, options: &RestoreOptions, output: Output) -> Result<(), Failure> {
    let request = requests::from(options)?;
    requests::refuse_own(config, &request.deployment)?;
    let (plan, preflight) = plan_restore(&context::open(config)?, &request).await?;
    match output {
        Output::Json => print_json(&json!({"plan": plan, "preflight": preflight}))?,
        Output::Text => output!("{}", description(&plan, &preflight)),
    }
    message!("nothing was changed");
    Ok(())
}

fn description(plan: &RestorePlan, preflight: &PreflightReport) -> String {
    let path = &plan.path;
    let mut lines = vec![
        ("restore", plan.cluster.to_string()),
        ("to", plan.target.to_string()),
        ("from backup", path.backup.to_string()),
        ("snapshot", path.snapshot.to_string()),
        ("timelines", format!("{}, then {} (new)", path.history, path.new_timeline)),
        ("replay", format!("from {}, consistent at {}", path.start_lsn, path.consistent_lsn)),
        ("WAL", format!("{} to {}", path.segments.0, path.segments.1)),
    ];
    for planned in &plan.instances {
        let zone = planned.new_disk.zone.as_deref().unwrap_or("no zone");
        let size = bytes(planned.new_disk.size_mib << 20);
        let role =
            if plan.primary().is_some_and(|primary| primary == planned) { "primary" } else { "standby" };
        let old = planned.old_disk.as_ref().map_or_else(|| "no disk".into(), |disk| format!("disk {disk}"));
        let runs = if planned.was_running { "" } else { ", not running" };
        lines.push((role, planned.instance.to_string()));
        lines.push(("", format!("gets {size} in {zone} for {old}{runs}")));
    }
    lines.push(("downtime", format!("about {}", duration(preflight.estimate_seconds))));
    if !preflight.estimate_basis.is_empty() {
        lines.push(("", preflight.estimate_basis.clone()));
    }
    lines.extend(preflight.checks.iter().map(|check| ("ok", check.clone())));
    lines.extend(preflight.warnings.iter().map(|warning| ("warning", warning.clone())));
    sheet(&lines)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value};

    use super::*;

    fn plan() -> RestorePlan {
        let instance = |n: u8, role: &str, running: bool| {
            json!({"instance": {"group": "postgres", "id": format!("0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6{n}")},
                   "role": role, "old_disk": format!("disk-{n}"),
                   "new_disk": {"zone": "z1", "size_mib": 10240},
                   "was_running": running})
        };
        let document: Value = json!({
            "format": 1, "id": "20261123T101700Z-0abc", "cluster": "pg-0001", "deployment": "pg-0001",
            "created_at": "2026-11-23T10:17:00Z",
            "target": {"target": {"time": "2026-11-23T10:15:00Z"}},
            "path": {
                "backup": "20261123T004500Z-k3f9", "snapshot": "snap-1", "system_identifier": "7",
                "segment_size": 16_777_216, "history": {"timeline": 1, "forks": []}, "new_timeline": 2,
                "start_lsn": "0/2000028", "consistent_lsn": "0/2000100", "minimum_lsn": "0/2000100",
                "segments": ["000000010000000000000002", "000000010000000000000005"],
            },
            "backup_label": "", "tool_version": "0.1.0", "keep_old_disks_hours": 24,
            "instances": [instance(1, "primary", true), instance(2, "standby", false)],
        });
        from_value(document).unwrap()
    }

    #[test]
    fn a_plan_fits_a_terminal_and_names_every_disk() {
        let preflight = PreflightReport {
            checks: vec!["the snapshot is complete".into()],
            warnings: vec!["no standby runs".into()],
            estimate_seconds: 42.0,
            estimate_basis: "4 WAL segments to replay".into(),
        };
        let shown = description(&plan(), &preflight);
        let expected = "\
restore      pg-0001
to           time 2026-11-23T10:15:00Z
from backup  20261123T004500Z-k3f9
snapshot     snap-1
timelines    1, then 2 (new)
replay       from 0/2000028, consistent at 0/2000100
WAL          000000010000000000000002 to 000000010000000000000005
primary      postgres/0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c61
             gets 10.0 GiB in z1 for disk disk-1
standby      postgres/0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c62
             gets 10.0 GiB in z1 for disk disk-2, not running
downtime     about 42 s
             4 WAL segments to replay
ok           the snapshot is complete
warning      no standby runs";
        assert_eq!(shown, expected);
        assert!(shown.lines().all(|line| line.chars().count() <= 80));
    }
}

//! `remount list` and `remount info`.

use remount_core::{BackupId, BackupManifest, DeploymentName, GroupName};
use remount_flow::cluster_of;
use remount_store::{ClusterStore, Store};

use super::table::{bytes, table};
use super::{Output, print_json};
use crate::failure::Failure;

/// Lists backups. What cannot be read is said, and makes the command fail after the list.
pub async fn list(
    store: &Store,
    of: Option<(&DeploymentName, Option<&GroupName>)>,
    output: Output,
) -> Result<(), Failure> {
    let clusters = match of {
        Some((deployment, group)) => vec![cluster_of(deployment, group)?],
        None => store.clusters().await?,
    };
    let mut backups = Vec::new();
    let mut unreadable = 0;
    for cluster in clusters {
        let survey = store.cluster(&cluster).survey_backups().await?;
        backups.extend(survey.good);
        unreadable += survey.unreadable.len();
        survey.unreadable.iter().for_each(|error| eprintln!("{}", remount_core::report(error)));
    }
    match output {
        Output::Json => print_json(&backups)?,
        Output::Text if backups.is_empty() => eprintln!("no backups; take one with `remount backup`"),
        Output::Text => println!("{}", listing(&backups)),
    }
    if unreadable > 0 {
        return Err(Failure::unchanged(format!("{unreadable} backups cannot be read (see above)")));
    }
    Ok(())
}

fn listing(backups: &[BackupManifest]) -> String {
    let rows: Vec<Vec<String>> = backups
        .iter()
        .map(|backup| {
            vec![
                backup.id.to_string(),
                backup.cluster.to_string(),
                backup.timeline.to_string(),
                backup.stop_lsn.to_string(),
                backup.stopped_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                bytes(backup.data_bytes),
            ]
        })
        .collect();
    table(&["BACKUP", "CLUSTER", "TL", "CONSISTENT AT", "TIME", "DATA"], &rows)
}

/// Shows one backup.
pub async fn info(cluster: &ClusterStore, id: &BackupId, output: Output) -> Result<(), Failure> {
    let Some(backup) = cluster.backup(id).await? else {
        return Err(Failure::missing(
            format!("cluster {} has no backup {id}", cluster.name()),
            "choose one from `remount list`",
        ));
    };
    if output == Output::Json {
        return print_json(&backup);
    }
    println!("{}", description(&backup));
    Ok(())
}

fn description(backup: &BackupManifest) -> String {
    let snapshot = &backup.snapshot;
    let lines = [
        ("backup", backup.id.to_string()),
        ("cluster", format!("{} (system identifier {})", backup.cluster, backup.system_identifier)),
        ("taken of", format!("{} {}, disk {}", backup.source_role, backup.source, backup.disk)),
        ("zone", backup.az.clone().unwrap_or_else(|| "none".into())),
        ("PostgreSQL", backup.postgres_version.to_string()),
        ("timeline", backup.timeline.to_string()),
        ("replay from", backup.start_lsn.to_string()),
        ("consistent", format!("{} at {}", backup.stop_lsn, backup.stopped_at)),
        ("disk", format!("{} {}", bytes(backup.disk_size_mib << 20), backup.disk_type)),
        ("data", bytes(backup.data_bytes)),
        ("snapshot", format!("{} in {} since {}", snapshot.cid, snapshot.iaas, snapshot.created_at)),
        ("upload", if snapshot.complete { "complete".into() } else { "was going on".to_owned() }),
        (
            "retained",
            backup.retain_until.map_or_else(|| "until deleted".into(), |time| format!("until {time}")),
        ),
        ("held", if backup.hold { "yes".into() } else { "no".to_owned() }),
        ("taken by", format!("remount {}", backup.tool_version)),
    ];
    lines.map(|(name, value)| format!("{name:<12} {}", value.trim_end())).join("\n")
}

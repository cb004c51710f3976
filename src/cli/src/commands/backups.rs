//! `remount list` and `remount info`.

use remount_core::BackupId;
use remount_core::documents::{BackupManifest, DiskAttributes, DiskRecord};
use remount_store::Store;

use super::table::{bytes, sheet, table};
use super::{Output, clusters, print_json, within};
use crate::arguments::ClusterFilter;
use crate::failure::Failure;
use crate::output::{message, output};

/// Lists backups. Those that cannot be read are reported after the list, and the command fails.
pub async fn list(store: &Store, filter: &ClusterFilter, output: Output) -> Result<(), Failure> {
    let mut backups = Vec::new();
    let mut unreadable = Vec::new();
    for cluster in clusters(store, filter).await? {
        let survey = cluster.survey_backups().await?;
        backups.extend(survey.good);
        unreadable.extend(survey.unreadable);
    }
    match output {
        Output::Json => print_json(&backups)?,
        Output::Text if backups.is_empty() => message!("no backups; take one with `remount backup`"),
        Output::Text => output!("{}", listing(&backups)),
    }
    unreadable.iter().for_each(|error| message!("{}", remount_core::report(error)));
    match unreadable.len() {
        0 => Ok(()),
        n => Err(Failure::unchanged(format!("{n} of {} backups cannot be read", n + backups.len()))),
    }
}

/// The cluster comes last: it alone may be long.
fn listing(backups: &[BackupManifest]) -> String {
    let row = |backup: &BackupManifest| {
        vec![
            backup.id.to_string(),
            backup.stopped_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            backup.timeline.to_string(),
            data(backup.data_bytes),
            format!("{}{}", backup.cluster, if backup.hold { " (held)" } else { "" }),
        ]
    };
    let rows: Vec<Vec<String>> = backups.iter().map(row).collect();
    table(&["BACKUP", "CONSISTENT FROM", "TL", "DATA", "CLUSTER"], &rows)
}

fn data(number: u64) -> String {
    if number == 0 { "-".into() } else { bytes(number) }
}

/// Shows one backup, whichever cluster it is of.
pub async fn info(
    store: &Store,
    id: &BackupId,
    filter: &ClusterFilter,
    output: Output,
) -> Result<(), Failure> {
    let backup = match store.cluster_of_backup(id, within(filter)?.as_ref()).await? {
        Some(cluster) => cluster.backup(id).await?,
        None => None,
    };
    match (backup, output) {
        (None, _) => {
            Err(Failure::missing(format!("there is no backup {id}"), "choose one from `remount list`"))
        }
        (Some(backup), Output::Json) => print_json(&backup),
        (Some(backup), Output::Text) => {
            output!("{}", description(&backup));
            Ok(())
        }
    }
}

fn description(backup: &BackupManifest) -> String {
    let (snapshot, shape) = (&backup.snapshot, &backup.disk.shape);
    let none = || "none".to_owned();
    sheet(&[
        ("backup", backup.id.to_string()),
        ("cluster", backup.cluster.to_string()),
        ("deployment", backup.deployment.to_string()),
        ("system identifier", backup.system_identifier.to_string()),
        ("PostgreSQL", version(backup.postgres_version)),
        ("taken of", format!("{} {}", backup.source_role, backup.source)),
        ("zone", zone(&backup.disk)),
        ("timeline", backup.timeline.to_string()),
        ("begun", format!("{} at {}", backup.start_lsn, backup.started_at)),
        ("consistent from", format!("{} at {}", backup.stop_lsn, backup.stopped_at)),
        ("data", data(backup.data_bytes)),
        ("disk", backup.disk.cid.to_string()),
        ("disk size", format!("{} {}", bytes(shape.size_mib << 20), shape.disk_type)),
        ("disk attributes", attributes(&shape.attributes)),
        ("snapshot", format!("{} ({})", snapshot.cid, snapshot.iaas)),
        ("snapshot taken", snapshot.created_at.to_string()),
        ("checksums", if backup.data_checksums { "on" } else { "off" }.into()),
        ("SLA class", backup.sla_class.clone().unwrap_or_else(none)),
        ("kept until", kept(backup)),
        ("taken by", format!("remount {}", backup.tool_version)),
    ])
}

/// The cloud's zone, and the Director's name of it.
fn zone(disk: &DiskRecord) -> String {
    let zone = disk.shape.zone.as_deref().unwrap_or("none");
    disk.az.as_ref().map_or_else(|| zone.to_owned(), |az| format!("{zone} (az {az})"))
}

fn attributes(attributes: &DiskAttributes) -> String {
    let named: Vec<String> =
        attributes.named().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    if named.is_empty() { "the cloud's defaults".to_owned() } else { named.join(", ") }
}

fn kept(backup: &BackupManifest) -> String {
    match (backup.hold, backup.retain_until) {
        (true, _) => "released by hand (held)".into(),
        (false, Some(time)) => time.to_string(),
        (false, None) => "retention decides".into(),
    }
}

/// `150018` is 15.18.
fn version(number: u32) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}

//! `remount disks` and `remount disks release`: lists and deletes the disks that restores have put aside.

use jiff::{SignedDuration, Timestamp};
use remount_core::{ClusterName, ExitCode};
use remount_flow::{
    FlowContext, OldDisk, OldDiskState, ReleaseOutcome, ReleaseRequest, ReleasedDisk, Scope, Selection,
    list_old_disks, preview_release, release_old_disks,
};

use super::table::{bytes, duration, table};
use super::{Output, cluster_with, must_be_known, print_json, within};
use crate::arguments::{ClusterFilter, DisksArguments, DisksCommand, ReleaseArguments};
use crate::config::Config;
use crate::context;
use crate::failure::Failure;
use crate::output::{message, output};

/// Does what the arguments ask.
pub async fn run(config: &Config, arguments: DisksArguments, output: Output) -> Result<(), Failure> {
    match arguments.how {
        Some(DisksCommand::Release(options)) => release(config, options, output).await,
        None => {
            let scope = if arguments.all { Scope::All } else { Scope::Present };
            list(config, &arguments.cluster, &scope, output).await
        }
    }
}

async fn list(config: &Config, filter: &ClusterFilter, scope: &Scope, output: Output) -> Result<(), Failure> {
    let context = context::open(config)?;
    let names = names(&context, filter).await?;
    let found = list_old_disks(&context, &names, scope, Timestamp::now()).await?;
    match output {
        Output::Json => print_json(&found.disks)?,
        Output::Text if found.disks.is_empty() => message!("no restore has left old disks behind"),
        Output::Text => output!("{}", listing(&found.disks)),
    }
    for (restore, problem) in &found.unreadable {
        message!("error: restore {restore}: {}", problem.what);
    }
    match found.unreadable.len() {
        0 => Ok(()),
        n => Err(Failure::unchanged(format!("{n} restores cannot be read: their old disks are not listed"))),
    }
}

/// The clusters that a filter names; without one those that were ever restored, as no other has old disks.
async fn names(context: &FlowContext, filter: &ClusterFilter) -> Result<Vec<ClusterName>, Failure> {
    must_be_known(&context.store, context.director.deployments(), filter).await?;
    match within(filter)? {
        Some(name) => Ok(vec![name]),
        None => Ok(context.store.restored_clusters().await?),
    }
}

async fn release(config: &Config, options: ReleaseArguments, output: Output) -> Result<(), Failure> {
    let context = context::open(config)?;
    let (selection, names) = match options.restore {
        Some(id) => {
            let cluster = cluster_with(&context.store, &id, &options.cluster).await?.name().clone();
            (Selection::Restore(id), vec![cluster])
        }
        None => (Selection::Due, names(&context, &options.cluster).await?),
    };
    let request = ReleaseRequest { selection, by: context::requester() };
    if options.dry_run {
        preview(&context, &names, &request, output).await
    } else {
        carry_out(&context, &names, &request, output).await
    }
}

async fn preview(
    context: &FlowContext,
    names: &[ClusterName],
    request: &ReleaseRequest,
    output: Output,
) -> Result<(), Failure> {
    let mut would = Vec::new();
    let mut worst = Worst { code: ExitCode::Done, failed: 0 };
    for name in names {
        match preview_release(context, name, request, Timestamp::now()).await {
            Ok(disks) => would.extend(disks.into_iter().filter(|disk| disk.state != OldDiskState::Gone)),
            Err(error) => worst.add(error.into()),
        }
    }
    match output {
        Output::Json => print_json(&would)?,
        Output::Text if would.is_empty() => message!("nothing would be deleted"),
        Output::Text => output!("{}\nnothing was deleted (--dry-run)", listing(&would)),
    }
    worst.outcome(names.len())
}

/// Deletes the old disks of some clusters that were kept long enough.
///
/// # Errors
/// Some are still there; the reasons were printed.
pub async fn release_due(context: &FlowContext, names: &[ClusterName]) -> Result<(), Failure> {
    let request = ReleaseRequest { selection: Selection::Due, by: context::requester() };
    let (released, worst) = of_each(context, names, &request).await;
    for ReleasedDisk { disk, instance, restore, .. } in &released {
        message!(
            "old disk {disk} of {instance}, which restore {restore} had replaced, is deleted: it was due"
        );
    }
    worst.outcome(names.len())
}

/// Warns of disks that are kept and that the Director, which deletes its orphans by their age alone, deletes within a
/// day. A failure is told: nothing else depends on it.
pub async fn warn_of_expiry(context: &FlowContext, names: &[ClusterName]) {
    let now = Timestamp::now();
    let found = match list_old_disks(context, names, &Scope::Present, now).await {
        Ok(found) => found,
        Err(error) => {
            return message!("warning: which disks the Director deletes next is not known: {error}");
        }
    };
    for line in found.disks.iter().filter_map(|disk| expiry(disk, now)) {
        message!("warning: {line}");
    }
}

/// What is said of a disk that is kept, and has less than a day.
fn expiry(disk: &OldDisk, now: Timestamp) -> Option<String> {
    let at = disk.director_deletes_at.filter(|_| disk.state.is_kept())?;
    if at.duration_since(now) >= WARNED_BEFORE {
        return None;
    }
    let OldDisk { disk: cid, instance, restore, state, .. } = disk;
    let next = match state {
        OldDiskState::Needed => format!("end restore {restore} before: `remount journal {restore}` says how"),
        OldDiskState::Kept => "take a snapshot of it in the cloud where you want it longer".to_owned(),
        _ => "get from it what nothing else has, or take a snapshot of it in the cloud".to_owned(),
    };
    Some(format!(
        "the Director deletes disk {cid} of {instance} ({state}, restore {restore}) at {}: {next}",
        minute(at)
    ))
}

/// So long before the Director deletes a disk that is kept it is said.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(24);

async fn carry_out(
    context: &FlowContext,
    names: &[ClusterName],
    request: &ReleaseRequest,
    output: Output,
) -> Result<(), Failure> {
    let (released, worst) = of_each(context, names, request).await;
    match output {
        Output::Json => print_json(&released)?,
        Output::Text if released.is_empty() => message!("nothing was deleted"),
        Output::Text => output!("{}", receipt(&released)),
    }
    worst.outcome(names.len())
}

/// Goes on after a cluster that failed; stops when the process is asked to.
async fn of_each(
    context: &FlowContext,
    names: &[ClusterName],
    request: &ReleaseRequest,
) -> (Vec<ReleasedDisk>, Worst) {
    let mut released = Vec::new();
    let mut worst = Worst { code: ExitCode::Done, failed: 0 };
    for name in names {
        if context.cancellation.is_cancelled() {
            message!("stopped: run the command again to continue");
            break;
        }
        match release_old_disks(context, name, request, Timestamp::now()).await {
            Ok(disks) => released.extend(disks),
            Err(error) => worst.add(error.into()),
        }
    }
    (released, worst)
}

/// The failures of several clusters: each is printed at once, the worst exit code is used.
struct Worst {
    code: ExitCode,
    failed: usize,
}

impl Worst {
    fn add(&mut self, failure: Failure) {
        message!("{}", failure.text());
        self.code = self.code.max(failure.code());
        self.failed += 1;
    }

    fn outcome(self, of: usize) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            n => Err(Failure::summary(self.code, format!("{n} of {of} clusters failed"))),
        }
    }
}

/// A table per restore: its id and its times are the same for all its disks.
fn listing(disks: &[OldDisk]) -> String {
    let mut parts: Vec<String> =
        disks.chunk_by(|a, b| a.restore == b.restore && a.cluster == b.cluster).map(of_one).collect();
    let there = disks.iter().filter(|disk| disk.state != OldDiskState::Gone);
    let sizes: Vec<u64> = there.map(|disk| disk.size_mib.unwrap_or_default() << 20).collect();
    let noun = if sizes.len() == 1 { "disk" } else { "disks" };
    parts.push(format!("{} {noun}, {}", sizes.len(), bytes(sizes.iter().sum())));
    parts.join("\n\n")
}

/// The disks of one restore.
fn of_one(disks: &[OldDisk]) -> String {
    let Some(first) = disks.first() else { return String::new() };
    let kept = match (first.kept_until, &first.released) {
        (_, Some(note)) => format!("; released by {}", note.by),
        _ if disks.iter().any(|disk| disk.state.goes_by_name_alone()) => {
            "; kept until it is released by name".to_owned()
        }
        (Some(until), None) => format!("; kept until {}", minute(until)),
        (None, None) => String::new(),
    };
    let rows: Vec<Vec<String>> = disks.iter().map(row).collect();
    let header = ["DISK", "KIND", "STATE", "SIZE", "AGE", "DIRECTOR DELETES", "INSTANCE"];
    let mut text = format!("restore {} of {}{kept}\n{}", first.restore, first.cluster, table(&header, &rows));
    if let Some(why) = disks.iter().find_map(|disk| disk.put_aside_because.as_ref()) {
        text.push_str(&format!("\nthe restored disks are kept: {why}"));
    }
    text
}

fn row(disk: &OldDisk) -> Vec<String> {
    let none = || "-".to_owned();
    let kind = if disk.is_restored { "restored" } else { "old" };
    vec![
        disk.disk.to_string(),
        kind.to_owned(),
        disk.state.to_string(),
        disk.size_mib.map_or_else(none, |mib| bytes(mib << 20)),
        disk.age_seconds.map_or_else(none, age),
        disk.director_deletes_at.map_or_else(none, minute),
        short(disk),
    ]
}

/// Hours and minutes in the first day, days and hours later.
fn age(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    let (days, hours) = (seconds / 86_400, seconds % 86_400 / 3600);
    #[expect(clippy::cast_precision_loss, reason = "it is shorter than a day")]
    if days == 0 { duration(seconds as f64) } else { format!("{days} d {hours} h") }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// The instance with the first part of its id: enough to tell a cluster's instances apart.
fn short(disk: &OldDisk) -> String {
    let id = disk.instance.id.as_str();
    format!("{}/{}", disk.instance.group, id.split('-').next().unwrap_or(id))
}

fn receipt(released: &[ReleasedDisk]) -> String {
    let row = |disk: &ReleasedDisk| {
        let outcome = match disk.outcome {
            ReleaseOutcome::Deleted => "deleted",
            ReleaseOutcome::AlreadyGone => "already gone",
        };
        vec![disk.disk.to_string(), outcome.to_owned(), disk.restore.to_string(), disk.cluster.to_string()]
    };
    table(&["DISK", "OUTCOME", "RESTORE", "CLUSTER"], &released.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn disk(change: Value) -> OldDisk {
        let mut document = json!({
            "restore": "20261123T101700Z-0abc", "cluster": "pg-0001", "deployment": "pg-0001",
            "instance": {"group": "postgres", "id": "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d"},
            "disk": "disk-1", "size_mib": 10240, "out_of_use_since": "2026-11-23T10:18:00Z",
            "age_seconds": 7500, "kept_until": "2026-11-24T10:20:00Z",
            "director_deletes_at": "2026-11-28T10:18:00Z", "state": "kept", "released": null, "is_restored": false,
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    /// `UPDATE=1` writes it.
    fn golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "UPDATE=1 writes {name}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{text}");
    }

    #[test]
    fn old_disks_are_listed_restore_by_restore() {
        let note = json!({"format": 1, "restore": "20261110T101700Z-0old", "by": "root@ops",
                          "at": "2026-11-12T10:18:00Z", "epoch": 7, "disks": ["disk-9"]});
        let standby = json!({"group": "postgres", "id": "7c1b3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d"});
        let disks = [
            disk(json!({"restore": "20261110T101700Z-0old", "disk": "disk-9", "age_seconds": 1_130_400,
                        "director_deletes_at": null, "state": "due", "released": note})),
            disk(json!({})),
            disk(json!({"disk": "disk-2", "instance": standby, "size_mib": 20480})),
            disk(json!({"restore": "20261123T111700Z-0xyz", "cluster": "pg-0002", "disk": "disk-3",
                        "age_seconds": null, "kept_until": null, "director_deletes_at": null,
                        "state": "needed"})),
            disk(json!({"restore": "20261123T111900Z-0aaa", "cluster": "pg-0003", "disk": "disk-4",
                        "size_mib": null, "director_deletes_at": null, "state": "gone"})),
        ];
        golden("disks.out", &format!("{}\n", listing(&disks)));
    }

    #[test]
    fn what_the_director_deletes_within_a_day_is_warned_of() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for state in ["kept", "holds_wal", "put_aside", "needed"] {
            let disk = disk(json!({"state": state}));
            assert_eq!(expiry(&disk, at("2026-11-27T10:18:00Z")), None, "{state}: a day is left");
            let warning = expiry(&disk, at("2026-11-27T10:18:01Z")).unwrap();
            assert!(warning.contains("disk-1") && warning.contains("2026-11-28 10:18Z"), "{warning}");
        }
        for state in ["due", "attached", "gone"] {
            assert_eq!(expiry(&disk(json!({"state": state})), at("2026-11-28T10:00:00Z")), None, "{state}");
        }
        let no_orphan = disk(json!({"director_deletes_at": null}));
        assert_eq!(expiry(&no_orphan, at("2026-11-28T10:00:00Z")), None);
    }

    #[test]
    fn what_goes_by_name_alone_says_so() {
        let text = listing(&[disk(json!({"state": "put_aside", "kept_until": null, "is_restored": true}))]);
        assert!(text.contains("kept until it is released by name"), "{text}");
    }

    #[test]
    fn a_release_is_receipted() {
        let released = |disk: &str, outcome: &str| -> ReleasedDisk {
            serde_json::from_value(json!({
                "restore": "20261123T101700Z-0abc", "cluster": "pg-0001", "disk": disk, "size_mib": 1,
                "instance": {"group": "postgres", "id": "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d"},
                "outcome": outcome,
            }))
            .unwrap()
        };
        let rows = [released("disk-1", "deleted"), released("disk-2", "already_gone")];
        golden("disks_release.out", &format!("{}\n", receipt(&rows)));
    }
}

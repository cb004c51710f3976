//! Step 2: everything that can be known beforehand, looked at before anything is touched. All problems are
//! found, not only the first.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use remount_cloud::{DiskSpec, SnapshotState, Tags};
use remount_core::RecoveryTarget;
use remount_core::documents::RestoreRequest;
use remount_core::documents::{BackupManifest, PlannedInstance, RestorePlan};
use remount_director::Instance;
use remount_postgres::{DEMANDED, Severity};

use super::report::PreflightReport;
use super::survey::{self, Survey};
use super::{collations, places};
use crate::{FlowContext, Problem};

/// What was found.
#[derive(Default)]
pub struct Findings {
    /// What stops the restore.
    pub problems: Vec<Problem>,
    /// The rest.
    pub report: PreflightReport,
}

impl Findings {
    pub(super) fn problem(&mut self, what: impl Into<String>, next: impl Into<String>) {
        self.problems.push(Problem::new(what, next));
    }

    pub(super) fn check(&mut self, line: impl Into<String>) {
        self.report.checks.push(line.into());
    }

    pub(super) fn warn(&mut self, line: impl Into<String>) {
        self.report.warnings.push(line.into());
    }
}

/// What can be known of the landscape, whatever the plan.
pub fn landscape(ctx: &FlowContext, survey: &Survey, request: &RestoreRequest, findings: &mut Findings) {
    let deployment = &request.deployment;
    if ctx.own_deployment.as_ref() == Some(deployment) {
        findings.problem(
            format!("this errand runs in deployment {deployment} itself: the Director holds its lock until the errand ends"),
            "ask for the restore from another deployment, or run `remount restore` outside of BOSH",
        );
    }
    if survey.info.user.is_none() {
        findings.problem("the Director did not accept the credentials", "check `director.*`");
    }
    for lock in &survey.locks {
        if lock.kind == "deployment" && lock.resource.iter().any(|name| name == deployment.as_str()) {
            let task = lock.task_id.as_deref().unwrap_or("of unknown number");
            findings.problem(
                format!("Director task {task} holds the lock of deployment {deployment}"),
                format!("wait for it (`bosh task {task}`) or cancel it (`bosh cancel-task {task}`)"),
            );
        }
    }
    findings.problems.extend(survey.unfinished.clone());
    for instance in &survey.instances {
        check_instance(survey, instance, findings);
    }
    findings.check(format!("Director {} {} answers", survey.info.name, survey.info.version));
    findings.report.warnings.extend(survey.unreadable.iter().cloned());
}

fn check_instance(survey: &Survey, instance: &Instance, findings: &mut Findings) {
    let slug = &instance.slug;
    if instance.ignored {
        let next = format!("`bosh unignore {slug}`: the Director attaches nothing to an ignored instance");
        findings.problem(format!("{slug} is ignored"), next);
    }
    if instance.disks.len() > 1 {
        let next = "restore by hand: the Director attaches only unnamed disks";
        findings.problem(format!("{slug} has {} persistent disks", instance.disks.len()), next);
    }
    let role = if *slug == survey.primary { "primary" } else { "standby" };
    let state = match (&instance.vm, instance.job_state.as_deref()) {
        (None, _) => "without a VM".into(),
        (Some(_), state) => format!("{}, {}", instance.desired, state.unwrap_or("state unknown")),
    };
    findings.check(format!("{slug}: {role}, {state}"));
    if instance.disks.is_empty() {
        findings.warn(format!("{slug} has no disk: a rollback has none to attach"));
    }
    for disk in instance.disks.iter().filter(|disk| !survey.disks.contains_key(*disk)) {
        findings
            .warn(format!("{slug}: its disk {disk} does not exist any more: a rollback cannot attach it"));
    }
    if let Some(status) = survey.status(slug)
        && status.cluster != survey.cluster
    {
        findings.problem(
            format!("{slug} belongs to cluster {}, not {}", status.cluster, survey.cluster),
            "name the PostgreSQL group with --group, or check the agent's properties",
        );
    }
}

/// Whether the backup can be restored into these instances.
pub async fn backup(
    ctx: &FlowContext,
    survey: &Survey,
    backup: &BackupManifest,
    plan: &RestorePlan,
    findings: &mut Findings,
) {
    let record = &backup.snapshot;
    if record.iaas != ctx.cloud.iaas() {
        let what = format!("snapshot {} lies in {}, not in {}", record.cid, record.iaas, ctx.cloud.iaas());
        findings.problem(what, "choose another backup, or the errand of that landscape");
        return;
    }
    match survey::snapshot(ctx, backup).await {
        Err(error) => findings.problems.push(Problem::of(&error)),
        Ok(None) => findings.problem(
            format!("snapshot {} of backup {} does not exist any more", record.cid, backup.id),
            "choose another backup from `remount list`",
        ),
        Ok(Some(found)) if found.state != SnapshotState::Complete => findings.problem(
            format!("snapshot {} of backup {} is {}", record.cid, backup.id, found.state),
            "wait until the cloud has completed it, or choose an older backup from `remount list`",
        ),
        Ok(Some(_)) => {
            findings.check(format!("snapshot {} of backup {} is complete", record.cid, backup.id));
            check_disks(ctx, backup, plan, findings).await;
        }
    }
    check_servers(survey, backup, findings);
    check_settings(survey, backup, plan, findings);
    places::check(survey, backup, findings);
    collations::check(survey, backup, plan.options, findings);
}

async fn check_disks(
    ctx: &FlowContext,
    backup: &BackupManifest,
    plan: &RestorePlan,
    findings: &mut Findings,
) {
    let outcomes = join_all(plan.instances.iter().map(|planned| check_disk(ctx, backup, planned))).await;
    for outcome in outcomes {
        match outcome {
            Ok(line) => findings.check(line),
            Err(problem) => findings.problems.push(problem),
        }
    }
}

async fn check_disk(
    ctx: &FlowContext,
    backup: &BackupManifest,
    planned: &PlannedInstance,
) -> Result<String, Problem> {
    let spec = DiskSpec { like: planned.new_disk.clone(), tags: Tags::new() };
    let snapshot = &backup.snapshot.cid;
    let zone = spec.like.zone.as_deref().unwrap_or("no zone");
    let what = format!("a disk of {} MiB for {} in {zone}", spec.like.size_mib, planned.instance);
    match ctx.cloud.check_create_disk(snapshot, &spec).await {
        Ok(()) => Ok(format!("{what} can be made")),
        Err(error) => {
            let inner = Problem::of(&error);
            Err(Problem { what: format!("{what}: {}", inner.what), next: inner.next })
        }
    }
}

/// Recovery stops where a server has less of something than the one had whose WAL it replays: than the backup's, and than
/// the primary has now, for the WAL since may come to that.
fn check_settings(survey: &Survey, backup: &BackupManifest, plan: &RestorePlan, findings: &mut Findings) {
    let primary = survey.primary_status();
    let number = |settings: &BTreeMap<String, String>, name: &str| settings.get(name)?.parse::<u64>().ok();
    for (slug, status) in &survey.statuses {
        let Ok(status) = status else { continue };
        for name in DEMANDED {
            let then = number(&backup.settings, name);
            let now = primary.and_then(|primary| number(&primary.settings, name));
            let (Some(demanded), Some(has)) = (then.max(now), number(&status.settings, name)) else {
                continue;
            };
            if has < demanded {
                findings.problem(
                    format!("{slug} has {name} = {has}, but what is to be replayed demands {demanded}"),
                    format!(
                        "deploy {name} = {demanded} at least; it may be lowered when the restore has ended"
                    ),
                );
            }
        }
        for found in &status.overrides {
            let what = format!("{slug}: {found}");
            let is_needed =
                found.severity == Severity::Breaks && plan.target.target == RecoveryTarget::Latest;
            if is_needed && primary.is_some_and(|primary| primary.instance == *slug) {
                let next = "`ALTER SYSTEM RESET` it and reload, so that the last WAL is archived; or restore to an earlier point";
                findings.problem(what, next);
            } else {
                findings.warn(what);
            }
        }
    }
}

fn check_servers(survey: &Survey, backup: &BackupManifest, findings: &mut Findings) {
    for (slug, status) in &survey.statuses {
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                findings.warn(format!("{slug} does not answer: {}", error.reason()));
                continue;
            }
        };
        let (now, then) = (status.postgres_version / 10_000, backup.postgres_version / 10_000);
        if now != then {
            findings.problem(
                format!("{slug} runs PostgreSQL {now}, backup {} is of PostgreSQL {then}", backup.id),
                format!("deploy PostgreSQL {then}, or choose a backup of PostgreSQL {now}"),
            );
        }
        if status.system_identifier != backup.system_identifier {
            findings.problem(
                format!("{slug} has system identifier {}, backup {} has {}", status.system_identifier, backup.id, backup.system_identifier),
                "the cluster was initialised again since: choose a backup taken after that, or stop it to restore the old one over it",
            );
        }
    }
    if survey.primary_status().is_none() {
        findings.warn(format!("the primary ({}) does not serve", survey.primary));
    }
}

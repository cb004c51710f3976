//! Preflight's part of a restore to `latest`: what could be missing in the archive, before anything is touched; and on
//! which instances there is no room for what a restore makes them do.

use remount_core::RecoveryTarget;
use remount_core::documents::{AcceptedLoss, PlannedInstance, RestorePlan};
use remount_director::Instance;
use remount_store::ClusterStore;

use super::preflight::Findings;
use super::stop_note;
use super::survey::Survey;
use super::unarchived::ACCEPT;
use crate::{FlowContext, FlowError, Problem, Result};

/// Looks.
///
/// # Errors
/// The store does not answer.
pub async fn check(
    ctx: &FlowContext,
    store: &ClusterStore,
    survey: &Survey,
    plan: &RestorePlan,
    findings: &mut Findings,
) -> Result<()> {
    room(survey, findings);
    let latest = matches!(plan.target.target, RecoveryTarget::Latest);
    let Some(primary) = plan.primary().filter(|_| latest) else { return Ok(()) };
    let instance = survey.instances.iter().find(|instance| instance.slug == primary.instance);
    let Some(instance) = instance.filter(|_| survey.primary_status().is_none()) else { return Ok(()) };
    let archived = archived(store, plan).await?;
    if instance.vm.is_some() && instance.desired == "started" {
        findings.warn(format!(
            "{} does not serve: what it wrote after {archived} is archived when it is stopped. Where that fails, the restore \
             is undone; {ACCEPT}",
            primary.instance
        ));
        return Ok(());
    }
    if let Some(missing) = missing(ctx, store, plan, instance).await? {
        report_missing(survey, plan, primary, &format!("{missing}; archived is {archived}"), findings);
    } else {
        findings.check(format!("{}: stopped, and nothing was left unarchived", primary.instance));
    }
    Ok(())
}

/// What a stopped instance left; none where its note says: nothing.
async fn missing(
    ctx: &FlowContext,
    store: &ClusterStore,
    plan: &RestorePlan,
    instance: &Instance,
) -> Result<Option<String>> {
    if instance.desired == "started" {
        return Ok(Some("its VM is gone, and nobody can ask it".into())); // A note would be of an earlier stop.
    }
    if let Some(doubt) = stop_note::doubt(ctx, store, &plan.deployment, instance).await? {
        return Ok(Some(doubt));
    }
    let note = store.stop_note(&instance.slug.id).await;
    let note = note.map_err(FlowError::store(format!("read the note of the stop of {}", instance.slug)))?;
    stop_note::missing_by(store, note.as_ref()).await
}

fn report_missing(
    survey: &Survey,
    plan: &RestorePlan,
    primary: &PlannedInstance,
    missing: &str,
    findings: &mut Findings,
) {
    let standby =
        plan.standbys().filter_map(|planned| Some((&planned.instance, survey.status(&planned.instance)?)));
    let furthest = standby.max_by_key(|(_, status)| status.lsn);
    let standby = furthest.map_or_else(String::new, |(slug, status)| {
        format!("; standby {slug} has it up to {}, and archives that first", status.lsn)
    });
    let there = primary.old_disk.as_ref().filter(|disk| survey.disks.contains_key(*disk));
    let disk = there.map(|disk| format!("; disk {disk} holds it and is kept")).unwrap_or_default();
    let what = format!("{}: {missing}{standby}{disk}", primary.instance);
    if plan.accepts(AcceptedLoss::UnarchivedWal) {
        findings.warn(format!("{what}; the loss is accepted"));
        return;
    }
    let next = format!("start it, so that it archives the rest (`bosh start --no-converge`); {ACCEPT}");
    findings.problems.push(Problem::new(what, next));
}

/// The last archived segment and the time of its last commit.
async fn archived(store: &ClusterStore, plan: &RestorePlan) -> Result<String> {
    let last = plan.path.segments.1;
    let time = store.wal(plan.path.system_identifier).last_commit(&last).await;
    let time = time.map_err(FlowError::store(format!("read the last commit of segment {last}")))?;
    Ok(time.map_or_else(|| format!("segment {last}"), |time| format!("segment {last}, last commit {time}")))
}

fn room(survey: &Survey, findings: &mut Findings) {
    for instance in &survey.instances {
        let Some(lacks) = survey.status(&instance.slug).and_then(|status| status.lacks_room()) else {
            continue;
        };
        findings.warn(format!(
            "{}: its disk is full ({lacks}): it is not made to checkpoint or to switch WAL before it is stopped, and after a \
             stop it may not start again, so a rollback could end with it down",
            instance.slug
        ));
    }
}

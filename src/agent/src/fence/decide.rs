//! The fence's decision tables (`docs/design.md` section 5), without input or output.
//!
//! | mounted | data | `backup.json` | applied for it | instance had data | decision |
//! |---|---|---|---|---|---|
//! | no | | | | | refuse |
//! | yes | none | absent | | this VM saw it | refuse |
//! | yes | none | absent | | not known here | ask the store: refuse, or initialise |
//! | yes | none | present | | | refuse |
//! | yes | there | absent | | | start; the store is not asked |
//! | yes | there | present | yes | | start: a crash in recovery resumes it |
//! | yes | there | present | no | | ask the store for the plan |
//!
//! | published plan | the instance in it | decision |
//! |---|---|---|
//! | none, the backup was never completed | | the VM went down during it: remove the mark, start |
//! | none, the backup is complete | | refuse: a copy without a restore |
//! | of another backup | | refuse: the wrong disk |
//! | of this backup, another cluster's data | | refuse: the wrong disk |
//! | of this backup | not in it | refuse |
//! | of this backup | primary | apply |
//! | of this backup | standby | wait for the fork, apply |
//!
//! A complete backup with its mark still on the disk is a copy for certain: the manifest is written
//! after the mark was removed from the running disk.

use std::path::Path;

use remount_core::documents::RestorePlan;
use remount_core::{BackupId, InstanceSlug, Role};
use remount_postgres::{ControlData, DataDirectory, DataState};

use crate::disk::Disk;
use crate::error::Result;
use crate::refusal::Refusal;

/// What the disk and the VM say.
pub struct Facts {
    instance: InstanceSlug,
    data: DataState,
    backup: Option<BackupId>,
    /// The backups of the plans that this disk has applied.
    applied: Vec<BackupId>,
    seen_here: bool,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// The control file, the mark or a record cannot be read.
    pub fn gather(instance: &InstanceSlug, data: &DataDirectory, disk: &Disk) -> Result<Self> {
        Ok(Self {
            instance: instance.clone(),
            data: data.state()?,
            backup: disk.backup_mark()?.map(|mark| mark.backup),
            applied: disk.applied()?.into_iter().map(|applied| applied.backup).collect(),
            seen_here: disk.initialised()?.is_some(),
        })
    }
}

/// What the disk alone decides.
#[derive(Debug, PartialEq, Eq)]
pub enum LocalDecision {
    Start(String),
    Refuse(Refusal),
    AskWhetherRegistered,
    AskForPlan(BackupId),
}

/// Decides what can be decided without the store.
/// Decides what can be decided without the store.
pub fn locally(facts: Facts) -> LocalDecision {
    let Facts { instance, data, backup, applied, seen_here } = facts;
    match (data, backup) {
        (DataState::Empty, None) if seen_here => LocalDecision::Refuse(Refusal::DataMissing { instance }),
        (DataState::Empty, None) => LocalDecision::AskWhetherRegistered,
        (DataState::Empty, Some(backup)) => LocalDecision::Refuse(Refusal::CopyWithoutData { backup }),
        (DataState::Cluster(_), None) => LocalDecision::Start("the disk has no mark: a normal start".into()),
        (DataState::Cluster(_), Some(backup)) if applied.contains(&backup) => LocalDecision::Start(format!(
            "the plan for backup {backup} was applied to this disk before: recovery goes on"
        )),
        (DataState::Cluster(_), Some(backup)) => LocalDecision::AskForPlan(backup),
    }
}

/// What this instance becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedRole {
    Primary,
    Standby,
}

/// What the disk and the published plan decide together.
#[derive(Debug)]
pub enum PlanDecision<'a> {
    ClearStaleMark,
    Refuse(Refusal),
    Apply(&'a RestorePlan, PlannedRole),
}

/// What was found on the disk, and what the store says of it.
pub struct Found<'a> {
    /// The backup of the mark.
    pub backup: &'a BackupId,
    /// Whether there is a manifest of it.
    pub is_complete: bool,
    /// This instance.
    pub instance: &'a InstanceSlug,
}

/// Decides what the published plan means for this disk.
///
/// # Errors
/// The control file cannot be read.
pub fn with_plan<'a>(
    found: &Found<'_>,
    plan: Option<&'a RestorePlan>,
    data_directory: &Path,
) -> Result<PlanDecision<'a>> {
    let Found { backup, is_complete, instance } = *found;
    let Some(plan) = plan else {
        let copy = || PlanDecision::Refuse(Refusal::NoPlan { backup: backup.clone() });
        return Ok(if is_complete { copy() } else { PlanDecision::ClearStaleMark });
    };
    let refusal = if plan.path.backup != *backup {
        Refusal::WrongDisk {
            restore: plan.id.clone(),
            wanted: plan.path.backup.clone(),
            found: backup.clone(),
        }
    } else if let Some(role) = role_in(plan, instance) {
        let found = ControlData::read(data_directory)?.system_identifier;
        if found == plan.path.system_identifier {
            return Ok(PlanDecision::Apply(plan, role));
        }
        Refusal::OtherCluster { restore: plan.id.clone(), wanted: plan.path.system_identifier, found }
    } else {
        Refusal::NotPlanned { restore: plan.id.clone(), instance: instance.clone() }
    };
    Ok(PlanDecision::Refuse(refusal))
}

fn role_in(plan: &RestorePlan, instance: &InstanceSlug) -> Option<PlannedRole> {
    let planned = plan.instances.iter().find(|planned| planned.instance == *instance)?;
    Some(match planned.role {
        Role::Primary => PlannedRole::Primary,
        Role::Standby => PlannedRole::Standby,
    })
}

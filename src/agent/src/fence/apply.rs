//! Carrying a plan out on a disk: the data directory first, the record of it last. A crash between
//! the two applies the same plan again.

use jiff::Timestamp;
use remount_core::Role;
use remount_core::documents::{AppliedPlan, FORMAT, ForkRecord, RestorePlan};
use remount_postgres::{DataDirectory, Preparation, RecoveryGoal, RecoverySettings};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Result, system};

/// Applies `plan`; a fork makes the instance a standby.
pub fn apply(config: &AgentConfig, disk: &Disk, plan: &RestorePlan, fork: Option<ForkRecord>) -> Result<()> {
    let goal = fork.as_ref().map_or(RecoveryGoal::Promote, RecoveryGoal::Follow);
    let role = if fork.is_some() { Role::Standby } else { Role::Primary };
    let settings = RecoverySettings::of(plan, goal, &restore_command(config)?);
    let preparation = Preparation {
        restore: &plan.id,
        role,
        backup_label: &plan.backup_label,
        tablespace_map: &plan.tablespace_map,
        settings: &settings,
    };
    DataDirectory::new(&config.postgres.data_directory).prepare(&preparation)?;
    disk.record(&AppliedPlan {
        format: FORMAT,
        restore: plan.id.clone(),
        backup: plan.path.backup.clone(),
        role,
        applied_at: Timestamp::now(),
        path: plan.path.clone(),
        target: plan.target.clone(),
        outcome: None,
        fork,
    })?;
    log::info!(restore:% = plan.id, backup:% = plan.path.backup, role:% = role, target:% = plan.target; "the plan is applied");
    Ok(())
}

/// `remount-wal` lies beside this program; both come from one package.
fn restore_command(config: &AgentConfig) -> Result<String> {
    let ours = std::env::current_exe().map_err(system("find our own program"))?;
    let program = ours.with_file_name("remount-wal");
    let shell = |path: &std::path::Path| {
        format!("'{}'", path.display().to_string().replace('\'', "'\\''")).replace('%', "%%")
    };
    let plain = |path: &std::path::Path| {
        let text = path.display().to_string();
        let safe = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if text.chars().all(safe) { text } else { shell(path) }
    };
    Ok(format!("{} fetch --config {} %f %p", plain(&program), plain(&config.path)))
}

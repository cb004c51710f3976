//! Carrying a plan out on a disk: the data directory first, the record of it last. A crash between
//! the two applies the same plan again.

use std::path::Path;

use jiff::Timestamp;
use remount_core::Role;
use remount_core::documents::{AppliedPlan, FORMAT, ForkRecord, RestorePlan};
use remount_postgres::{DataDirectory, Preparation, RecoveryGoal, RecoverySettings, Signal};

use crate::disk::Disk;
use crate::error::{Result, system};

/// Applies `plan`; a fork makes the instance a standby.
///
/// # Errors
/// The file system's. The plan may be applied in part; the next pre-start applies it again.
pub fn apply(
    disk: &Disk,
    data: &DataDirectory,
    restore_command: &str,
    plan: &RestorePlan,
    fork: Option<ForkRecord>,
) -> Result<()> {
    let goal = fork.as_ref().map_or(RecoveryGoal::Reach, RecoveryGoal::Follow);
    let role = if fork.is_some() { Role::Standby } else { Role::Primary };
    let settings = RecoverySettings::of(plan, goal, restore_command);
    let preparation = Preparation {
        restore: &plan.id,
        signal: Signal::of(role, &plan.target),
        backup_label: &plan.backup_label,
        tablespace_map: &plan.tablespace_map,
        settings: &settings,
    };
    data.prepare(&preparation)?;
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

/// The command by which PostgreSQL fetches WAL. `remount-wal` lies beside this program; both come from one package.
///
/// # Errors
/// The path of this program cannot be found.
pub fn restore_command(config_file: &Path) -> Result<String> {
    let ours = std::env::current_exe().map_err(system("find our own program"))?;
    let program = ours.with_file_name("remount-wal");
    let shell =
        |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''")).replace('%', "%%");
    let plain = |path: &Path| {
        let text = path.display().to_string();
        let safe = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if text.chars().all(safe) { text } else { shell(path) }
    };
    Ok(format!("{} fetch --config {} %f %p", plain(&program), plain(config_file)))
}

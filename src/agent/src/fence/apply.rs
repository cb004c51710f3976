//! Carrying a plan out on a disk: the data directory first, the record of it last. A crash between
//! the two applies the same plan again.

use std::path::Path;

use jiff::Timestamp;
use remount_core::documents::{AppliedPlan, FORMAT, ForkRecord, RecoveryPath, RestorePlan, WalTail};
use remount_core::{Role, WalSegment};
use remount_postgres::{DataDirectory, Preparation, RecoveryGoal, RecoverySettings, Signal};

use crate::disk::Disk;
use crate::error::{Result, system};

/// Where the WAL of a plan ends.
pub struct Ends {
    /// Of a standby: where its primary left the planned timeline.
    pub fork: Option<ForkRecord>,
    /// Of a primary: the records behind the archive's last segment.
    pub tail: Option<WalTail>,
}

/// Applies `plan`; a fork makes the instance a standby.
///
/// # Errors
/// The file system's. The plan may be applied in part; the next pre-start applies it again.
pub fn apply(
    disk: &Disk,
    data: &DataDirectory,
    restore_command: &str,
    plan: &RestorePlan,
    Ends { fork, tail }: Ends,
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
        number: disk.number_of(&plan.id)?,
        backup: plan.path.backup.clone(),
        role,
        applied_at: Timestamp::now(),
        path: path_before(&plan.path, tail.as_ref()),
        target: plan.target.clone(),
        outcome: None,
        fork,
    })?;
    log::info!(restore:% = plan.id, backup:% = plan.path.backup, role:% = role, target:% = plan.target; "the plan is applied");
    Ok(())
}

/// What recovery has to fetch: the segment of a tail is in `pg_wal` and in no archive, so its absence is no gap.
pub fn path_before(path: &RecoveryPath, tail: Option<&WalTail>) -> RecoveryPath {
    let (first, last) = path.segments;
    let number = |segment: WalSegment| segment.number(path.segment_size);
    let before = tail.map(|tail| number(tail.segment)).filter(|tail| *tail <= number(last));
    let last = before
        .and_then(|tail| tail.checked_sub(1))
        .map_or(last, |before| WalSegment::numbered(last.timeline, before, path.segment_size));
    RecoveryPath { segments: (first, last), ..path.clone() }
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

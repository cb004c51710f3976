//! `pre-start`: may PostgreSQL start on this disk?

use remount_host::{Account, Deadline, FileLock};

use super::runtime;
use crate::config::AgentConfig;
use crate::error::Result;
use crate::fence::{Fence, processes};

/// How much longer than its deadline the other job's pre-start may take, for the preparation itself.
const LOCK_SLACK_SECONDS: u64 = 60;

/// Decides whether PostgreSQL may start, and applies a restore's plan.
///
/// # Errors
/// As [`Fence::guard`]; or the other job's pre-start never ends.
pub fn pre_start(config: &AgentConfig) -> Result<()> {
    let account = Account::named(&config.user)?;
    let _lock = lock(config, account)?;
    guard(config, account)
}

/// The fence, with root's rights only for what needs them: making the folders, and seeing what processes of others do.
///
/// # Errors
/// As [`Fence::guard`].
pub fn guard(config: &AgentConfig, account: Account) -> Result<()> {
    let fence = Fence::new(config)?;
    fence.make_folders(account)?;
    let worker = processes::working_in(&config.postgres.data_directory)?;
    account.act(|| runtime()?.block_on(fence.guard(worker)))?
}

/// The pre-starts of two jobs run in parallel; only one may look at the disk and change it.
///
/// # Errors
/// The other one holds the lock for longer than a start may take.
pub fn lock(config: &AgentConfig, account: Account) -> Result<FileLock> {
    account.create_folder(&config.directories.run)?;
    let deadline = Deadline::after_seconds(config.pre_start.deadline_seconds + LOCK_SLACK_SECONDS);
    let path = config.directories.run.join("pre-start.lock");
    account.act(|| Ok(runtime()?.block_on(FileLock::take(&path, deadline))?))?
}

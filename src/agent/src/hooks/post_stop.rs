//! `post-stop`: reports WAL that is not archived, after the server has stopped.
//!
//! Drain may have reached its limit or been skipped, and bpm may have killed the server since: only now it is known
//! how it ended, whichever release the server is of. It changes nothing: WAL that is not archived must not keep the VM
//! from being stopped, and the next start archives it.

use std::fs;
use std::io;
use std::path::Path;

use remount_host::Account;
use remount_postgres::{ControlData, DatabaseState};

use crate::config::AgentConfig;
use crate::error::{Result, system};

/// Logs what was left.
pub fn post_stop(path: &Path) {
    match AgentConfig::load(path)
        .and_then(|config| Account::named(&config.user)?.act(|| remains(&config.postgres.data_directory))?)
    {
        Ok(lines) if lines.is_empty() => log::info!("stopped cleanly, nothing is left to archive"),
        Ok(lines) => lines.iter().for_each(|line| log::warn!("{line}")),
        Err(error) => {
            log::warn!("it cannot be determined which WAL is not archived:\n{}", remount_core::report(&error))
        }
    }
}

fn remains(data_directory: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let state = ControlData::read(data_directory)?.state;
    if !matches!(state, DatabaseState::ShutDown | DatabaseState::ShutDownInRecovery) {
        lines.push(format!("PostgreSQL was not stopped cleanly ({state:?}): the next start replays its WAL"));
    }
    let left = unarchived(&data_directory.join("pg_wal/archive_status"))?;
    if let (Some(first), Some(last)) = (left.first(), left.last()) {
        lines.push(format!(
            "{} files of WAL are not archived, {first} to {last}: they are on this disk only until the next start archives them",
            left.len()
        ));
    }
    Ok(lines)
}

/// The names that PostgreSQL keeps for its archiver, in order.
fn unarchived(folder: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".ready")).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    };
    read().map_err(system(format!("read {}", folder.display())))
}

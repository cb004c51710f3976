//! Becoming the server. The process stays the same one: monit and bpm watch it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::config::PostgresConfig;
use super::primary_timeline::primary_timeline;
use crate::error::{Result, system};
use remount_host::Account;

/// Executes `postgres`. Returns only where that failed.
///
/// # Errors
/// The configuration, the user, or the program cannot be used. Nothing runs.
pub fn run(path: &Path) -> Result<()> {
    let config = PostgresConfig::load(path)?;
    Account::named(&config.user)?.become_it()?;
    let mut command = Command::new(config.bin_directory.join("postgres"));
    command.arg("-D").arg(&config.data_directory);
    let set = |command: &mut Command, name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set(&mut command, "config_file", &config.config_file.display().to_string());
    set(&mut command, "hba_file", &config.hba_file.display().to_string());
    if let Some(file) = &config.ident_file {
        set(&mut command, "ident_file", &file.display().to_string());
    }
    // Always from the deployment, never from the disk: a swapped disk knows another primary.
    let follows = !config.bootstrap && config.server().data_directory().is_standby();
    // A bootstrap instance with `standby.signal` replays the archive for a restore: it follows nobody.
    if let Some(primary) = config.primary_conninfo().filter(|_| follows) {
        set(&mut command, "primary_conninfo", &primary);
        if let Some(timeline) = primary_timeline(&config, &primary) {
            set(&mut command, "recovery_target_timeline", &timeline.to_string());
        }
    }
    Err(system("run postgres")(command.exec()))
}

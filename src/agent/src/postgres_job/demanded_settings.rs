//! Settings that a server in recovery must not have smaller than the server had whose WAL it replays. A deploy may lower one
//! on the standby before its primary has been restarted with it: the standby keeps the larger value until it has replayed
//! the change, and would not come up again otherwise.
//!
//! The control file says what the WAL up to now demands, and PostgreSQL itself what its configuration comes to.

use std::process::{Command, Stdio};

use remount_postgres::ControlData;

use super::config::PostgresConfig;
use crate::error::{Error, Result, system};

/// What has to be set larger than the configuration says; nothing on a primary.
///
/// # Errors
/// The control file cannot be read, or PostgreSQL cannot read its configuration.
pub fn demanded_settings(config: &PostgresConfig) -> Result<Vec<(&'static str, u32)>> {
    let data = config.server().data_directory();
    if !data.is_standby() && !data.awaits_recovery() {
        return Ok(Vec::new());
    }
    let demands = ControlData::read(&config.data_directory)?.demands;
    // All at once: the server is down meanwhile.
    let asked: Vec<_> = demands.each().map(|(name, demanded)| (name, demanded, ask(config, name))).collect();
    let mut raised = Vec::new();
    for (name, demanded, configured) in asked {
        let configured = answer(name, configured?)?;
        if configured < demanded {
            log::warn!("{name} stays at {demanded} until the change to {configured} is replayed");
            raised.push((name, demanded));
        }
    }
    Ok(raised)
}

fn ask(config: &PostgresConfig, name: &str) -> Result<std::process::Child> {
    let mut command = Command::new(config.bin_directory.join("postgres"));
    command.arg("-D").arg(&config.data_directory).arg("-C").arg(name);
    command.arg("-c").arg(format!("config_file={}", config.config_file.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(system(format!("run postgres -C {name}")))
}

fn answer(name: &str, asked: std::process::Child) -> Result<u32> {
    let output = asked.wait_with_output().map_err(system(format!("run postgres -C {name}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().map_err(|_| Error::Program {
        program: format!("postgres -C {name}"),
        detail: String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
    })
}

//! An empty disk becomes a server: `initdb` on the primary, a base backup of it on a standby.
//!
//! It is made beside the data directory and renamed into place at the end. What a crash leaves is
//! removed by the next attempt; a data directory is there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use remount_host::durable;
use remount_postgres::DataDirectory;

use super::config::PostgresConfig;
use crate::error::{Error, Result, system};
use remount_host::Account;
use remount_host::Deadline;

/// Between two tries of a standby to copy its primary.
const PAUSE: Duration = Duration::from_secs(2);

/// Makes the folders that the user needs to make the rest itself.
///
/// # Errors
/// The file system's.
pub fn make_folders(config: &PostgresConfig, account: Account) -> Result<()> {
    for folder in [&*config.socket_directory, above(&config.data_directory), above(&config.password_file)] {
        account.create_folder(folder)?;
    }
    Ok(())
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Makes the data directory; with the rights of the user that PostgreSQL runs as, as all here.
///
/// # Errors
/// A program of PostgreSQL's or the file system's. There is then no data directory, and the next attempt begins again.
pub async fn initialise(config: &PostgresConfig) -> Result<()> {
    let above = above(&config.data_directory);
    let beside = beside(&config.data_directory);
    if config.bootstrap {
        remove(&beside)?;
        init_database(config, &beside)?;
    } else {
        write_password_file(config)?;
        copy_primary(config, &beside).await?;
        DataDirectory::new(&beside).follow()?;
    }
    durable::sync_file_system(&beside)?;
    if config.data_directory.exists() {
        // Empty, or it would not have been initialised.
        fs::remove_dir(&config.data_directory).map_err(system("make room for the data directory"))?;
    }
    fs::rename(&beside, &config.data_directory).map_err(system("put the data directory in place"))?;
    durable::sync_folder(above)?;
    log::info!(data_directory:% = config.data_directory.display(), bootstrap = config.bootstrap; "initialised");
    Ok(())
}

/// Writes what libpq needs to log in at the primary, for the user that PostgreSQL runs as.
///
/// # Errors
/// The file system's; the earlier file is then still there.
pub fn write_password_file(config: &PostgresConfig) -> Result<()> {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let Some(address) = &config.primary_address else { return Ok(()) };
    let (user, password) = (&config.replication.name, config.replication.password.expose());
    let line = format!("{}:{}:*:{}:{}\n", escaped(address), config.port, escaped(user), escaped(password));
    Ok(durable::write(&config.password_file, line.as_bytes())?)
}

fn init_database(config: &PostgresConfig, beside: &Path) -> Result<()> {
    let mut command = Command::new(config.bin_directory.join("initdb"));
    command.arg("-D").arg(beside).arg("--username").arg(&config.superuser);
    command.args(["--data-checksums", "--encoding=UTF8", "--auth-local=peer", "--auth-host=scram-sha-256"]);
    command.arg(format!("--locale={}", config.locale));
    run("initdb", &mut command)
}

/// The primary may be starting, too: the instances of a new deployment start together.
async fn copy_primary(config: &PostgresConfig, beside: &Path) -> Result<()> {
    let deadline = Deadline::after_seconds(config.initialise_deadline_seconds);
    let mut said = String::new();
    loop {
        remove(beside)?;
        let mut command = Command::new(config.bin_directory.join("pg_basebackup"));
        command.arg("-D").arg(beside).args(["--wal-method=stream", "--checkpoint=fast", "--no-password"]);
        command.arg("-d").arg(config.primary_conninfo().unwrap_or_default());
        let Err(error) = run("pg_basebackup", &mut command) else { return Ok(()) };
        let text = remount_core::with_causes(&error);
        if said != text {
            let seconds = deadline.seconds();
            log::warn!(deadline_seconds = seconds; "the primary cannot be copied yet: {text}");
            said = text;
        }
        if !deadline.pause(PAUSE).await {
            return Err(error);
        }
    }
}

fn run(program: &str, command: &mut Command) -> Result<()> {
    let output = command.current_dir("/").output().map_err(system(format!("run {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let detail = format!("{} ({})", words.trim().replace('\n', "; "), output.status);
    Err(Error::Program { program: program.into(), detail })
}

fn beside(data_directory: &Path) -> PathBuf {
    let mut name = data_directory.file_name().unwrap_or_default().to_owned();
    name.push(".initialising");
    data_directory.with_file_name(name)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(system(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

//! `status`: the server's status, for a person on the VM.

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::Result;
use crate::{hooks, recovering};
use remount_postgres::{Identity, LocalServer, ServerStatus};

/// Prints the status as JSON on standard output.
///
/// # Errors
/// The server does not answer, or a record of ours cannot be read.
pub fn print(config: &AgentConfig) -> Result<()> {
    remount_host::Account::named(&config.user)?.become_it()?;
    let status = hooks::runtime()?.block_on(async {
        let disk = Disk::new(&config.directories);
        let mut status = of(&LocalServer::new(config.postgres.clone()), &config.identity, &disk).await?;
        status.backup = disk.backup_mark()?.map(|mark| mark.backup);
        Ok::<_, crate::error::Error>(status)
    })?;
    println!("{}", serde_json::to_string_pretty(&status).expect("a status has string keys only"));
    Ok(())
}

/// The server's status, which restore the disk has applied, and what is on other disks.
///
/// # Errors
/// The server does not answer, or a record of ours cannot be read.
pub async fn of(server: &LocalServer, identity: &Identity, disk: &Disk) -> Result<ServerStatus> {
    let mut status = {
        let open = recovering::as_primary(disk)?;
        server.status(identity, open.as_ref().map(|applied| &applied.target)).await?
    };
    status.applied_restore = disk.applied()?.pop().map(|applied| applied.restore);
    status.on_other_disks = server.data_directory().on_other_disks(&disk.on_it())?;
    if status.applied_restore.is_none() {
        status.replayed_to = None; // Promoted by somebody else.
    }
    Ok(status)
}

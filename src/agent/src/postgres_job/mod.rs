//! The hooks of the job `postgres`: making a server on an empty disk, running it, giving it its roles,
//! and stopping it. The bootstrap instance of the group is the primary; the others follow it.

mod config;
mod demanded_settings;
mod drain;
mod initialise;
mod primary_timeline;
mod roles;
mod run;

use std::path::Path;

use remount_postgres::{DataDirectory, DataState, LocalServer};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::hooks;
use crate::recovering;
use crate::server_state::{self, Wanted};
use config::PostgresConfig;
pub use drain::drain;
use remount_host::Account;
use remount_host::Deadline;
pub use run::run;

/// Decides whether PostgreSQL may start (where the job `remount-agent` is deployed too), then initialises an empty disk.
///
/// # Errors
/// As [`crate::fence::Fence::guard`]; or the disk cannot be initialised, or holds the data of the other role. PostgreSQL may not start.
pub fn pre_start(path: &Path) -> Result<()> {
    let config = PostgresConfig::load(path)?;
    let account = Account::named(&config.user)?;
    let (agent, mut _lock) = (config.agent()?, None);
    if let Some(agent) = &agent {
        _lock = Some(hooks::lock(agent, account)?);
        hooks::guard(agent, account)?;
    }
    initialise::make_folders(&config, account)?;
    account.act(|| hooks::runtime()?.block_on(prepare(&config, agent.as_ref())))?
}

async fn prepare(config: &PostgresConfig, agent: Option<&AgentConfig>) -> Result<()> {
    let data = DataDirectory::new(&config.data_directory);
    match data.state()? {
        DataState::Cluster(_) => {
            // A primary that is being restored takes no writes yet: it may be a standby by its signal file.
            let is_standby = data.is_standby() && !is_restored_here(agent)?;
            role_must_fit(config.bootstrap, is_standby)?;
        }
        DataState::Empty => initialise::initialise(config).await?,
    }
    initialise::write_password_file(config)
}

/// The configuration of the job `remount-agent`, where it is deployed beside.
/// Whether the disk is being restored as a primary's, which is not promoted yet.
fn is_restored_here(agent: Option<&AgentConfig>) -> Result<bool> {
    let Some(agent) = agent else { return Ok(false) };
    Ok(recovering::as_primary(&Disk::new(&agent.directories))?.is_some())
}

/// Two primaries in one group would archive two histories into one archive.
fn role_must_fit(bootstrap: bool, is_standby: bool) -> Result<()> {
    let problem = match (bootstrap, is_standby) {
        (true, false) | (false, true) => return Ok(()),
        (true, true) => "this is the bootstrap instance, but its disk holds a standby (standby.signal)",
        (false, false) => {
            "this is not the bootstrap instance, but its disk holds a primary (no standby.signal)"
        }
    };
    let next = "an instance of the group was added or removed: scale the group back to the instances it had, or fix \
                the roles by hand (`pg_ctl promote` on the new bootstrap instance, an empty disk for this one)";
    Err(Error::Server { what: problem.into(), next: next.into() })
}

/// Re-applies roles and passwords on a primary that takes writes. One that is being restored does not yet: its promotion
/// does it, since after it they are those of the snapshot.
///
/// # Errors
/// [`Error::Server`] where the primary does not take writes by the deadline, or PostgreSQL's for a statement.
pub fn post_start(path: &Path) -> Result<()> {
    let config = PostgresConfig::load(path)?;
    Account::named(&config.user)?.become_it()?;
    hooks::runtime()?.block_on(async {
        let server = config.server();
        let deadline = Deadline::after_seconds(config.post_start_deadline_seconds);
        if server.data_directory().is_standby() || is_restored_here(config.agent()?.as_ref())? {
            return Ok(()); // The agent's post-start waits for it; roles come from the primary.
        }
        server_state::await_state(&server, deadline, Wanted::Promoted).await?;
        roles::apply(&config, &server).await
    })
}

/// Makes the roles be as the job's configuration has them.
///
/// # Errors
/// The configuration cannot be read, or PostgreSQL's for a statement.
pub async fn apply_roles(path: &Path, server: &LocalServer) -> Result<()> {
    roles::apply(&PostgresConfig::load(path)?, server).await
}

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

use remount_postgres::{DataDirectory, DataState};

use crate::error::{Error, Result};
use crate::hooks;
use crate::server_state::{self, Wanted};
use config::PostgresConfig;
pub use drain::drain;
use remount_host::Account;
use remount_host::Deadline;
pub use run::run;

/// Decides whether PostgreSQL may start (where the job `remount-agent` is deployed too), then initialises an empty disk.
///
/// # Errors
/// As [`Fence::guard`]; or the disk cannot be initialised, or holds the data of the other role. PostgreSQL may not start.
pub fn pre_start(path: &Path) -> Result<()> {
    let config = PostgresConfig::load(path)?;
    let account = Account::named(&config.user)?;
    let mut _lock = None;
    if let Some(agent) = config.agent()? {
        _lock = Some(hooks::lock(&agent, account)?);
        hooks::guard(&agent, account)?;
    }
    initialise::make_folders(&config, account)?;
    account.act(|| hooks::runtime()?.block_on(prepare(&config)))?
}

async fn prepare(config: &PostgresConfig) -> Result<()> {
    let data = DataDirectory::new(&config.data_directory);
    match data.state()? {
        DataState::Cluster(_) => role_must_fit(config, &data)?,
        DataState::Empty => initialise::initialise(config).await?,
    }
    initialise::write_password_file(config)
}

/// Two primaries in one group would archive two histories into one archive.
fn role_must_fit(config: &PostgresConfig, data: &DataDirectory) -> Result<()> {
    let problem = match (config.bootstrap, data.is_standby()) {
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

/// Re-applies roles and passwords on the primary: after a restore they are those of the snapshot.
///
/// # Errors
/// [`Error::Server`] where the primary does not take writes by the deadline, or PostgreSQL's for a statement.
pub fn post_start(path: &Path) -> Result<()> {
    let config = PostgresConfig::load(path)?;
    Account::named(&config.user)?.become_it()?;
    hooks::runtime()?.block_on(async {
        let server = config.server();
        let deadline = Deadline::after_seconds(config.post_start_deadline_seconds);
        if server.data_directory().is_standby() {
            return Ok(()); // The agent's post-start waits for it; roles come from the primary.
        }
        server_state::await_state(&server, deadline, Wanted::Promoted).await?;
        roles::apply(&config, &server).await
    })
}

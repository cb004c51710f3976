//! `post-start`: waits until the server is ready. A restored primary is where it stands at its target, in recovery: only
//! the driver promotes it, and a repeated start or a reboot brings it there again. A standby's recovery is over, and
//! recorded, when it streams.

use jiff::Timestamp;
use remount_core::documents::{AppliedPlan, FORMAT, InitialisedNote};
use remount_core::{InstanceId, Role};
use remount_host::{Account, Deadline};
use remount_postgres::LocalServer;

use super::runtime;
use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::Result;
use crate::recovering::conclude;
use crate::server_state::{Wanted, await_state};
use crate::store_client::StoreClient;

/// The store may be down at a normal start; noting the instance can wait for the next one.
const REGISTER_SECONDS: u64 = 10;

/// Waits until the server is ready, and notes the instance as initialised.
///
/// # Errors
/// [`Error::Server`](crate::error::Error::Server) where PostgreSQL is down or is not ready by the deadline; a record
/// of ours cannot be written. The server runs on; the next start looks again.
pub fn post_start(config: &AgentConfig) -> Result<()> {
    Account::named(&config.user)?.become_it()?;
    runtime()?.block_on(async {
        let deadline = Deadline::after_seconds(config.post_start.deadline_seconds);
        let disk = Disk::new(&config.directories);
        let server = LocalServer::new(config.postgres.clone());
        let open = remount_core::documents::open_plan(disk.applied()?);
        await_start(&server, deadline, open.as_ref()).await?;
        if let Some(applied) = open.filter(|applied| applied.role == Role::Standby) {
            conclude(&disk, applied)?;
        }
        let deadline = Deadline::after_seconds(REGISTER_SECONDS.min(config.post_start.deadline_seconds));
        note_initialised(&config.store_client(), &config.identity.instance.id, &disk, deadline).await
    })
}

/// What has to hold before the start counts.
async fn await_start(server: &LocalServer, deadline: Deadline, open: Option<&AppliedPlan>) -> Result<()> {
    let standby = server.data_directory().is_standby();
    match open {
        Some(applied) if applied.role == Role::Primary => {
            await_state(server, deadline, Wanted::Recovered(applied)).await
        }
        Some(applied) => {
            let timeline = applied.fork.as_ref().map(|fork| fork.timeline);
            await_state(server, deadline, Wanted::Streaming(timeline)).await
        }
        // An ordinary standby may start before its primary does: it only has to answer.
        None if standby => await_state(server, deadline, Wanted::Answering).await,
        None => await_state(server, deadline, Wanted::Promoted).await,
    }
}

/// From now on an empty disk under this instance is a missing disk. If the store is down, its note is written at the
/// next start; the VM's own note is there.
async fn note_initialised(
    store: &StoreClient,
    id: &InstanceId,
    disk: &Disk,
    deadline: Deadline,
) -> Result<()> {
    let before = disk.initialised()?;
    if before.as_ref().is_some_and(|note| note.registered) {
        return Ok(());
    }
    let asked = store.ask(deadline, |store| async move { store.register_instance(id).await });
    let registered = match asked.await {
        Ok(()) => true,
        Err(error) => {
            log::warn!(error:% = remount_core::with_causes(&error); "the instance is not registered in the object store yet; the next start tries again");
            false
        }
    };
    let at = before.map_or_else(Timestamp::now, |note| note.at);
    disk.note_initialised(&InitialisedNote { format: FORMAT, at, registered })
}

//! `post-deploy`: checks that the object store accepts what this instance writes.
//!
//! Otherwise a wrong credential would be found only when the archive is needed: `archive_command` fails in PostgreSQL's
//! log alone, and a normal start does not ask the store. At post-deploy everything runs already: a failure stops no
//! server, and fails the deploy. It writes the instance's note, which is there after the first time: the store checks the
//! credentials before it looks for the object.

use crate::config::AgentConfig;
use crate::error::Result;
use crate::hooks;
use remount_host::Account;
use remount_host::Deadline;

/// Writes to the store, and waits out an outage of it up to the limit.
///
/// # Errors
/// The store refuses, or has not answered by the deadline.
pub fn post_deploy(config: &AgentConfig) -> Result<()> {
    Account::named(&config.user)?.become_it()?;
    let id = &config.identity.instance.id;
    let deadline = Deadline::after_seconds(config.post_deploy.deadline_seconds);
    let asked = |store: remount_store::ClusterStore| async move { store.register_instance(id).await };
    hooks::runtime()?.block_on(config.store_client().ask(deadline, asked))?;
    log::info!("the object store accepts what this instance writes");
    Ok(())
}

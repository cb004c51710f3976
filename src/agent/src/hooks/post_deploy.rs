//! `post-deploy`: whether the archive takes what this instance writes.
//!
//! A wrong credential would else be found when the archive is needed: `archive_command` fails in PostgreSQL's log alone,
//! and a normal start does not ask the store. By post-deploy everything runs already, so a failure stops nothing; it
//! makes the deploy say so. It writes the note that post-start owes, which is there after the first time: the store
//! judges the credentials before it looks.

use crate::config::AgentConfig;
use crate::error::Result;
use crate::hooks;
use remount_host::Account;
use remount_host::Deadline;

/// Writes to the store, and waits out an outage of it up to the limit.
pub fn post_deploy(config: &AgentConfig) -> Result<()> {
    Account::named(&config.user)?.become_it()?;
    let id = &config.identity.instance.id;
    let deadline = Deadline::after_seconds(config.post_deploy.deadline_seconds);
    let asked = |store: remount_store::ClusterStore| async move { store.register_instance(id).await };
    hooks::runtime()?.block_on(config.store_client().ask(deadline, asked))?;
    log::info!("the object store takes what this instance writes");
    Ok(())
}

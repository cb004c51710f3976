//! `post-stop`: archives what is left, after the server has stopped, and notes in the store what could not be.
//!
//! Drain may have reached its limit or been skipped, and bpm may have killed the server since: only now it is known
//! how it ended, whichever release the server is of. A restore to `latest` waits for the note before it swaps the primary's
//! disk.
//!
//! It never fails: WAL that is not archived must not keep the VM from being stopped, and the next start archives it.

use std::path::Path;

use remount_core::documents::StopNote;
use remount_host::Account;

use crate::config::AgentConfig;
use crate::error::Result;
use crate::hooks;
use crate::unarchived;

/// Archives what is left. What that was, the archiving logs.
pub fn post_stop(path: &Path) {
    let archived = AgentConfig::load(path).and_then(|config| archive(&config));
    if let Err(error) = archived {
        let report = remount_core::report(&error);
        log::warn!("a restore to `latest` will not know which WAL is not archived:\n{report}");
    }
}

fn archive(config: &AgentConfig) -> Result<StopNote> {
    // What it reads and writes is the service user's, and so are the links that could lie there.
    Account::named(&config.user)?.become_it()?;
    hooks::runtime()?.block_on(unarchived::stopped::archive(config))
}

//! Where Remount keeps its files on a database VM (`docs/formats.md`).

use std::path::PathBuf;

use serde::Deserialize;

/// The folders of a database VM: the block `directories` of `agent.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directories {
    /// The persistent disk's mount point.
    pub store: PathBuf,
    /// On the VM's own disk: lost with the VM.
    pub data: PathBuf,
    /// Locks: lost with a reboot.
    pub run: PathBuf,
}

impl Directories {
    /// What is ours on the persistent disk.
    #[must_use]
    pub fn remount(&self) -> PathBuf {
        self.store.join("remount")
    }

    /// The plans that this disk has applied, a file each.
    #[must_use]
    pub fn applied_plans(&self) -> PathBuf {
        self.remount().join("applied")
    }

    /// The mark that is there during a backup, and in every copy.
    #[must_use]
    pub fn backup_mark(&self) -> PathBuf {
        self.remount().join("backup.json")
    }

    /// The note that this VM has seen data on its disk.
    #[must_use]
    pub fn initialised_note(&self) -> PathBuf {
        self.data.join("initialised.json")
    }
}

//! The data directory while no server runs on it: what it holds, and what makes a copy recover.
//!
//! The order of [`DataDirectory::prepare`] is what makes a crash in it harmless:
//!
//! 1. `backup_label` first: with it and without a signal file PostgreSQL refuses to start, so a
//!    directory that was prepared in part cannot take writes on the old timeline by accident;
//! 2. signal files of the copy's past away, then everything else of it, then the settings;
//! 3. the signal file last.
//!
//! Each file is written beside, synced, renamed, and its folder synced. Preparing again from any
//! point gives the same result.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remount_core::{RecoveryTarget, RestoreId, RestoreTarget, Role, WalSegment};

use crate::{ControlData, Error, RecoverySettings, Result, auto_conf};
use remount_host::FileError;
use remount_host::durable::{self, at};

const LABEL: &str = "backup_label";
const MAP: &str = "tablespace_map";
const SETTINGS: &str = "postgresql.auto.conf";
/// Where PostgreSQL notes what is to be archived, and what is.
const ARCHIVE_STATUS: &str = "pg_wal/archive_status";
const RECOVERY_SIGNAL: &str = "recovery.signal";
const STANDBY_SIGNAL: &str = "standby.signal";

/// Files of a running server that are wrong in a copy of it.
const STALE_FILES: [&str; 3] = ["postmaster.pid", "postmaster.opts", "backup_manifest"];
/// Folders whose content belongs to the server that was copied: a slot that came along would hold
/// back WAL for ever.
const STALE_CONTENT: [&str; 2] = ["pg_replslot", "pg_stat_tmp"];

/// The data directory of a server.
#[derive(Clone, Debug)]
pub struct DataDirectory {
    path: PathBuf,
}

/// Whether there is a cluster in a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataState {
    /// There is none: the directory is absent or empty.
    Empty,
    /// There is one.
    Cluster(ControlData),
}

/// The file that says how recovery is begun, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To a target, where it is told to stop: without one PostgreSQL would take writes at the end of the archive.
    Recovery,
    /// For ever, until it is promoted.
    Standby,
}

impl Signal {
    /// How an instance recovers: a primary to its target, or to the end of the archive, and stays there.
    #[must_use]
    pub const fn of(role: Role, target: &RestoreTarget) -> Self {
        match (role, &target.target) {
            (Role::Standby, _) | (Role::Primary, RecoveryTarget::Latest) => Self::Standby,
            (Role::Primary, _) => Self::Recovery,
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Recovery => RECOVERY_SIGNAL,
            Self::Standby => STANDBY_SIGNAL,
        }
    }
}

/// What a copy from a snapshot is to become.
#[derive(Clone, Debug)]
pub struct Preparation<'a> {
    /// The restore; it names the settings' block.
    pub restore: &'a RestoreId,
    /// How recovery is begun.
    pub signal: Signal,
    /// The label of the backup, verbatim.
    pub backup_label: &'a str,
    /// The tablespace map of the backup, verbatim; empty without tablespaces.
    pub tablespace_map: &'a str,
    /// How it recovers.
    pub settings: &'a RecoverySettings,
}

impl DataDirectory {
    /// The data directory at this path; it need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a cluster in it.
    ///
    /// # Errors
    /// [`Error::File`]: there is something in it, but no cluster whose control file can be believed.
    pub fn state(&self) -> Result<DataState> {
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DataState::Empty),
            Err(error) => return Err(at(&self.path)(error).into()),
            Ok(mut entries) => {
                if entries.next().is_none() {
                    return Ok(DataState::Empty);
                }
            }
        }
        if !self.holds("PG_VERSION") {
            let detail = "the directory is not empty, but there is no PG_VERSION in it".into();
            return Err(Error::File { path: self.path.display().to_string(), detail });
        }
        ControlData::read(&self.path).map(DataState::Cluster)
    }

    /// Whether the server will start as a standby.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.holds(STANDBY_SIGNAL)
    }

    /// Whether the server will recover from the archive to a target.
    #[must_use]
    pub fn awaits_recovery(&self) -> bool {
        self.holds(RECOVERY_SIGNAL)
    }

    /// Makes a copy from a snapshot one that recovers. The server must not run.
    ///
    /// # Errors
    /// The file system's. The directory then has its label and no complete set of the rest: prepare again.
    ///
    /// # Idempotence
    /// Preparing again gives the same result, whatever an earlier attempt left.
    pub fn prepare(&self, preparation: &Preparation<'_>) -> Result<()> {
        durable::write(&self.file(LABEL), preparation.backup_label.as_bytes())?;
        durable::remove(&self.file(RECOVERY_SIGNAL))?;
        durable::remove(&self.file(STANDBY_SIGNAL))?;
        match preparation.tablespace_map {
            "" => durable::remove(&self.file(MAP))?,
            map => durable::write(&self.file(MAP), map.as_bytes())?,
        }
        self.clean()?;
        let past = auto_conf::without_recovery(&self.settings()?);
        let lines = preparation.settings.lines();
        self.write_settings(&auto_conf::with_block(&past, preparation.restore, &lines))?;
        durable::sync_file_system(&self.path)?;
        Ok(durable::write(&self.file(preparation.signal.file()), b"")?)
    }

    /// Moves the target of a recovery that goes on: for the next start. Answers whether anything had to be changed.
    ///
    /// # Errors
    /// The file system's; repeat it.
    pub fn move_target(
        &self,
        restore: &RestoreId,
        settings: &RecoverySettings,
        signal: Signal,
    ) -> Result<bool> {
        let before = self.settings()?;
        let after = auto_conf::with_block(&auto_conf::without_recovery(&before), restore, &settings.lines());
        let other = if signal == Signal::Recovery { Signal::Standby } else { Signal::Recovery };
        if after == before && self.holds(signal.file()) && !self.holds(other.file()) {
            return Ok(false);
        }
        // The signal first: with both PostgreSQL is a standby, which ends nothing by itself.
        durable::write(&self.file(signal.file()), b"")?;
        self.write_settings(&after)?;
        durable::remove(&self.file(other.file()))?;
        Ok(true)
    }

    /// Makes a fresh base backup of the primary one that follows it: without the settings of a
    /// restore that the primary may just have gone through.
    ///
    /// # Errors
    /// The file system's.
    pub fn follow(&self) -> Result<()> {
        let text = self.settings()?;
        self.write_settings(&auto_conf::without_recovery(&auto_conf::without_block(&text)))?;
        Ok(durable::write(&self.file(STANDBY_SIGNAL), b"")?)
    }

    /// Removes the settings that only a restore needed. The server may run; it has to reload.
    /// Answers whether there were any.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove_restore_settings(&self) -> Result<bool> {
        let text = self.settings()?;
        let without = auto_conf::without_block(&text);
        if without == text {
            return Ok(false);
        }
        self.write_settings(&without)?;
        Ok(true)
    }

    /// Puts a segment where PostgreSQL looks for it after the archive, in the place of what a copy has under its name.
    /// The server must not run.
    ///
    /// # Errors
    /// The file system's; the former file is then still there.
    pub fn place_wal(&self, segment: &WalSegment, content: &[u8]) -> Result<()> {
        Ok(durable::write(&self.file("pg_wal").join(segment.to_string()), content)?)
    }

    /// The same for a segment that must not be archived under its name, because only its beginning is what the name
    /// says. Marked first: PostgreSQL, once it has no need of the segment, archives what carries no mark, whatever its
    /// timeline, and what the archive then refuses is tried for ever, before everything that is younger.
    ///
    /// # Errors
    /// As [`Self::place_wal`].
    pub fn place_wal_for_reading(&self, segment: &WalSegment, content: &[u8]) -> Result<()> {
        durable::write(&self.file(ARCHIVE_STATUS).join(format!("{segment}.done")), b"")?;
        self.place_wal(segment, content)
    }

    fn clean(&self) -> Result<()> {
        for name in STALE_FILES {
            durable::remove(&self.file(name))?;
        }
        for name in STALE_CONTENT {
            remove_content(&self.file(name))?;
        }
        for folder in self.temporary_folders()? {
            remove_tree(&folder)?;
        }
        // The archive has had these segments from the server that was copied, or will never get them:
        // they lie beyond the point that is restored to.
        Ok(remove_files(&self.file(ARCHIVE_STATUS), ".ready")?)
    }

    /// `pgsql_tmp*` in `base` and in each tablespace.
    fn temporary_folders(&self) -> Result<Vec<PathBuf>, FileError> {
        let mut above = vec![self.file("base")];
        for tablespace in entries(&self.file("pg_tblspc"))? {
            above.extend(entries(&tablespace)?);
        }
        let mut found = Vec::new();
        for folder in above {
            found.extend(entries(&folder)?.into_iter().filter(|path| name_of(path).starts_with("pgsql_tmp")));
        }
        Ok(found)
    }

    fn settings(&self) -> Result<Vec<u8>> {
        Ok(durable::read(&self.file(SETTINGS))?.unwrap_or_default())
    }

    fn write_settings(&self, text: &[u8]) -> Result<()> {
        Ok(durable::write(&self.file(SETTINGS), text)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn holds(&self, name: &str) -> bool {
        self.file(name).exists()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The entries of a folder; none where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(at(folder)(error)),
    };
    read.map(|entry| entry.map(|entry| entry.path()).map_err(at(folder))).collect()
}

fn remove_tree(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).map_err(at(path))?;
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(at(path))
}

fn remove_content(folder: &Path) -> Result<(), FileError> {
    for entry in entries(folder)? {
        remove_tree(&entry)?;
    }
    if folder.is_dir() { durable::sync_folder(folder) } else { Ok(()) }
}

fn remove_files(folder: &Path, ending: &str) -> Result<(), FileError> {
    for entry in entries(folder)? {
        if name_of(&entry).ends_with(ending) {
            remove_tree(&entry)?;
        }
    }
    if folder.is_dir() { durable::sync_folder(folder) } else { Ok(()) }
}

//! What Remount itself keeps on the disk and on the VM (`docs/design.md` section 5).
//!
//! | file | means |
//! |---|---|
//! | `<store>/remount/backup.json` | this disk is a copy, or a backup is being taken of it |
//! | `<store>/remount/applied/<restore>.json` | this disk has applied that plan |
//! | `<data>/initialised.json` | this VM has seen data on its disk |
//!
//! Fields that a later version adds are ignored; a larger `format` is refused.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remount_core::documents::{self, AppliedPlan, BackupMark, DiskOwner, FORMAT, InitialisedNote};
use remount_core::{BackupId, RestoreId, StoreId};
use remount_host::{Account, Directories, durable};
use remount_postgres::Error as PostgresError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, system};

/// The folders of Remount on a VM.
#[derive(Clone, Debug)]
pub struct Disk(Directories);

impl Disk {
    /// What lies in these directories.
    pub fn new(directories: &Directories) -> Self {
        Self(directories.clone())
    }

    /// The persistent disk's mount point.
    pub fn mount_point(&self) -> &Path {
        &self.0.store
    }

    /// A folder that is on the persistent disk wherever this process runs: bpm mounts the folders that it is told of into a
    /// container, whose own file system may be what is at the mount point.
    pub fn on_it(&self) -> PathBuf {
        self.0.remount()
    }

    /// Makes the folders, for the user that the daemon runs as.
    ///
    /// # Errors
    /// The file system's, or its `chown`.
    pub fn create_folders(&self, owner: Account) -> Result<()> {
        owner.create_folder(&self.0.remount())?;
        owner.create_folder(&self.0.applied_plans())?;
        Ok(owner.create_folder(&self.0.data)?)
    }

    /// Whether the disk is mounted. The kernel's own list is asked: a bind mount shares its device
    /// number with the folder around it. A container of bpm has not the disk itself but folders of it, each mounted: there
    /// it is the first below the mount point that counts.
    ///
    /// # Errors
    /// `/proc/self/mountinfo` cannot be read.
    pub fn is_mounted(&self) -> Result<bool> {
        let mounts = fs::read("/proc/self/mountinfo").map_err(system("read /proc/self/mountinfo"))?;
        let path = fs::canonicalize(&self.0.store).unwrap_or_else(|_| self.0.store.clone());
        Ok(is_mounted(&mounts, &path))
    }

    /// The mark of a backup, if there is one.
    ///
    /// # Errors
    /// It is there and cannot be read; nobody knows then whether the disk is a copy.
    pub fn backup_mark(&self) -> Result<Option<BackupMark>> {
        read(&self.0.backup_mark())
    }

    /// Marks the disk: from now on every copy of it names the backup it is from.
    ///
    /// # Errors
    /// The file system's; there may be a mark or none.
    pub fn mark_backup(
        &self,
        backup: &BackupId,
        owner: DiskOwner,
        store: StoreId,
        now: Timestamp,
    ) -> Result<()> {
        let mark = BackupMark { format: FORMAT, backup: backup.clone(), owner, store, started_at: now };
        write(&self.0.backup_mark(), &mark)
    }

    /// Removes the mark. None counts as removed.
    ///
    /// # Errors
    /// The file system's; the mark may still be there.
    pub fn remove_mark(&self) -> Result<()> {
        Ok(durable::remove(&self.0.backup_mark())?)
    }

    /// Every plan that this disk has applied, in that order.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn applied(&self) -> Result<Vec<AppliedPlan>> {
        let folder = self.0.applied_plans();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(system(format!("list {}", folder.display()))(error)),
        };
        let mut found: Vec<AppliedPlan> = Vec::new();
        for entry in entries {
            let path = entry.map_err(system(format!("list {}", folder.display())))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.extend(read(&path)?);
            }
        }
        found.sort_by_key(|applied| applied.number);
        Ok(found)
    }

    /// The number of the next plan that this disk applies: a restore's own again where it applied that one.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn number_of(&self, restore: &RestoreId) -> Result<u32> {
        let applied = self.applied()?;
        let again = applied.iter().find(|applied| applied.restore == *restore).map(|applied| applied.number);
        let last = applied.last().map_or(0, |applied| applied.number);
        Ok(again.filter(|number| *number == last).unwrap_or(last.saturating_add(1)))
    }

    /// Records an applied plan, or its outcome.
    ///
    /// # Errors
    /// The file system's; the earlier record is then still there.
    pub fn record(&self, applied: &AppliedPlan) -> Result<()> {
        write(&self.0.applied_plans().join(format!("{}.json", applied.restore)), applied)
    }

    /// Whether this VM has seen data on its disk.
    ///
    /// # Errors
    /// The note is there and cannot be read.
    pub fn initialised(&self) -> Result<Option<InitialisedNote>> {
        read(&self.0.initialised_note())
    }

    /// Notes that this VM has seen data on its disk.
    ///
    /// # Errors
    /// The file system's; the earlier note is then still there.
    pub fn note_initialised(&self, note: &InitialisedNote) -> Result<()> {
        write(&self.0.initialised_note(), note)
    }
}

/// The fourth field of each line is the folder of its file system that is mounted, the fifth where; with blanks and
/// the like as octal escapes.
fn is_mounted(mounts: &[u8], disk: &Path) -> bool {
    let mounts = mounts.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line
            .split(|&b| b == b' ')
            .skip(3)
            .map(|field| PathBuf::from(OsString::from_vec(unescaped(field))));
        Some((fields.next()?, fields.next()?))
    });
    mounts
        .into_iter()
        .any(|(folder, at)| at == disk || (at.parent() == Some(disk) && is_of_disk(&folder, &at)))
}

/// Whether a folder that is mounted below the mount point of a disk is the disk's. Where the disk is missing, bpm mounts
/// what lies in its place: that folder's path goes on above the mount point, as `/var/vcap/store/postgres`.
fn is_of_disk(folder: &Path, at: &Path) -> bool {
    let above = folder.parent().and_then(Path::file_name);
    let mount_point = at.parent().and_then(Path::file_name);
    folder.file_name() == at.file_name() && above != mount_point
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\').then(|| after.get(..3)).flatten();
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(content) = durable::read(path)? else { return Ok(None) };
    let wrong =
        |detail: String| Error::Postgres(PostgresError::File { path: path.display().to_string(), detail });
    documents::decode(&content).map(Some).map_err(|error| wrong(error.to_string()))
}

fn write<T: Serialize>(path: &Path, document: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(document).expect("documents of ours have string keys only");
    Ok(durable::write(path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_compared_whole_and_unescaped() {
        let mounts = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:2 / /var/vcap/my\\040store rw - ext4 /dev/sdb1 rw\n";
        assert!(is_mounted(mounts, Path::new("/var/vcap/my store")));
        assert!(is_mounted(mounts, Path::new("/")));
        assert!(!is_mounted(mounts, Path::new("/var/vcap")));
    }

    #[test]
    fn in_a_container_a_folder_of_the_disk_stands_for_it() {
        let at = |root: &str| format!("30 1 8:2 {root} /var/vcap/store/postgres rw - ext4 /dev/sdb1 rw\n");
        let disk = Path::new("/var/vcap/store");
        for there in ["/postgres", "/volumes/x/_data/postgres"] {
            assert!(is_mounted(at(there).as_bytes(), disk), "{there}");
        }
        for in_its_place in ["/var/vcap/store/postgres", "/store/postgres", "/other"] {
            assert!(!is_mounted(at(in_its_place).as_bytes(), disk), "{in_its_place}");
        }
    }
}

//! Whether all of a cluster lies on one disk: what lies on another is in no snapshot, and a restore would bring back
//! files of two points in time.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use remount_host::durable::at;

use crate::{DataDirectory, Result};

impl DataDirectory {
    /// The data directory, `pg_wal` and the tablespaces that are not on the file system of `ours`, a folder of the
    /// persistent disk itself: the mount point is not, in a container that has only folders of the disk. Each as it is
    /// named in the data directory and where it leads to. A link that cannot be followed counts: nobody knows that what
    /// it names is on the disk.
    ///
    /// # Errors
    /// One of them cannot be looked at.
    pub fn on_other_disks(&self, ours: &Path) -> Result<Vec<String>> {
        let disk = fs::metadata(ours).map_err(at(ours))?.dev();
        let mut places = vec![self.path().to_owned(), self.path().join("pg_wal")];
        places.extend(tablespaces(&self.path().join("pg_tblspc"))?);
        let mut elsewhere = Vec::new();
        for place in places {
            elsewhere.extend(off_disk(&place, disk)?);
        }
        Ok(elsewhere)
    }
}

impl DataDirectory {
    /// The tablespaces whose path is no text in UTF-8. PostgreSQL takes any bytes; a manifest holds its map as text.
    ///
    /// # Errors
    /// One of them cannot be looked at.
    pub fn paths_that_are_no_text(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for place in tablespaces(&self.path().join("pg_tblspc"))? {
            match fs::read_link(&place) {
                Ok(target) if target.to_str().is_none() => {
                    found.push(format!("{} ({})", place.display(), target.display()));
                }
                Ok(_) => {}
                // One that lies in the data directory is a folder.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(at(&place)(error).into()),
            }
        }
        Ok(found)
    }
}

/// Links are followed: what counts is where the files are.
fn off_disk(place: &Path, disk: u64) -> Result<Option<String>> {
    let is_link = fs::symlink_metadata(place).map_err(at(place))?.is_symlink();
    match fs::metadata(place) {
        Ok(found) if found.dev() == disk => Ok(None),
        Ok(_) => {
            let target = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
            Ok(Some(format!("{} ({})", place.display(), target.display())))
        }
        Err(error) if is_link => {
            let target = fs::read_link(place).map_err(at(place))?;
            Ok(Some(format!(
                "{} ({}, which cannot be looked at: {error})",
                place.display(),
                target.display()
            )))
        }
        Err(error) => Err(at(place)(error).into()),
    }
}

fn tablespaces(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder)(error).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(at(folder))?.path());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The kernel's own file system is another than that of any folder.
    const OTHER: &str = "/proc";

    #[test]
    fn what_lies_on_another_file_system_is_named_with_where_it_leads_to() {
        let disk = tempfile::tempdir().unwrap();
        let data = disk.path().join("data");
        fs::create_dir_all(data.join("pg_tblspc")).unwrap();
        fs::create_dir(data.join("pg_wal")).unwrap();
        fs::create_dir(disk.path().join("space")).unwrap();
        symlink(disk.path().join("space"), data.join("pg_tblspc/1")).unwrap();
        let directory = DataDirectory::new(&data);
        assert_eq!(directory.on_other_disks(disk.path()).unwrap(), Vec::<String>::new());

        symlink(OTHER, data.join("pg_tblspc/2")).unwrap();
        fs::remove_dir(data.join("pg_wal")).unwrap();
        symlink(OTHER, data.join("pg_wal")).unwrap();
        let found = directory.on_other_disks(disk.path()).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("pg_wal (/proc)") && found[1].contains("pg_tblspc/2 (/proc)"), "{found:?}");
    }

    #[test]
    fn a_link_that_cannot_be_followed_is_named_and_is_no_error() {
        let disk = tempfile::tempdir().unwrap();
        let data = disk.path().join("data");
        fs::create_dir_all(data.join("pg_tblspc")).unwrap();
        fs::create_dir(data.join("pg_wal")).unwrap();
        symlink(disk.path().join("hidden"), data.join("pg_tblspc/1")).unwrap();
        let found = DataDirectory::new(&data).on_other_disks(disk.path()).unwrap();
        assert!(found.len() == 1 && found[0].contains("hidden, which cannot be looked at: "), "{found:?}");
    }

    #[test]
    fn a_tablespace_whose_path_is_no_text_is_named() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let disk = tempfile::tempdir().unwrap();
        let data = disk.path().join("data");
        fs::create_dir_all(data.join("pg_tblspc/1")).unwrap();
        symlink("/var/vcap/store/sp\u{e4}ce", data.join("pg_tblspc/2")).unwrap();
        let directory = DataDirectory::new(&data);
        assert_eq!(directory.paths_that_are_no_text().unwrap(), Vec::<String>::new());
        symlink(OsStr::from_bytes(b"/var/vcap/store/sp\xe4ce"), data.join("pg_tblspc/3")).unwrap();
        let found = directory.paths_that_are_no_text().unwrap();
        assert!(found.len() == 1 && found[0].contains("pg_tblspc/3"), "{found:?}");
    }

    #[test]
    fn a_place_that_cannot_be_looked_at_is_an_error() {
        let disk = tempfile::tempdir().unwrap();
        assert!(DataDirectory::new(disk.path()).on_other_disks(disk.path()).is_err(), "there is no pg_wal");
    }
}

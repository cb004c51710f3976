//! Which process uses a folder: every process of PostgreSQL has its data directory as its working directory.

use std::fs;
use std::path::Path;

use crate::error::{Result, system};

/// A process that uses the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// The first process whose working directory is this folder. One that ends meanwhile is none. Only root sees the
/// processes of all users.
///
/// # Errors
/// `/proc` cannot be read.
pub fn working_in(folder: &Path) -> Result<Option<Worker>> {
    let Ok(folder) = fs::canonicalize(folder) else { return Ok(None) };
    for entry in fs::read_dir("/proc").map_err(system("list the processes"))? {
        let process = entry.map_err(system("list the processes"))?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fs::read_link(process.path().join("cwd")).is_ok_and(|works_in| works_in == folder) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Ok(Some(Worker { pid, name: name.trim().to_owned() }));
        }
    }
    Ok(None)
}

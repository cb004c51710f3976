//! Which process uses a folder: every process of PostgreSQL has its data directory as its working directory.

use std::fs;
use std::path::Path;

use crate::error::{Result, system};

/// The first process whose working directory is this folder, with its name. One that ends meanwhile is none.
///
/// # Errors
/// `/proc` cannot be read.
pub fn working_in(folder: &Path) -> Result<Option<(u32, String)>> {
    let Ok(folder) = fs::canonicalize(folder) else { return Ok(None) };
    for entry in fs::read_dir("/proc").map_err(system("list the processes"))? {
        let process = entry.map_err(system("list the processes"))?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fs::read_link(process.path().join("cwd")).is_ok_and(|works_in| works_in == folder) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Ok(Some((pid, name.trim().to_owned())));
        }
    }
    Ok(None)
}

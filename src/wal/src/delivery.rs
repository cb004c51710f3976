//! Puts a file where PostgreSQL wants it: whole and durable, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file on its way: it is written under a name of its own in the same folder, so on the same filesystem, and
/// renamed at the end. One fetch at a time writes one target; what a killed one left is overwritten by the next, what a failed one wrote is removed.
#[derive(Debug)]
pub struct Delivery<'a> {
    target: &'a Path,
    temporary: PathBuf,
    /// None until there is something to write: an absent file leaves no trace.
    file: Option<File>,
}

impl<'a> Delivery<'a> {
    /// Nothing happens before the first write.
    pub fn to(target: &'a Path) -> Self {
        let mut name = target.as_os_str().to_owned();
        name.push(".remount");
        Self { target, temporary: name.into(), file: None }
    }

    /// Makes what was written durable and puts it in place.
    ///
    /// # Errors
    /// The file system's; the target is then as it was.
    pub fn finish(mut self) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(failed(&self.temporary))?;
        fs::rename(&self.temporary, self.target).map_err(failed(self.target))?;
        self.file = None;
        sync_folder_of(self.target).map_err(failed(self.target))
    }
}

/// What is not finished is not left on a disk that may be full.
impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

impl Write for Delivery<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            return file.write(content);
        }
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.temporary)?;
        self.file.insert(file).write(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

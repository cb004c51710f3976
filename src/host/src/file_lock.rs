//! One process at a time. `flock` by `fs2`: the lock ends with its holder, however that ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs2::FileExt as _;

use crate::Deadline;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "its life is the lock's")] File);

/// A lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is locked by another process", .0.display())]
    Held(PathBuf),
    /// The file cannot be opened or locked.
    #[error("{} cannot be locked", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileLock {
    /// Takes the lock, without waiting. The file is made where it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`], [`LockError::File`].
    pub fn try_take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_owned(), source };
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock_exclusive() {
            Ok(()) => Ok(Self(file)),
            Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                Err(LockError::Held(path.to_owned()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes the lock, waiting for its holder until the deadline.
    ///
    /// # Errors
    /// [`LockError::Held`] where it is held for so long, [`LockError::File`].
    pub async fn take(path: &Path, deadline: Deadline) -> Result<Self, LockError> {
        loop {
            match Self::try_take(path) {
                Err(LockError::Held(_)) if deadline.pause(PAUSE).await => {}
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_until_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::try_take(&path).unwrap();
        assert!(matches!(FileLock::try_take(&path), Err(LockError::Held(_))));
        let deadline = Deadline::after(Duration::from_millis(120));
        assert!(matches!(FileLock::take(&path, deadline).await, Err(LockError::Held(_))));
        drop(held);
        FileLock::take(&path, Deadline::after(Duration::from_secs(5))).await.unwrap();
    }
}

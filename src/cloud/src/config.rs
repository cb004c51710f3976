//! The `cloud` block of `remount.json`: which cloud, and how it is reached.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::{DiskCloud, LocalCloud, Result};

/// Which cloud holds the disks.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CloudConfig {
    /// Image files on one machine.
    Local {
        /// The folder that holds `disks` and `snapshots`.
        root: PathBuf,
    },
}

impl CloudConfig {
    /// Opens the cloud.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] where the configuration cannot work.
    pub fn open(&self) -> Result<Arc<dyn DiskCloud>> {
        match self {
            Self::Local { root } => Ok(Arc::new(LocalCloud::open(root)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused() {
        let read = |text: &str| serde_json::from_str::<CloudConfig>(text);
        assert!(read(r#"{"type": "local", "root": "/x"}"#).is_ok());
        assert!(read(r#"{"type": "local", "root": "/x", "rot": "/y"}"#).is_err());
        assert!(read(r#"{"type": "lokal", "root": "/x"}"#).is_err());
    }

    #[test]
    fn a_folder_without_a_cloud_is_refused_rather_than_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = CloudConfig::Local { root: folder.path().to_owned() };
        let error = config.open().unwrap_err();
        assert!(error.to_string().contains("disks"), "{error}");
    }
}

//! The block of the cloud `gcp`.

use serde::Deserialize;

use remount_host::Secret;

use super::block::{Block, is_set};

/// How Compute Engine is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcpConfig {
    /// The project of the Director's disks.
    pub project: Option<String>,
    /// `static` (a service account's key) or `service_account` (the VM's).
    pub credentials_source: Option<String>,
    /// `static`: the key, as the JSON text that Google hands out.
    pub json_key: Option<Secret>,
}

impl GcpConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut block = Block::of("gcp");
        block.needs("project", self.project.as_ref());
        let key = [("json_key", is_set(self.json_key.as_ref()))];
        block.credentials(self.credentials_source.as_ref(), &[("static", &key), ("service_account", &[])]);
        block.problems()
    }
}

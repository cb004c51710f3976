//! The block of the cloud `alicloud`.

use serde::Deserialize;

use remount_host::Secret;

use super::block::{Block, is_set};

/// How ECS is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlicloudConfig {
    /// The region of the disks and their snapshots.
    pub region: Option<String>,
    /// `static` (a key) or `ecs_ram_role` (the VM's RAM role).
    pub credentials_source: Option<String>,
    /// `static`: the key.
    pub access_key_id: Option<String>,
    /// `static`: its secret.
    pub access_key_secret: Option<Secret>,
    /// `ecs_ram_role`: which role; none: the one attached to the VM.
    pub ram_role_name: Option<String>,
    /// The key that disks made of snapshots are encrypted with; none: the snapshot's.
    pub kms_key_id: Option<String>,
    /// The host of ECS; none: the region's.
    pub ecs_endpoint: Option<String>,
}

impl AlicloudConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut block = Block::of("alicloud");
        block.needs("region", self.region.as_ref());
        let key = [
            ("access_key_id", is_set(self.access_key_id.as_ref())),
            ("access_key_secret", is_set(self.access_key_secret.as_ref())),
        ];
        block.credentials(self.credentials_source.as_ref(), &[("static", &key), ("ecs_ram_role", &[])]);
        block.problems()
    }
}

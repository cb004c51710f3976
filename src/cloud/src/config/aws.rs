//! The block of the cloud `aws`.

use serde::Deserialize;

use remount_host::Secret;

use super::block::{Block, is_set};

/// How EC2 is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// The region of the volumes and their snapshots.
    pub region: Option<String>,
    /// `static` (a key) or `env_or_profile` (the VM's instance profile).
    pub credentials_source: Option<String>,
    /// `static`: the key.
    pub access_key_id: Option<String>,
    /// `static`: its secret.
    pub secret_access_key: Option<Secret>,
    /// The role to assume with these credentials.
    pub role_arn: Option<String>,
    /// The key that disks made of snapshots are encrypted with; none: the snapshot's.
    pub kms_key_arn: Option<String>,
    /// The host of EC2; none: the region's.
    pub ec2_endpoint: Option<String>,
}

impl AwsConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut block = Block::of("aws");
        block.needs("region", self.region.as_ref());
        let key = [
            ("access_key_id", is_set(self.access_key_id.as_ref())),
            ("secret_access_key", is_set(self.secret_access_key.as_ref())),
        ];
        block.credentials(self.credentials_source.as_ref(), &[("static", &key), ("env_or_profile", &[])]);
        block.problems()
    }
}

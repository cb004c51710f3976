//! Disks of Alibaba Cloud's ECS. Not in this version: only its settings are read.

use remount_host::Secret;
use serde::Deserialize;

use crate::settings::{Given, Problems, Settings, Source};

/// How ECS is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct AlicloudSettings {
    /// The region of the disks and their snapshots.
    pub region: String,
    /// Who we are.
    pub credentials: AlicloudCredentials,
    /// The key that disks made of snapshots are encrypted with; none: the snapshot's.
    pub kms_key_id: Option<String>,
    /// The host of ECS; none: the region's.
    pub ecs_endpoint: Option<String>,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum AlicloudCredentials {
    /// An access key.
    AccessKey {
        /// Its id.
        id: Secret,
        /// Its secret.
        secret: Secret,
    },
    /// The VM's RAM role.
    RamRole {
        /// Which one; none: the one attached to the VM.
        name: Option<String>,
    },
}

const SOURCES: [Source; 2] = [("static", &["access_key_id", "access_key_secret"]), ("ecs_ram_role", &[])];

impl TryFrom<Given> for AlicloudSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("alicloud", given);
        let name = settings.optional("ram_role_name");
        let read = Self {
            region: settings.needed("region"),
            credentials: match settings.source(&SOURCES) {
                "static" => AlicloudCredentials::AccessKey {
                    id: settings.credential("access_key_id"),
                    secret: settings.credential("access_key_secret"),
                },
                _ => AlicloudCredentials::RamRole { name },
            },
            kms_key_id: settings.optional("kms_key_id"),
            ecs_endpoint: settings.optional("ecs_endpoint"),
        };
        settings.finish(read)
    }
}

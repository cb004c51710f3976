//! EBS volumes, by EC2. Not in this version: only its settings are read.

use remount_host::Secret;
use serde::Deserialize;

use crate::settings::{Given, Problems, Settings, Source};

/// How EC2 is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct AwsSettings {
    /// The region of the volumes and their snapshots.
    pub region: String,
    /// Who we are.
    pub credentials: AwsCredentials,
    /// The role to assume with these credentials.
    pub role_arn: Option<String>,
    /// The key that disks made of snapshots are encrypted with; none: the snapshot's.
    pub kms_key_arn: Option<String>,
    /// The host of EC2; none: the region's.
    pub ec2_endpoint: Option<String>,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum AwsCredentials {
    /// An access key.
    AccessKey {
        /// Its id.
        id: Secret,
        /// Its secret.
        secret: Secret,
    },
    /// The VM's instance profile.
    InstanceProfile,
}

const SOURCES: [Source; 2] = [("static", &["access_key_id", "secret_access_key"]), ("env_or_profile", &[])];

impl TryFrom<Given> for AwsSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("aws", given);
        let read = Self {
            region: settings.needed("region"),
            credentials: match settings.source(&SOURCES) {
                "static" => AwsCredentials::AccessKey {
                    id: settings.credential("access_key_id"),
                    secret: settings.credential("secret_access_key"),
                },
                _ => AwsCredentials::InstanceProfile,
            },
            role_arn: settings.optional("role_arn"),
            kms_key_arn: settings.optional("kms_key_arn"),
            ec2_endpoint: settings.optional("ec2_endpoint"),
        };
        settings.finish(read)
    }
}

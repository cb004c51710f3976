//! Managed disks, by the Resource Manager. Not in this version: only its settings are read.

use remount_host::Secret;
use serde::Deserialize;

use crate::settings::{Given, Problems, Settings, Source};

/// How the Resource Manager is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct AzureSettings {
    /// Which Azure.
    pub environment: AzureEnvironment,
    /// The region of the disks and their snapshots.
    pub location: String,
    /// The subscription of the Director's disks.
    pub subscription_id: String,
    /// The resource group of the Director's disks.
    pub resource_group_name: String,
    /// Who we are.
    pub credentials: AzureCredentials,
}

/// Which Azure: each has addresses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureEnvironment {
    /// The public one.
    Cloud,
    /// That of China.
    China,
    /// That of the government of the United States.
    UsGovernment,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum AzureCredentials {
    /// A service principal.
    ServicePrincipal {
        /// Its tenant.
        tenant_id: Secret,
        /// Its id.
        client_id: Secret,
        /// Its secret.
        client_secret: Secret,
    },
    /// The VM's managed identity.
    ManagedIdentity {
        /// Which one, where the VM has several.
        resource_id: Option<String>,
    },
}

const SOURCES: [Source; 2] =
    [("static", &["tenant_id", "client_id", "client_secret"]), ("managed_identity", &[])];

const ENVIRONMENTS: [(&str, AzureEnvironment); 3] = [
    ("AzureCloud", AzureEnvironment::Cloud),
    ("AzureChinaCloud", AzureEnvironment::China),
    ("AzureUSGovernment", AzureEnvironment::UsGovernment),
];

impl TryFrom<Given> for AzureSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("azure", given);
        let resource_id = settings.optional("managed_identity_resource_id");
        let read = Self {
            environment: settings.one_of("environment", &ENVIRONMENTS),
            location: settings.needed("location"),
            subscription_id: settings.needed("subscription_id"),
            resource_group_name: settings.needed("resource_group_name"),
            credentials: match settings.source(&SOURCES) {
                "static" => AzureCredentials::ServicePrincipal {
                    tenant_id: settings.credential("tenant_id"),
                    client_id: settings.credential("client_id"),
                    client_secret: settings.credential("client_secret"),
                },
                _ => AzureCredentials::ManagedIdentity { resource_id },
            },
        };
        settings.finish(read)
    }
}

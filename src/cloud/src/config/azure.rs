//! The block of the cloud `azure`.

use serde::Deserialize;

use remount_host::Secret;

use super::block::{Block, is_set};

/// How the Resource Manager is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// Which Azure: `AzureCloud`, `AzureChinaCloud` or `AzureUSGovernment`.
    pub environment: Option<String>,
    /// The region of the disks and their snapshots.
    pub location: Option<String>,
    /// The subscription of the Director's disks.
    pub subscription_id: Option<String>,
    /// The resource group of the Director's disks.
    pub resource_group_name: Option<String>,
    /// `static` (a service principal) or `managed_identity` (the VM's).
    pub credentials_source: Option<String>,
    /// `static`: the tenant of the service principal.
    pub tenant_id: Option<String>,
    /// `static`: the service principal.
    pub client_id: Option<String>,
    /// `static`: its secret.
    pub client_secret: Option<Secret>,
    /// `managed_identity`: which one, where the VM has several.
    pub managed_identity_resource_id: Option<String>,
}

impl AzureConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut block = Block::of("azure");
        let environments = ["AzureCloud", "AzureChinaCloud", "AzureUSGovernment"];
        block.needs_one_of("environment", &environments, self.environment.as_ref());
        block.needs("location", self.location.as_ref());
        block.needs("subscription_id", self.subscription_id.as_ref());
        block.needs("resource_group_name", self.resource_group_name.as_ref());
        let principal = [
            ("tenant_id", is_set(self.tenant_id.as_ref())),
            ("client_id", is_set(self.client_id.as_ref())),
            ("client_secret", is_set(self.client_secret.as_ref())),
        ];
        let sources = [("static", &principal[..]), ("managed_identity", &[])];
        block.credentials(self.credentials_source.as_ref(), &sources);
        block.problems()
    }
}

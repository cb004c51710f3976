//! The block of the cloud `openstack`.

use serde::Deserialize;

use remount_host::Secret;

use super::block::{Block, is_set};

/// How Keystone and Cinder are reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenstackConfig {
    /// Keystone, version 3.
    pub auth_url: Option<String>,
    /// The region, where the catalogue has several.
    pub region: Option<String>,
    /// Which address of the catalogue: `publicURL`, `internalURL` or `adminURL`.
    pub endpoint_type: Option<String>,
    /// `application_credential` or `password`.
    pub credentials_source: Option<String>,
    /// `application_credential`: its id.
    pub application_credential_id: Option<String>,
    /// `application_credential`: its secret.
    pub application_credential_secret: Option<Secret>,
    /// `password`: the user.
    pub username: Option<String>,
    /// `password`: the user's password, which the CPI calls so.
    pub api_key: Option<Secret>,
    /// `password`: the domain of user and project.
    pub domain: Option<String>,
    /// `password`: the project of the Director's volumes.
    pub project: Option<String>,
    /// The authority of the endpoints' certificates, in PEM; none: the system's.
    pub ca_cert: Option<String>,
}

impl OpenstackConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut block = Block::of("openstack");
        block.needs("auth_url", self.auth_url.as_ref());
        block.is_encrypted("auth_url", self.auth_url.as_ref());
        let endpoints = ["publicURL", "internalURL", "adminURL"];
        block.needs_one_of("endpoint_type", &endpoints, self.endpoint_type.as_ref());
        let application = [
            ("application_credential_id", is_set(self.application_credential_id.as_ref())),
            ("application_credential_secret", is_set(self.application_credential_secret.as_ref())),
        ];
        let user = [
            ("username", is_set(self.username.as_ref())),
            ("api_key", is_set(self.api_key.as_ref())),
            ("domain", is_set(self.domain.as_ref())),
            ("project", is_set(self.project.as_ref())),
        ];
        let sources = [("application_credential", &application[..]), ("password", &user[..])];
        block.credentials(self.credentials_source.as_ref(), &sources);
        block.problems()
    }
}

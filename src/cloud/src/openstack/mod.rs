//! Cinder volumes, by Keystone's catalogue. Not in this version: only its settings are read.

use remount_host::Secret;
use serde::Deserialize;

use crate::settings::{Given, Problems, Settings, Source};

/// How Keystone and Cinder are reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct OpenstackSettings {
    /// Keystone, version 3.
    pub auth_url: String,
    /// The region, where the catalogue has several.
    pub region: Option<String>,
    /// Which address of the catalogue.
    pub endpoint_type: OpenstackEndpoint,
    /// Who we are.
    pub credentials: OpenstackCredentials,
    /// The authority of the endpoints' certificates, in PEM; none: the system's.
    pub ca_cert: Option<String>,
}

/// Which address of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenstackEndpoint {
    /// For everyone.
    Public,
    /// Within the cloud.
    Internal,
    /// For its operators.
    Admin,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum OpenstackCredentials {
    /// An application credential.
    Application {
        /// Its id.
        id: Secret,
        /// Its secret.
        secret: Secret,
    },
    /// A user of the project of the Director's volumes.
    User {
        /// The user.
        name: Secret,
        /// The password, which the CPI calls `api_key`.
        password: Secret,
        /// The domain of user and project.
        domain: Secret,
        /// The project.
        project: Secret,
    },
}

const SOURCES: [Source; 2] = [
    ("application_credential", &["application_credential_id", "application_credential_secret"]),
    ("password", &["username", "api_key", "domain", "project"]),
];

const ENDPOINTS: [(&str, OpenstackEndpoint); 3] = [
    ("publicURL", OpenstackEndpoint::Public),
    ("internalURL", OpenstackEndpoint::Internal),
    ("adminURL", OpenstackEndpoint::Admin),
];

impl TryFrom<Given> for OpenstackSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("openstack", given);
        let read = Self {
            auth_url: settings.https_url("auth_url"),
            region: settings.optional("region"),
            endpoint_type: settings.one_of("endpoint_type", &ENDPOINTS),
            credentials: match settings.source(&SOURCES) {
                "application_credential" => OpenstackCredentials::Application {
                    id: settings.credential("application_credential_id"),
                    secret: settings.credential("application_credential_secret"),
                },
                _ => OpenstackCredentials::User {
                    name: settings.credential("username"),
                    password: settings.credential("api_key"),
                    domain: settings.credential("domain"),
                    project: settings.credential("project"),
                },
            },
            ca_cert: settings.optional("ca_cert"),
        };
        settings.finish(read)
    }
}

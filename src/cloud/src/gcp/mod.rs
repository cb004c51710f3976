//! Persistent disks of Compute Engine. Not in this version: only its settings are read.

use remount_host::Secret;
use serde::Deserialize;

use crate::settings::{Given, Problems, Settings, Source};

/// How Compute Engine is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct GcpSettings {
    /// The project of the Director's disks.
    pub project: String,
    /// Who we are.
    pub credentials: GcpCredentials,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum GcpCredentials {
    /// The key of a service account, as the JSON text that Google hands out.
    Key(Secret),
    /// The VM's service account.
    ServiceAccount,
}

const SOURCES: [Source; 2] = [("static", &["json_key"]), ("service_account", &[])];

impl TryFrom<Given> for GcpSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("gcp", given);
        let read = Self {
            project: settings.needed("project"),
            credentials: match settings.source(&SOURCES) {
                "static" => GcpCredentials::Key(settings.credential("json_key")),
                _ => GcpCredentials::ServiceAccount,
            },
        };
        settings.finish(read)
    }
}

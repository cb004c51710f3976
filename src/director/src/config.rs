//! How the Director is reached: the `director` block of `remount.json`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::Error;

/// The `director` block. Either UAA client and secret, or user name and password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorConfig {
    /// `https://…:25555`, as its certificate has it.
    pub url: String,
    /// The authority of the Director's and the UAA's certificates, PEM, one or more. None: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// UAA client.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// User name, for basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// One request may take this long.
    #[serde(default = "thirty")]
    pub request_timeout_seconds: u64,
    /// One task may take this long, its time in the queue included.
    #[serde(default = "hour")]
    pub task_deadline_seconds: u64,
}

const fn thirty() -> u64 {
    30
}

const fn hour() -> u64 {
    3600
}

/// A password or client secret; never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// As whom the client calls.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// UAA client credentials.
    Client { id: String, secret: Secret },
    /// Basic authentication.
    User { name: String, password: Secret },
}

impl DirectorConfig {
    /// The credentials.
    pub(crate) fn credentials(&self) -> Result<Credentials, Error> {
        let user = self.username.clone().zip(self.password.clone());
        match (self.client_id.clone().zip(self.client_secret.clone()), user) {
            (Some((id, secret)), None) => Ok(Credentials::Client { id, secret }),
            (None, Some((name, password))) => Ok(Credentials::User { name, password }),
            (Some(_), Some(_)) => Err(Error::Config(
                "both a UAA client (client_id, client_secret) and a user (username, password) are given"
                    .into(),
            )),
            (None, None) => Err(Error::Config(
                "neither a UAA client (client_id, client_secret) nor a user (username, password) is given"
                    .into(),
            )),
        }
    }

    /// One request may take this long.
    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }
}

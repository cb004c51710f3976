//! The `director` block of a program's configuration (`docs/formats.md` section 4.4).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remount_host::{RetryPolicy, Secret};
use serde::Deserialize;
use ureq::http::Uri;

use crate::{HttpDirector, Result, RetryingDirector};

/// Where the Director is, which authority to trust, and the credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorConfig {
    /// As `https://10.0.0.6:25555`; without a port 25555 is taken.
    pub url: String,
    /// The certificates to trust, several in one PEM file: the Director's and its UAA's authority. Nothing
    /// else is trusted.
    pub ca_file: Option<PathBuf>,
    /// UAA client (or the user, where the Director has no UAA).
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// User of a Director without UAA.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// Limit of one request, answer included.
    #[serde(default = "default_request_timeout")]
    pub request_timeout_seconds: u64,
    /// Limit of a task for callers that set none of their own.
    #[serde(default = "default_task_deadline")]
    pub task_deadline_seconds: u64,
}

/// The credentials.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// By UAA where the Director has one, else as user and password.
    Client { id: String, secret: Secret },
    /// By user and password only.
    User { name: String, password: Secret },
}

/// The Director's port where a URL names none.
const DEFAULT_PORT: u16 = 25555;

const fn default_request_timeout() -> u64 {
    30
}

const fn default_task_deadline() -> u64 {
    3600
}

impl DirectorConfig {
    /// All that is wrong with the block, one sentence each. Files are not looked at.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = Vec::new();
        problems.extend(self.base().err());
        problems.extend(self.credentials().err());
        if self.request_timeout_seconds == 0 {
            problems.push("`director.request_timeout_seconds` has to be at least 1".into());
        }
        if self.task_deadline_seconds == 0 {
            problems.push("`director.task_deadline_seconds` has to be at least 1".into());
        }
        if self.url.starts_with("https:") && self.ca_file.is_none() {
            problems.push("`director.ca_file` is missing: no other authority is trusted".into());
        }
        problems
    }

    /// The client, whose reads are tried again by this policy. No request is made.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with all that is wrong.
    pub fn open(&self, policy: &RetryPolicy) -> Result<RetryingDirector> {
        Ok(RetryingDirector::new(Arc::new(HttpDirector::new(self, policy)?), policy.clone()))
    }

    /// Limit of a task for callers that set none of their own.
    #[must_use]
    pub const fn task_deadline(&self) -> Duration {
        Duration::from_secs(self.task_deadline_seconds)
    }

    /// Scheme, host and port, without a slash at the end.
    pub(crate) fn base(&self) -> Result<String, String> {
        let uri = plain_url("`director.url`", &self.url)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("`director.url` has to end with the host or the port".into());
        }
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
        Ok(format!("{}://{host}:{port}", uri.scheme_str().unwrap_or_default()))
    }

    pub(crate) fn credentials(&self) -> Result<Credentials, String> {
        let client = pair(&self.client_id, &self.client_secret);
        let user = pair(&self.username, &self.password);
        match (client, user) {
            (Ok(Some((id, secret))), Ok(None)) => Ok(Credentials::Client { id, secret }),
            (Ok(None), Ok(Some((name, password)))) => Ok(Credentials::User { name, password }),
            (Ok(None), Ok(None)) => {
                Err("`director.client_id` and `director.client_secret` are missing".into())
            }
            (Ok(Some(_)), Ok(Some(_))) => {
                Err("`director.client_id` and `director.username` exclude each other".into())
            }
            (Err(()), _) => Err("`director.client_id` and `director.client_secret` go together".into()),
            (_, Err(())) => Err("`director.username` and `director.password` go together".into()),
        }
    }
}

/// An absolute URL to which credentials may be sent: TLS, or this very machine.
pub(crate) fn plain_url(what: &str, text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{what} is not a URL ({error})"))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(format!("{what} has to be as https://host:port"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        _ => Err(format!("{what} has to begin with https:// (credentials are sent there)")),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Both, neither, or an error where one is missing. Templates render what is not set as an empty text.
fn pair(name: &Option<String>, secret: &Option<Secret>) -> Result<Option<(String, Secret)>, ()> {
    let name = name.as_ref().filter(|name| !name.is_empty());
    let secret = secret.as_ref().filter(|secret| !secret.is_empty());
    match (name, secret) {
        (Some(name), Some(secret)) => Ok(Some((name.clone(), secret.clone()))),
        (None, None) => Ok(None),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> DirectorConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong =
            config(r#"{"url": "http://10.0.0.6", "client_id": "remount", "request_timeout_seconds": 0}"#);
        assert_eq!(wrong.problems().len(), 3, "{:?}", wrong.problems());
        let open = config(r#"{"url": "https://d", "client_id": "a", "client_secret": "b"}"#);
        assert!(open.problems()[0].contains("ca_file"), "{:?}", open.problems());
    }

    #[test]
    fn the_directors_own_port_is_the_default() {
        let with = |url: &str| config(&format!(r#"{{"url": "{url}"}}"#)).base();
        assert_eq!(with("https://10.0.0.6").unwrap(), "https://10.0.0.6:25555");
        assert_eq!(with("https://bosh.example:443/").unwrap(), "https://bosh.example:443");
        assert_eq!(with("http://[::1]:80").unwrap(), "http://[::1]:80");
        for wrong in ["https://a/b", "ftp://a", "10.0.0.6", "https://u:p@a", "http://10.0.0.6:1"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let config = config(r#"{"url": "https://d", "client_id": "a", "client_secret": "hush"}"#);
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn empty_texts_of_a_template_count_as_not_set() {
        let config = config(
            r#"{"url": "https://d", "client_id": "a", "client_secret": "b", "username": "", "password": ""}"#,
        );
        assert!(matches!(config.credentials(), Ok(Credentials::Client { .. })));
    }
}

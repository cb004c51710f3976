//! The `cloud` block of `remount.json`: which cloud, and the settings of that one.

use std::sync::Arc;

use remount_host::RetryPolicy;
use serde::Deserialize;

use crate::alicloud::AlicloudSettings;
use crate::aws::AwsSettings;
use crate::azure::AzureSettings;
use crate::gcp::GcpSettings;
use crate::local::LocalSettings;
use crate::openstack::OpenstackSettings;
use crate::{Adapters, DiskCloud, Error, LocalCloud, Result, RetryingCloud};

/// Which cloud holds the disks. What can be read is valid: each cloud's settings refuse the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CloudConfig {
    /// Image files on one machine.
    Local(LocalSettings),
    /// EBS volumes.
    Aws(AwsSettings),
    /// Managed disks.
    Azure(AzureSettings),
    /// Persistent disks of Compute Engine.
    Gcp(GcpSettings),
    /// Disks of ECS.
    Alicloud(AlicloudSettings),
    /// Cinder volumes.
    Openstack(OpenstackSettings),
}

/// The clouds that this version can speak to, as an error names them.
pub(crate) const ADAPTERS: &str = "only the adapter `local`";

impl CloudConfig {
    /// Whether this version can speak to the cloud at all: to be asked before anything else is done.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub const fn supported(&self) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            _ => Err(Error::NoAdapter { cloud: self.name(), source: Adapters }),
        }
    }

    /// Opens the cloud; what fails in passing is tried again by `policy`.
    ///
    /// # Errors
    /// [`Error::NoAdapter`]; [`Error::Refused`] where the configuration cannot work.
    pub fn open(&self, policy: &RetryPolicy) -> Result<Arc<dyn DiskCloud>> {
        let cloud: Arc<dyn DiskCloud> = match self {
            Self::Local(settings) => Arc::new(LocalCloud::open(&settings.root)?),
            _ => return Err(Error::NoAdapter { cloud: self.name(), source: Adapters }),
        };
        Ok(Arc::new(RetryingCloud::new(cloud, policy.clone())))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Aws(_) => "aws",
            Self::Azure(_) => "azure",
            Self::Gcp(_) => "gcp",
            Self::Alicloud(_) => "alicloud",
            Self::Openstack(_) => "openstack",
        }
    }
}

#[cfg(test)]
mod tests {
    use remount_core::{OperatorError as _, Retry, report};

    use super::*;

    /// Of each cloud: what it needs before its credentials.
    const NEEDED: [(&str, &[&str]); 5] = [
        ("aws", &["region"]),
        ("azure", &["environment", "location", "subscription_id", "resource_group_name"]),
        ("gcp", &["project"]),
        ("alicloud", &["region"]),
        ("openstack", &["auth_url", "endpoint_type"]),
    ];

    fn read(text: &str) -> serde_json::Result<CloudConfig> {
        serde_json::from_str(text)
    }

    /// What is wrong with a block, as it is told.
    fn problems(text: &str) -> String {
        read(text).map_or_else(|error| error.to_string(), |config| format!("nothing: {config:?}"))
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(read(r#"{"type": "local", "root": "/x"}"#).is_ok());
        assert!(read(r#"{"type": "local", "root": "x"}"#).is_err(), "relative to what?");
        assert!(read(r#"{"type": "lokal", "root": "/x"}"#).is_err());
        for cloud in ["local", "aws", "azure", "gcp", "alicloud", "openstack"] {
            let told = problems(&format!(r#"{{"type": "{cloud}", "regoin": "x"}}"#));
            assert!(told.contains(&format!("`cloud.{cloud}.regoin` is unknown")), "{told}");
        }
    }

    #[test]
    fn a_folder_without_a_cloud_is_refused_rather_than_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = read(&serde_json::json!({"type": "local", "root": folder.path()}).to_string()).unwrap();
        let error = config.open(&RetryPolicy::within(std::time::Duration::ZERO)).unwrap_err();
        assert!(error.to_string().contains("disks"), "{error}");
    }

    #[test]
    fn every_missing_value_is_told_at_once() {
        for (cloud, needed) in NEEDED {
            let missing = needed.iter().chain(&["credentials_source"]);
            let expected: Vec<_> = missing.map(|name| format!("`cloud.{cloud}.{name}` is missing")).collect();
            assert_eq!(problems(&format!(r#"{{"type": "{cloud}"}}"#)), expected.join("; "));
        }
    }

    #[test]
    fn credentials_fit_their_source() {
        for (given, told) in [
            (
                r#""credentials_source": "static", "access_key_id": "A", "secret_access_key": """#,
                "`cloud.aws.secret_access_key` is missing: `cloud.aws.credentials_source` is `static`",
            ),
            (
                r#""credentials_source": "env_or_profile", "access_key_id": "A", "secret_access_key": "S""#,
                "`cloud.aws.access_key_id` is set, but `cloud.aws.credentials_source` is `env_or_profile`; \
                 `cloud.aws.secret_access_key` is set, but `cloud.aws.credentials_source` is `env_or_profile`",
            ),
            (
                r#""credentials_source": "profile", "access_key_id": "A""#,
                "`cloud.aws.credentials_source` is `profile`: it may be `static` or `env_or_profile`",
            ),
        ] {
            assert_eq!(problems(&format!(r#"{{"type": "aws", "region": "eu-central-1", {given}}}"#)), told);
        }
        let role = r#"{"type": "aws", "region": "eu-central-1", "credentials_source": "env_or_profile", "role_arn": "r"}"#;
        assert!(read(role).is_ok());
    }

    #[test]
    fn what_only_one_of_two_sources_uses_is_refused_for_the_other() {
        let with = |given: &str| {
            let common = r#""auth_url": "https://k:5000/v3", "endpoint_type": "publicURL""#;
            read(&format!(r#"{{"type": "openstack", {common}, {given}}}"#))
        };
        let password = r#""username": "u", "api_key": "k", "domain": "d", "project": "p""#;
        assert!(with(&format!(r#""credentials_source": "password", {password}"#)).is_ok());
        let both = format!(
            r#""credentials_source": "application_credential", "application_credential_id": "i",
               "application_credential_secret": "s", {password}"#
        );
        assert_eq!(with(&both).unwrap_err().to_string().matches("is set, but").count(), 4);
    }

    #[test]
    fn an_address_that_is_not_encrypted_is_refused() {
        let given = r#"{"type": "openstack", "auth_url": "http://k:5000/v3", "endpoint_type": "publicURL",
            "credentials_source": "application_credential", "application_credential_id": "i",
            "application_credential_secret": "s"}"#;
        assert_eq!(
            problems(given),
            "`cloud.openstack.auth_url` has to begin with https:// (credentials are sent there)"
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let valid = r#"{"type": "aws", "region": "r", "credentials_source": "static", "access_key_id": "hush", "secret_access_key": "hush"}"#;
        assert!(!format!("{:?}", read(valid).unwrap()).contains("hush"));
        for block in [
            r#"{"type": "aws", "secret_access_key": "hush"}"#,
            r#"{"type": "aws", "secret_acces_key": "hush"}"#,
            r#"{"type": "azure", "client_secret": "hush"}"#,
            r#"{"type": "gcp", "json_key": "hush"}"#,
            r#"{"type": "alicloud", "access_key_secret": "hush"}"#,
            r#"{"type": "openstack", "api_key": "hush", "application_credential_secret": "hush"}"#,
        ] {
            let told = problems(block);
            assert!(told.contains("cloud.") && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn a_cloud_without_an_adapter_is_refused_in_three_lines() {
        let config =
            read(r#"{"type": "gcp", "project": "p", "credentials_source": "service_account"}"#).unwrap();
        let error = config.open(&RetryPolicy::within(std::time::Duration::ZERO)).unwrap_err();
        assert_eq!(error.retry(), Retry::Never);
        let lines = report(&error);
        assert!(
            lines.starts_with(
                "error: the cloud `gcp` cannot be used\n\
                 cause: this version of Remount has only the adapter `local`\n next: "
            ),
            "{lines}"
        );
    }
}

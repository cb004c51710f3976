//! The `cloud` block of `remount.json`: which cloud, and how it is reached. The names are those of each
//! cloud's BOSH CPI, so that an operator finds the values where the Director's are.

mod alicloud;
mod aws;
mod azure;
mod block;
mod gcp;
mod openstack;

use std::path::PathBuf;
use std::sync::Arc;

use remount_host::RetryPolicy;
use serde::Deserialize;

pub use self::alicloud::AlicloudConfig;
pub use self::aws::AwsConfig;
pub use self::azure::AzureConfig;
pub use self::gcp::GcpConfig;
pub use self::openstack::OpenstackConfig;
use crate::{Adapters, DiskCloud, Error, LocalCloud, Result, RetryingCloud};

/// Which cloud holds the disks.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CloudConfig {
    /// Image files on one machine.
    Local {
        /// The folder that holds `disks` and `snapshots`.
        root: PathBuf,
    },
    /// EBS volumes.
    Aws(AwsConfig),
    /// Managed disks.
    Azure(AzureConfig),
    /// Persistent disks of Compute Engine.
    Gcp(GcpConfig),
    /// Disks of ECS.
    Alicloud(AlicloudConfig),
    /// Cinder volumes.
    Openstack(OpenstackConfig),
}

impl CloudConfig {
    /// All that is wrong with the block, one sentence each. Nothing is opened.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Local { .. } => Vec::new(),
            Self::Aws(config) => config.problems(),
            Self::Azure(config) => config.problems(),
            Self::Gcp(config) => config.problems(),
            Self::Alicloud(config) => config.problems(),
            Self::Openstack(config) => config.problems(),
        }
    }

    /// Whether this version can speak to the cloud at all: to be asked before anything else is done.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub const fn supported(&self) -> Result<()> {
        match self {
            Self::Local { .. } => Ok(()),
            _ => Err(Error::NoAdapter { cloud: self.name(), source: Adapters }),
        }
    }

    /// Opens the cloud; what fails in passing is tried again by `policy`.
    ///
    /// # Errors
    /// [`Error::NoAdapter`]; [`Error::Refused`] where the configuration cannot work.
    pub fn open(&self, policy: &RetryPolicy) -> Result<Arc<dyn DiskCloud>> {
        let cloud: Arc<dyn DiskCloud> = match self {
            Self::Local { root } => Arc::new(LocalCloud::open(root)?),
            _ => return Err(Error::NoAdapter { cloud: self.name(), source: Adapters }),
        };
        Ok(Arc::new(RetryingCloud::new(cloud, policy.clone())))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
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

    fn read(text: &str) -> serde_json::Result<CloudConfig> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(read(r#"{"type": "local", "root": "/x"}"#).is_ok());
        assert!(read(r#"{"type": "local", "root": "/x", "rot": "/y"}"#).is_err());
        assert!(read(r#"{"type": "lokal", "root": "/x"}"#).is_err());
        for cloud in ["aws", "azure", "gcp", "alicloud", "openstack"] {
            assert!(read(&format!(r#"{{"type": "{cloud}"}}"#)).is_ok(), "{cloud}: problems are told later");
            let error = read(&format!(r#"{{"type": "{cloud}", "regoin": "x"}}"#)).unwrap_err();
            assert!(error.to_string().contains("regoin"), "{cloud}: {error}");
        }
    }

    #[test]
    fn a_folder_without_a_cloud_is_refused_rather_than_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = CloudConfig::Local { root: folder.path().to_owned() };
        let error = config.open(&RetryPolicy::within(std::time::Duration::ZERO)).unwrap_err();
        assert!(error.to_string().contains("disks"), "{error}");
    }

    #[test]
    fn every_missing_value_is_told_at_once() {
        for (cloud, missing) in [
            ("aws", &["region", "credentials_source"][..]),
            (
                "azure",
                &["environment", "location", "subscription_id", "resource_group_name", "credentials_source"],
            ),
            ("gcp", &["project", "credentials_source"]),
            ("alicloud", &["region", "credentials_source"]),
            ("openstack", &["auth_url", "endpoint_type", "credentials_source"]),
        ] {
            let problems = read(&format!(r#"{{"type": "{cloud}"}}"#)).unwrap().problems();
            let expected: Vec<String> =
                missing.iter().map(|name| format!("`cloud.{cloud}.{name}` is missing")).collect();
            assert_eq!(problems, expected);
        }
    }

    #[test]
    fn credentials_fit_their_source() {
        for (given, problems) in [
            (
                r#""credentials_source": "static", "access_key_id": "A", "secret_access_key": """#,
                &["`cloud.aws.secret_access_key` is missing: `cloud.aws.credentials_source` is `static`"][..],
            ),
            (
                r#""credentials_source": "env_or_profile", "access_key_id": "A", "secret_access_key": "S""#,
                &[
                    "`cloud.aws.access_key_id` is set, but `cloud.aws.credentials_source` is `env_or_profile`",
                    "`cloud.aws.secret_access_key` is set, but `cloud.aws.credentials_source` is `env_or_profile`",
                ],
            ),
            (
                r#""credentials_source": "profile""#,
                &["`cloud.aws.credentials_source` is `profile`: it may be `static` or `env_or_profile`"],
            ),
            (r#""credentials_source": "env_or_profile", "role_arn": "arn:aws:iam::1:role/r""#, &[]),
        ] {
            let config = read(&format!(r#"{{"type": "aws", "region": "eu-central-1", {given}}}"#)).unwrap();
            assert_eq!(config.problems(), problems, "{given}");
        }
    }

    #[test]
    fn what_only_one_of_two_sources_uses_is_refused_for_the_other() {
        let with = |given: &str| {
            let common = r#""auth_url": "https://k:5000/v3", "endpoint_type": "publicURL""#;
            read(&format!(r#"{{"type": "openstack", {common}, {given}}}"#)).unwrap().problems()
        };
        let password = r#""username": "u", "api_key": "k", "domain": "d", "project": "p""#;
        assert_eq!(with(&format!(r#""credentials_source": "password", {password}"#)), Vec::<String>::new());
        assert_eq!(
            with(&format!(
                r#""credentials_source": "application_credential", "application_credential_id": "i",
                   "application_credential_secret": "s", {password}"#
            ))
            .len(),
            4
        );
    }

    #[test]
    fn an_address_that_is_not_encrypted_is_refused() {
        let given = r#"{"type": "openstack", "auth_url": "http://k:5000/v3", "endpoint_type": "publicURL",
            "credentials_source": "application_credential", "application_credential_id": "i",
            "application_credential_secret": "s"}"#;
        let problems = read(given).unwrap().problems();
        assert_eq!(
            problems,
            ["`cloud.openstack.auth_url` has to begin with https:// (credentials are sent there)"]
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        for block in [
            r#"{"type": "aws", "secret_access_key": "hush"}"#,
            r#"{"type": "azure", "client_secret": "hush"}"#,
            r#"{"type": "gcp", "json_key": "hush"}"#,
            r#"{"type": "alicloud", "access_key_secret": "hush"}"#,
            r#"{"type": "openstack", "api_key": "hush", "application_credential_secret": "hush"}"#,
        ] {
            let config = read(block).unwrap();
            let told = format!("{config:?} {}", config.problems().join(" "));
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn a_cloud_without_an_adapter_is_refused_in_three_lines() {
        let error = read(r#"{"type": "gcp"}"#)
            .unwrap()
            .open(&RetryPolicy::within(std::time::Duration::ZERO))
            .unwrap_err();
        assert_eq!(error.retry(), Retry::Never);
        let lines = report(&error);
        assert!(
            lines.starts_with(
                "error: the cloud `gcp` cannot be used\n\
                 cause: this version of Remount has the adapter `local` alone\n next: "
            ),
            "{lines}"
        );
    }
}

//! The `store` block, the same in the configuration of every program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opendal::{OperationContext, Operator};
use remount_host::{RetryPolicy, Secret};
use serde::Deserialize;

use crate::folder::Folder;
use crate::opendal_objects::{OpendalObjects, Writes};
use crate::retrying::RetryingObjects;
use crate::{Error, KeyError, Keyring, Result, Store, transport};

/// The `store` block of a program's configuration (`docs/formats.md` section 4.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    #[serde(rename = "type")]
    kind: Kind,
    /// `fs`: the folder.
    root: Option<PathBuf>,
    /// `s3`: the path below the bucket.
    prefix: Option<String>,
    bucket: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Secret>,
    /// `s3`: the authorities of the endpoint's certificate, in PEM; none: the system's.
    ca: Option<String>,
    /// The keys of signed documents.
    signing: Signing,
    #[serde(default = "default_timeout_seconds")]
    timeout_seconds: u64,
}

/// The keys of signed documents, read as a whole, so that a wrong one is told with all else that is wrong.
#[derive(Clone, Deserialize)]
#[serde(try_from = "SigningBlock")]
struct Signing(Keyring);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SigningBlock {
    /// The control plane's private key, in PEM; an agent has none.
    private_key: Option<Secret>,
    /// The public keys whose signatures are accepted, in PEM.
    #[serde(default)]
    public_keys: Vec<String>,
}

/// No key reaches a log.
impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing(..)")
    }
}

impl TryFrom<SigningBlock> for Signing {
    type Error = KeyError;

    fn try_from(block: SigningBlock) -> Result<Self, KeyError> {
        Keyring::new(block.private_key.as_ref().map(Secret::expose), &block.public_keys).map(Self)
    }
}

/// Where the objects lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Fs,
    S3,
}

const fn default_timeout_seconds() -> u64 {
    30
}

impl StoreConfig {
    /// Opens the store; what fails in passing is tried again by `policy`. No request is made: a wrong address shows
    /// with the first call.
    ///
    /// # Errors
    /// [`Error::Config`], with all that is wrong.
    pub fn open(&self, policy: &RetryPolicy) -> Result<Store> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        let objects = match self.kind {
            Kind::Fs => self.open_folder()?,
            Kind::S3 => self.open_s3()?,
        };
        let objects = RetryingObjects::new(Arc::new(objects), policy.clone());
        Ok(Store::new(Arc::new(objects), self.signing.0.clone()))
    }

    /// Of one try.
    const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        match self.kind {
            Kind::Fs => {
                let absolute = self.root.as_ref().is_some_and(|root| root.is_absolute());
                demand(absolute, "`store.root` has to be an absolute path");
            }
            Kind::S3 => {
                demand(is_set(self.bucket.as_ref()), "`store.bucket` is missing");
                let pair = is_set(self.access_key_id.as_ref())
                    == self.secret_access_key.as_ref().is_some_and(|secret| !secret.is_empty());
                demand(pair, "`store.access_key_id` and `store.secret_access_key` go together");
            }
        }
        demand(self.timeout_seconds > 0, "`store.timeout_seconds` has to be at least 1");
        problems
    }

    fn open_folder(&self) -> Result<OpendalObjects> {
        let root = self.root.clone().unwrap_or_default();
        // OpenDAL makes the folder where it is missing; a missing one is an unmounted filesystem.
        if !root.is_dir() {
            return Err(Error::NotMounted { root: root.display().to_string() });
        }
        let service = opendal::services::Fs::default().root(&root.to_string_lossy());
        let operator = Operator::new(service).map_err(|error| Error::Config(error.to_string()))?;
        let folder = Folder::new(root, self.timeout());
        Ok(OpendalObjects::new(operator, Writes::Folder(folder), self.timeout()))
    }

    fn open_s3(&self) -> Result<OpendalObjects> {
        let mut service = opendal::services::S3::default()
            .bucket(self.bucket.as_deref().unwrap_or_default())
            .root(self.prefix.as_deref().unwrap_or_default())
            .region(self.region.as_deref().unwrap_or(DEFAULT_REGION));
        if let Some(endpoint) = &self.endpoint {
            service = service.endpoint(endpoint);
        }
        if let (Some(id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            // These alone: no profile or environment variable of the machine may change the credentials.
            service = service.access_key_id(id).secret_access_key(secret.expose()).disable_config_load();
            service = service.disable_ec2_metadata();
        }
        let operator = Operator::new(service).map_err(|error| Error::Config(error.to_string()))?;
        let transport = transport::open(self.ca.as_deref(), self.timeout())?;
        let operator = operator.with_context(OperationContext::new().with_http_transport(transport));
        Ok(OpendalObjects::new(operator, Writes::Service, self.timeout()))
    }
}

/// What S3 without regions (MinIO, Ceph) signs with.
const DEFAULT_REGION: &str = "us-east-1";

fn is_set(value: Option<&String>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

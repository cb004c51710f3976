//! The `store` block, the same in the configuration of every program.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::{Result, SigningKey, Store};

/// The `store` block of a program's configuration (`src/ARCHITECTURE.md`).
#[derive(Clone, Deserialize)]
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
    secret_access_key: Option<String>,
    ca_file: Option<PathBuf>,
    signing_key: SigningKey,
    #[serde(default = "default_timeout_seconds")]
    timeout_seconds: u64,
    #[serde(default = "default_attempts")]
    attempts: usize,
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

const fn default_attempts() -> usize {
    5
}

impl StoreConfig {
    /// Opens the store. No request is made: a wrong address shows with the first call.
    ///
    /// # Errors
    /// [`crate::Error::Config`], with all that is wrong.
    pub fn open(&self) -> Result<Store> {
        todo!()
    }
}

impl fmt::Debug for StoreConfig {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("kind", &self.kind)
            .field("root", &self.root)
            .field("prefix", &self.prefix)
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("ca_file", &self.ca_file)
            .field("timeout_seconds", &self.timeout_seconds)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

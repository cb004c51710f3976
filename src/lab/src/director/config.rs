//! What the lab tells its Director at start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::iaas::Iaas;

/// A text that must not show up in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Somebody who may call, by basic auth (a user) or by a token of the UAA (a client).
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's name or the client's id.
    pub name: String,
    /// The password or client secret.
    pub secret: Secret,
    /// Its scopes, as `bosh.admin`, `bosh.read`, `bosh.teams.T.admin`.
    pub scopes: Vec<String>,
}

/// The addresses that VMs get: loopback addresses, lowest free one first.
#[derive(Clone, Copy, Debug)]
pub struct AddressBlock {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

/// How job templates are rendered (contract in `docs/formats.md` section 6).
#[derive(Clone, Debug)]
pub struct RenderCommand {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long one call may take.
    pub limit: Duration,
}

/// Everything the lab's Director is started with. [`LabDirectorConfig::new`] fills in the defaults
/// of a real Director.
#[derive(Clone, Debug)]
pub struct LabDirectorConfig {
    /// CPI and agents.
    pub iaas: Arc<dyn Iaas>,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port; 0 for any free one.
    pub port: u16,
    /// The Director's name in `/info`.
    pub name: String,
    /// Who may call with basic auth.
    pub users: Vec<Account>,
    /// Who may fetch tokens. `/info` says `uaa` where there is one, else `basic`; both always work.
    pub uaa_clients: Vec<Account>,
    /// How long a token lives.
    pub token_validity: Duration,
    /// How many tasks run at the same time.
    pub workers: usize,
    /// Whether the first worker serves the urgent queue alone (`enable_dedicated_status_worker`).
    pub dedicated_status_worker: bool,
    /// The folder with `jobs/<job>/spec`.
    pub release_dir: PathBuf,
    /// Jobs of other releases that the lab's VMs have built in: they are accepted and not rendered.
    pub built_in_jobs: BTreeSet<String>,
    /// Renders the jobs' templates.
    pub render: RenderCommand,
    /// The VMs' addresses.
    pub addresses: AddressBlock,
    /// `director.enable_snapshots`.
    pub enable_snapshots: bool,
    /// How long a task waits for a deployment's or VM's lock.
    pub lock_wait: Duration,
    /// How often a worker confirms that it lives; after six of these a silent task is `timeout`.
    pub checkpoint_interval: Duration,
    /// How long an errand's script may run.
    pub errand_limit: Duration,
    /// The operator's variables (`bosh deploy -v`): they go before the config server's. May hold secrets.
    pub variables: Variables,
    /// Disk types of the cloud config: name → size in MiB.
    pub disk_types: BTreeMap<String, u64>,
    /// Scheme, host and port in `Location` headers; none for the Director's own.
    pub location_base: Option<String>,
}

/// Values for `((name))`, hidden from logs.
#[derive(Clone, Default)]
pub struct Variables(pub BTreeMap<String, serde_json::Value>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl LabDirectorConfig {
    /// A Director with the defaults of `bosh-deployment`, on a free port of 127.0.0.1, rendering with
    /// `ruby <release_dir>/spec/renderer/render.rb`.
    #[must_use]
    pub fn new(iaas: Arc<dyn Iaas>, release_dir: PathBuf) -> Self {
        let renderer = release_dir.join("spec/renderer/render.rb");
        Self {
            iaas,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            name: "lab".into(),
            users: Vec::new(),
            uaa_clients: Vec::new(),
            token_validity: Duration::from_secs(3600),
            workers: 3,
            dedicated_status_worker: false,
            release_dir,
            built_in_jobs: BTreeSet::from(["bpm".to_owned()]),
            render: RenderCommand {
                program: "ruby".into(),
                arguments: vec![renderer.to_string_lossy().into_owned()],
                limit: Duration::from_secs(60),
            },
            addresses: AddressBlock {
                first: Ipv4Addr::new(127, 10, 0, 2),
                last: Ipv4Addr::new(127, 10, 255, 254),
            },
            enable_snapshots: false,
            lock_wait: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(30),
            errand_limit: Duration::from_secs(24 * 3600),
            variables: Variables::default(),
            disk_types: BTreeMap::new(),
            location_base: None,
        }
    }
}

//! The client of the agent's API.
//!
//! Both sides show certificates of one CA, and neither trusts another. The agents of a deployment share a certificate
//! for the name [`agent_tls_name`]: the addresses of VMs change, and a certificate per address would have to follow
//! them. So an agent of another deployment, which may be in other hands, does not get as far as to answer. Which instance
//! of the deployment it is that answers is told by its status, and checked there.

use std::fmt;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{BackupId, DeploymentName, InstanceSlug, RestoreId};
use remount_host::blocking;
use remount_host::http::{self, Peer};
use remount_host::tls::Identity;
use rustls::pki_types::DnsName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::{
    ApiError, BackupBegun, BackupEnded, BeginBackup, CollationRefresh, Error, Forwarded, NamedBackup,
    NamedRestore, PromoteRestore, Promoted, Result, Server, ServerStatus, Servers, StreamedWal,
    VerifiedPosition, WalSwitched, WriteProbe,
};

/// The name in the certificate of a deployment's agents.
#[must_use]
pub fn agent_tls_name(deployment: &DeploymentName) -> String {
    format!("{deployment}.remount-agent")
}

/// No answer of an agent is larger; a status has a few kilobytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// How to reach the agents: the `agents` block of `remount.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentsConfig {
    /// The port they listen on.
    pub port: u16,
    /// The driver's certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub private_key_file: PathBuf,
    /// The CA that signed both sides' certificates, PEM.
    pub ca_file: PathBuf,
    /// How long one call may take. Entering backup mode waits for a checkpoint.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
}

const fn default_timeout_seconds() -> u64 {
    60
}

/// The servers, through their agents.
#[derive(Clone)]
pub struct RemoteServers {
    port: u16,
    config: ureq::config::Config,
}

impl RemoteServers {
    /// Reads the certificates. No connection is made.
    ///
    /// # Errors
    /// [`Error::Config`]: a file cannot be read or holds something else.
    pub fn new(config: &AgentsConfig) -> Result<Self> {
        let identity = Identity {
            certificate_file: config.certificate_file.clone(),
            private_key_file: config.private_key_file.clone(),
        };
        let peer = Peer { ca_file: Some(&config.ca_file), identity: Some(&identity) };
        let timeout = Duration::from_secs(config.timeout_seconds.max(1));
        let http = http::config(peer, timeout).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { port: config.port, config: http })
    }

    /// The server of `instance` of `deployment` at `address`, as its own type.
    ///
    /// # Errors
    /// [`Error::Config`]: the deployment's name is none that a certificate can have.
    pub fn remote(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<RemoteServer> {
        let name = agent_tls_name(deployment);
        if DnsName::try_from(name.as_str()).is_err() || name.parse::<Authority>().is_err() {
            return Err(Error::Config(format!(
                "`{name}` is no DNS name, so no certificate can name the agents of deployment {deployment}: at most 63 \
                 characters between two dots; rename the deployment"
            )));
        }
        let resolver = ToAddress { address: address.to_owned(), port: self.port };
        Ok(RemoteServer {
            name,
            instance: instance.clone(),
            address: format!("{address}:{}", self.port),
            agent: ureq::Agent::with_parts(self.config.clone(), DefaultConnector::new(), resolver),
        })
    }
}

impl Servers for RemoteServers {
    fn server(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<Arc<dyn Server>> {
        Ok(Arc::new(self.remote(deployment, instance, address)?))
    }
}

impl fmt::Debug for RemoteServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteServers").field("port", &self.port).finish_non_exhaustive()
    }
}

/// One server, through its agent.
#[derive(Clone)]
pub struct RemoteServer {
    /// In the certificate of whoever answers.
    name: String,
    instance: InstanceSlug,
    address: String,
    agent: ureq::Agent,
}

impl RemoteServer {
    async fn post<B, A>(&self, action: &'static str, path: &'static str, body: &B) -> Result<A>
    where
        B: Serialize + Sync,
        A: DeserializeOwned + Send + 'static,
    {
        let body = serde_json::to_vec(body).map_err(|error| Error::Config(error.to_string()))?;
        self.call(action, path, Some(body)).await
    }

    /// On a blocking thread: the client is a blocking one, and a runtime must not wait for it.
    async fn call<A>(&self, action: &'static str, path: &'static str, body: Option<Vec<u8>>) -> Result<A>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let (agent, url) = (self.agent.clone(), format!("https://{}{path}", self.name));
        let asked =
            blocking(move || ask(&agent, &url, body), |lost| ureq::Error::Other(Box::new(lost))).await;
        let answer = asked.map_err(|error| self.unreachable(action, error))?;
        if answer.is_good {
            return serde_json::from_slice(&answer.body).map_err(|error| self.unreachable(action, error));
        }
        match serde_json::from_slice::<ApiError>(&answer.body) {
            Ok(error) => Err(error.into_error(action)),
            Err(_) => Err(self.unreachable(action, format!("HTTP status {}", answer.status))),
        }
    }

    fn unreachable(
        &self,
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Unreachable { action: action.into(), address: self.address.clone(), source: source.into() }
    }
}

#[async_trait]
impl Server for RemoteServer {
    async fn status(&self) -> Result<ServerStatus> {
        const ACTION: &str = "ask for the status";
        let status: ServerStatus = self.call(ACTION, "/v1/status", None).await?;
        if status.instance == self.instance {
            return Ok(status);
        }
        // An address that was given to another VM meanwhile: nothing may be done to that one.
        Err(self.unreachable(ACTION, format!("{} answers there, not {}", status.instance, self.instance)))
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        let body = BeginBackup { backup: backup.clone(), lease_seconds };
        self.post("begin a backup", "/v1/backup/begin", &body).await
    }

    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        self.post("renew a backup", "/v1/backup/renew", &NamedBackup { backup: backup.clone() }).await
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        self.post("end a backup", "/v1/backup/end", &NamedBackup { backup: backup.clone() }).await
    }

    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        self.post("abort a backup", "/v1/backup/abort", &NamedBackup { backup: backup.clone() }).await
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        self.post("switch WAL", "/v1/wal/switch", &serde_json::json!({})).await
    }

    async fn archive_streamed(&self) -> Result<StreamedWal> {
        self.post("archive the streamed WAL", "/v1/wal/streamed", &serde_json::json!({})).await
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        self.post("write a probe", "/v1/probe", &serde_json::json!({})).await
    }

    async fn promote(&self, restore: &RestoreId, verified: &VerifiedPosition) -> Result<Promoted> {
        let body = PromoteRestore { restore: restore.clone(), verified: *verified };
        self.post("promote the server", "/v1/restore/promote", &body).await
    }

    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded> {
        let body = NamedRestore { restore: restore.clone() };
        self.post("move the target of the recovery", "/v1/restore/forward", &body).await
    }

    async fn finish_restore(&self, restore: &RestoreId) -> Result<()> {
        let body = NamedRestore { restore: restore.clone() };
        self.post("finish a restore", "/v1/restore/finish", &body).await
    }

    async fn refresh_collations(&self, restore: &RestoreId) -> Result<CollationRefresh> {
        let body = NamedRestore { restore: restore.clone() };
        self.post("rebuild indexes", "/v1/collations/refresh", &body).await
    }
}

impl fmt::Debug for RemoteServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteServer")
            .field("instance", &self.instance)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Every name is this address: the name in the URL is the certificate's.
#[derive(Debug)]
struct ToAddress {
    address: String,
    port: u16,
}

impl Resolver for ToAddress {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        for address in (self.address.as_str(), self.port).to_socket_addrs()?.take(found.capacity_left()) {
            found.push(address);
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

/// How many more fit; the type itself panics beyond its capacity.
trait CapacityLeft {
    fn capacity_left(&self) -> usize;
}

impl CapacityLeft for ResolvedSocketAddrs {
    fn capacity_left(&self) -> usize {
        16 - self.len()
    }
}

struct Answer {
    is_good: bool,
    status: u16,
    body: Vec<u8>,
}

fn ask(agent: &ureq::Agent, url: &str, body: Option<Vec<u8>>) -> Result<Answer, ureq::Error> {
    let mut response = match body {
        None => agent.get(url).call()?,
        Some(body) => agent.post(url).content_type("application/json").send(&body)?,
    };
    let status = response.status();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { is_good: status.is_success(), status: status.as_u16(), body })
}

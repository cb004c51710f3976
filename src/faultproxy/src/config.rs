//! What a proxy is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::script::Script;
use crate::upstream::Upstream;

/// The files of the proxy's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with its chain, as PEM.
    pub certificate_file: PathBuf,
    /// Its private key, as PEM.
    pub private_key_file: PathBuf,
}

/// How to talk to an upstream over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The authority to trust, PEM; no other is.
    pub ca_file: PathBuf,
    /// The name in its certificate; none for the host's. Agents are called by address and have one name.
    pub name: Option<String>,
    /// What is shown to an upstream that asks its clients who they are, as an agent does.
    pub identity: Option<Identity>,
}

impl UpstreamTls {
    /// An upstream whose certificate has its host's name, and that asks for no client certificate.
    #[must_use]
    pub fn trusting(ca_file: &Path) -> Self {
        Self { ca_file: ca_file.to_owned(), name: None, identity: None }
    }
}

/// What a proxy is started with.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Before whom it stands.
    pub upstream: Upstream,
    /// The address to listen on; port 0 for any free one.
    pub listen: SocketAddr,
    /// What it shows its clients over TLS; none for plain HTTP.
    pub identity: Option<Identity>,
    /// What goes wrong.
    pub script: Script,
    /// Where everything random comes from; none for a new one, which [`crate::Proxy::seed`] tells.
    pub seed: Option<u64>,
    /// Where each request is noted as a line of JSON; lines are appended.
    pub log: Option<PathBuf>,
}

impl ProxyConfig {
    /// Plain HTTP on a free port of 127.0.0.1, without a log.
    #[must_use]
    pub const fn new(upstream: Upstream, script: Script) -> Self {
        let listen = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { upstream, listen, identity: None, script, seed: None, log: None }
    }
}

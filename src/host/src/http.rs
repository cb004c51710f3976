//! HTTP of the Director, the agents and the clouds: `ureq` on a blocking thread, TLS to the configured authorities,
//! a limit on every call, no redirect followed, no proxy of the environment, nothing repeated.

use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::config::{Config, ConfigBuilder};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::tls::{self, Identity, TlsError};

/// How long a connection may take to stand; a host that is gone never answers.
const CONNECT: Duration = Duration::from_secs(10);
/// Kept connections are dropped before any server or load balancer would: a request written to a connection
/// that the other side is closing is a lost answer.
const IDLE: Duration = Duration::from_secs(5);

/// Which authorities a client trusts, and which certificate it presents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    /// The authorities to trust, as a PEM file; none: no TLS connection can be made.
    pub ca_file: Option<&'a Path>,
    /// What is shown to a server that asks its clients who they are.
    pub identity: Option<&'a Identity>,
}

/// The configuration of a client; `timeout` limits each call, answer included.
///
/// # Errors
/// A PEM file cannot be used.
pub fn config(peer: Peer<'_>, timeout: Duration) -> Result<Config, TlsError> {
    Ok(builder(peer, timeout)?.build())
}

/// A client for any host.
///
/// # Errors
/// As [`config`].
pub fn agent(peer: Peer<'_>, timeout: Duration) -> Result<Agent, TlsError> {
    Ok(Agent::new_with_config(config(peer, timeout)?))
}

fn builder(peer: Peer<'_>, timeout: Duration) -> Result<ConfigBuilder<AgentScope>, TlsError> {
    let mut roots = Vec::new();
    for certificate in peer.ca_file.map(tls::certificates).transpose()?.unwrap_or_default() {
        roots.push(Certificate::from_der(&certificate).to_owned());
    }
    let client = peer.identity.map(client_certificate).transpose()?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(client)
        .unversioned_rustls_crypto_provider(tls::provider())
        .build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        // No proxy of the environment: it would see the credentials.
        .proxy(None)
        .user_agent(concat!("remount/", env!("CARGO_PKG_VERSION")))
        .accept("application/json, */*")
        .max_idle_age(IDLE)
        .timeout_connect(Some(timeout.min(CONNECT)))
        .timeout_global(Some(timeout)))
}

fn client_certificate(identity: &Identity) -> Result<ClientCert, TlsError> {
    let chain = tls::certificates(&identity.certificate_file)?;
    let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let file = &identity.private_key_file;
    let unusable = |problem: String| TlsError { path: file.clone(), problem };
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

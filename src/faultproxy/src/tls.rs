//! TLS of both sides: rustls with ring; only the given authority is trusted, as Remount's own clients do.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{Identity, UpstreamTls};
use crate::error::ProxyError;

/// TLS towards clients.
pub(crate) fn acceptor(identity: &Identity) -> Result<TlsAcceptor, ProxyError> {
    let (chain, key) = own(identity)?;
    let wrong = |source| ProxyError::Tls { what: "the proxy's clients", source };
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(wrong)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// TLS towards the upstream.
pub(crate) fn connector(with: &UpstreamTls) -> Result<TlsConnector, ProxyError> {
    let wrong = |source| ProxyError::Tls { what: "the upstream", source };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("upstream's CA", &with.ca_file)? {
        roots.add(certificate).map_err(wrong)?;
    }
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
    let builder = builder.with_root_certificates(roots);
    let config = match &with.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = own(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(wrong)?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn own(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ProxyError> {
    let chain = certificates("certificate", &identity.certificate_file)?;
    let key_file = &identity.private_key_file;
    let pem = read("private key", key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(unusable("private key", key_file))?;
    Ok((chain, key))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(what: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ProxyError> {
    let pem = read(what, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(unusable(what, file))?;
    if found.is_empty() {
        return Err(ProxyError::Pem {
            what,
            path: file.to_owned(),
            problem: "it holds no certificate".into(),
        });
    }
    Ok(found)
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, ProxyError> {
    std::fs::read(file).map_err(ProxyError::file(what, file))
}

/// The reader's words; they never repeat what the file holds.
fn unusable(what: &'static str, file: &Path) -> impl FnOnce(rustls_pki_types::pem::Error) -> ProxyError {
    let path = file.to_owned();
    move |error| ProxyError::Pem { what, path, problem: error.to_string() }
}

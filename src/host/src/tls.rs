//! TLS, set up once for all: rustls with ring. Only the configured authorities are trusted, never the system's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

/// A PEM file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What this process shows to others: a certificate chain and its key, as PEM files.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// The certificate chain.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub private_key_file: PathBuf,
}

/// The one crypto provider: ring.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes ring the provider of libraries that ask the process for one. Another part of the program may have done so
/// before: both mean ring.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(path, &error))?;
    if found.is_empty() { Err(wrong(path, &"it holds no certificate")) } else { Ok(found) }
}

/// The private key of a PEM file.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(path, &error))
}

/// A client that trusts the authorities of a PEM file and shows nothing of itself.
///
/// # Errors
/// The file cannot be used.
pub fn client_config(ca_file: &Path) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(ca_file, &error))?;
    Ok(builder.with_root_certificates(roots(ca_file)?).with_no_client_auth())
}

/// A server that shows an identity and demands of its clients a certificate of the authorities of a PEM file.
///
/// # Errors
/// A file cannot be used, or the key is not the certificate's.
pub fn server_config(identity: &Identity, ca_file: &Path) -> Result<ServerConfig, TlsError> {
    let Identity { certificate_file, private_key_file } = identity;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_file)?), provider())
        .build()
        .map_err(|error| wrong(ca_file, &error))?;
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate_file, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate_file)?, private_key(private_key_file)?)
        .map_err(|error| wrong(certificate_file, &error))
}

fn roots(ca_file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).map_err(|error| wrong(ca_file, &error))?;
    }
    Ok(roots)
}

fn wrong(path: &Path, problem: &dyn fmt::Display) -> TlsError {
    TlsError { path: path.to_owned(), problem: problem.to_string() }
}

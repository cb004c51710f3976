//! Why a proxy does not start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::script::ScriptError;

/// A proxy could not start; nothing runs afterwards.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The upstream's address cannot be used.
    #[error("upstream `{url}`: {problem}")]
    Upstream {
        /// As it was given.
        url: String,
        /// What is wrong with it, and what to give instead.
        problem: String,
    },
    /// The script cannot be carried out.
    #[error("{}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        #[source]
        source: ScriptError,
    },
    /// A file cannot be read or written.
    #[error("the {what} {} cannot be opened; check the path and its permissions", path.display())]
    File {
        /// Its part.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no usable PEM.
    #[error("the {what} {} cannot be used ({problem}); give a PEM file", path.display())]
    Pem {
        /// Its part.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS refused certificate, key or authority.
    #[error("TLS cannot be set up for {what}; check that certificate and key belong together")]
    Tls {
        /// For which side.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The address cannot be listened on, or a thread not be started.
    #[error("the proxy cannot listen on {address}; give another `--listen`, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ProxyError {
    /// Wraps what a file's system call says.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

//! The Director's door: HTTPS with a CA made at start, on a runtime of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::ExtendedKeyUsagePurpose;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::certificates::{self, Certificate, CertificateRequest};
use super::config::LabDirectorConfig;
use super::core::LabDirector;
use super::faults::Fault;
use super::routes::{self, LostAnswer};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The door's certificate is recreated at each start.
const VALID_DAYS: u16 = 365;

/// The lab's Director could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate could be made.
    #[error("the lab's Director cannot make its certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS refused it.
    #[error("the lab's Director cannot use its certificate")]
    Tls(#[from] rustls::Error),
    /// The address cannot be listened on, or a thread not be started.
    #[error("the lab's Director cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Starts Directors.
#[derive(Debug)]
pub struct DirectorServer;

/// A Director that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct DirectorHandle {
    address: SocketAddr,
    ca_pem: String,
    director: Arc<LabDirector>,
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
}

/// Whether the server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    NotYet,
    Now,
}

impl DirectorServer {
    /// Starts a Director with its workers. It listens when this returns.
    ///
    /// # Errors
    /// No certificate, no listening socket, no thread; nothing runs afterwards.
    pub fn start(config: LabDirectorConfig) -> Result<DirectorHandle, StartError> {
        let wanted = SocketAddr::new(config.listen, config.port);
        let listen_error = |source| StartError::Listen { address: wanted, source };
        let (acceptor, ca_pem) = acceptor(config.listen)?;
        let listener = std::net::TcpListener::bind(wanted).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(listen_error)?;

        let director = LabDirector::new(config);
        let base = director.config.location_base.clone().unwrap_or_else(|| format!("https://{address}"));
        let router = routes::router(Arc::clone(&director), &base, &uaa_url(address));
        let (stop, stopped) = watch::channel(Stop::NotYet);
        let mut threads = director.start_threads().map_err(listen_error)?;
        let server = std::thread::Builder::new().name("director".into()).spawn(move || {
            runtime.block_on(serve(listener, acceptor, router, stopped));
            runtime.shutdown_background();
        });
        threads.push(server.map_err(listen_error)?);
        Ok(DirectorHandle { address, ca_pem, director, stop, threads })
    }
}

impl DirectorHandle {
    /// `https://<ip>:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA that the Director and its UAA are to be trusted by.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where tokens come from; `/oauth/token` is appended by clients.
    #[must_use]
    pub fn uaa_url(&self) -> String {
        uaa_url(self.address)
    }

    /// The Director's uuid.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.director.uuid
    }

    /// The switchboard for faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults { director: Arc::clone(&self.director) }
    }

    /// The value of a config server's variable, as deployment `deployment` sees it. It may be secret.
    #[must_use]
    pub fn variable(&self, deployment: &str, name: &str) -> Option<serde_json::Value> {
        self.director.read(|s| s.variables.value(deployment, name))
    }

    /// Every token is void from now on, as after a restart of the UAA with new keys.
    pub fn revoke_tokens(&self) {
        self.director.write(|s| s.tokens.clear());
    }

    /// Ends the Director: connections are cut, tasks end at their next checkpoint, threads are waited for.
    /// A call to the machine that is under way, as a long pre-start, is waited for too.
    pub fn shutdown(mut self) {
        self.end();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the lab's Director panicked");
            }
        }
    }

    fn end(&self) {
        self.director.stop();
        self.stop.send_replace(Stop::Now);
    }
}

impl Drop for DirectorHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Orders faults of one Director (`remount-lab break`).
#[derive(Clone, Debug)]
pub struct Faults {
    director: Arc<LabDirector>,
}

impl Faults {
    /// Orders one more.
    pub fn add(&self, fault: Fault) {
        self.director.write(|s| s.faults.add(fault));
    }

    /// Forgets all; held tasks go on.
    pub fn clear(&self) {
        self.director.write(|s| s.faults.clear());
    }

    /// Those that have not happened yet.
    #[must_use]
    pub fn list(&self) -> Vec<Fault> {
        self.director.read(|s| s.faults.list())
    }
}

fn uaa_url(address: SocketAddr) -> String {
    format!("https://{address}/uaa")
}

fn acceptor(listen: IpAddr) -> Result<(TlsAcceptor, String), StartError> {
    let ca = certificates::make(
        &CertificateRequest {
            common_name: "remount-lab director ca".into(),
            is_ca: true,
            valid_days: VALID_DAYS,
            ..Default::default()
        },
        None,
    )?;
    let own = certificates::make(
        &CertificateRequest {
            common_name: "remount-lab director".into(),
            alternative_names: vec![listen.to_string(), "localhost".into()],
            is_ca: false,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
            valid_days: VALID_DAYS,
        },
        Some(&ca),
    )?;
    Ok((TlsAcceptor::from(Arc::new(tls_config(&own)?)), ca.pem))
}

fn tls_config(own: &Certificate) -> Result<rustls::ServerConfig, StartError> {
    let unreadable = |error: rustls_pki_types::pem::Error| {
        StartError::Tls(rustls::Error::General(format!("the Director's own PEM: {error:?}")))
    };
    let chain = CertificateDer::pem_slice_iter(own.pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.reveal().as_bytes()).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_no_client_auth().with_single_cert(chain.map_err(unreadable)?, key)?)
}

async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    mut stopped: watch::Receiver<Stop>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!(error:%; "the lab's Director cannot listen"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop == Stop::Now) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, acceptor.clone(), router.clone(), stopped.clone()));
            }
            Err(error) => {
                log::warn!(error:%; "the lab's Director could not take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    mut stopped: watch::Receiver<Stop>,
) {
    let tls = match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return log::debug!(error:%; "a client broke off the TLS handshake"),
        Err(_) => return log::debug!("a client took too long for the TLS handshake"),
    };
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = inner.call(request.map(Body::new));
        async move {
            let response: Response = answer.await.unwrap_or_else(|never| match never {});
            // An error instead of an answer makes hyper close the connection without one.
            if response.extensions().get::<LostAnswer>().is_some() { Err(LostAnswer) } else { Ok(response) }
        }
    });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service);
    tokio::select! {
        served = serving => if let Err(error) = served {
            log::debug!(error:%; "a connection to the lab's Director ended early");
        },
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => {}
    }
}

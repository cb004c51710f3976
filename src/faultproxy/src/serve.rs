//! The proxy's door: it takes connections, with TLS or without, on a runtime of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::config::ProxyConfig;
use crate::error::ProxyError;
use crate::exchange::{Exchange, Lost};
use crate::journal::Served;
use crate::tls;

/// So many clients are served at the same time; others wait to be let in.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may idle, or a request's head take. Longer than clients keep idle connections
/// (reqwest: 90 s): a connection that the proxy closed would be a fault that no script ordered.
const HEAD_LIMIT: Duration = Duration::from_secs(120);

/// The pause after a connection could not be taken, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A proxy that runs. Dropping it cuts its connections and ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    scheme: &'static str,
    seed: u64,
    exchange: Arc<Exchange>,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Whether the proxy is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    NotYet,
    Now,
}

/// What every connection is given.
#[derive(Clone)]
struct Door {
    exchange: Arc<Exchange>,
    acceptor: Option<TlsAcceptor>,
    stopped: watch::Receiver<Stop>,
}

impl Proxy {
    /// Starts a proxy. It listens when this returns.
    ///
    /// # Errors
    /// [`ProxyError`]: certificate, log, address; nothing runs afterwards.
    pub fn start(config: ProxyConfig) -> Result<Self, ProxyError> {
        let wanted = config.listen;
        let listen_error = |source| ProxyError::Listen { address: wanted, source };
        let acceptor = config.identity.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let seed = config.seed.unwrap_or_else(rand::random);
        let exchange = Arc::new(Exchange::new(config, seed)?);
        let listener = std::net::TcpListener::bind(wanted).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("proxy")
            .enable_all()
            .build()
            .map_err(listen_error)?;
        let (stop, stopped) = watch::channel(Stop::NotYet);
        let door = Door { exchange: Arc::clone(&exchange), acceptor, stopped };
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(serve(listener, door));
            runtime.shutdown_background();
        });
        Ok(Self { address, scheme, seed, exchange, stop, thread: Some(thread.map_err(listen_error)?) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients are to use instead of the upstream's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The seed that gives the same faults again.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// What it did so far, by number. A request is here before its client has the answer.
    #[must_use]
    pub fn requests(&self) -> Vec<Served> {
        self.exchange.journal.records()
    }

    /// Serves until the process is killed.
    pub fn wait(mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the proxy's thread panicked");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
    }
}

async fn serve(listener: std::net::TcpListener, door: Door) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!(error:%; "the proxy cannot listen"),
    };
    let mut stopped = door.stopped.clone();
    tokio::select! {
        () = accept(&listener, &door) => {}
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => {}
    }
}

async fn accept(listener: &TcpListener, door: &Door) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed: an error of it would mean that the proxy ends.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, door.clone(), permit));
            }
            Err(error) => {
                log::warn!(error:%; "the proxy could not take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, door: Door, _permit: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!(error:%; "a connection was gone before it began");
    }
    let Some(acceptor) = door.acceptor.clone() else {
        return http(stream, door).await;
    };
    match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => http(tls, door).await,
        Ok(Err(error)) => log::debug!(error:%; "a client broke off the TLS handshake"),
        Err(_) => log::debug!("a client took too long for the TLS handshake"),
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin, mut door: Door) {
    let exchange = Arc::clone(&door.exchange);
    let service = service_fn(move |request| answer(Arc::clone(&exchange), request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.preserve_header_case(true).timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    // Else a client that has gone takes the body with it that it had sent already.
    builder.half_close(true);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = serving => if let Err(error) = served {
            log::debug!(error:%; "a connection to the proxy ended early");
        },
        _ = door.stopped.wait_for(|stop| *stop == Stop::Now) => {}
    }
}

/// A client that goes away does not take its request back: as on a real network, what was sent is carried
/// out. An error instead of an answer makes hyper close the connection without one.
async fn answer(exchange: Arc<Exchange>, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
    let served = tokio::spawn(async move { exchange.serve(request).await });
    served.await.unwrap_or(Err(Lost))
}

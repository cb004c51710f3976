//! `serve`: the backup API, HTTP over mTLS.
//!
//! One thread: the daemon waits for PostgreSQL and for drivers, and is to be small. Everything a peer
//! can use up has a limit: connections, their age, the size of a body, the time of a handshake.

mod api;
mod backup;
mod collations;
mod left_mark;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use remount_core::InstanceId;
use remount_store::ClusterStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Result, system};
use crate::hooks;
use crate::store_client::StoreClient;
use backup::BackupKeeper;
use remount_host::{Account, Deadline, FileLock, is_root};

const CONNECTIONS_MAX: usize = 64;
const HANDSHAKE_SECONDS: u64 = 10;
const HEADER_SECONDS: u64 = 30;
/// Long enough for the longest call (a checkpoint on a slow disk); then the peer connects anew.
const CONNECTION_SECONDS: u64 = 3600;
/// Between two attempts to remove the note of the last stop, and of each.
const FORGET_PAUSE: Duration = Duration::from_secs(10);
const FORGET_SECONDS: u64 = 60;
/// A limit of file descriptors passes; trying again at once would only use the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT; backup mode ends with it.
///
/// # Errors
/// Another agent serves, the certificates cannot be used, or the address cannot be listened on.
pub fn serve(config: AgentConfig) -> Result<()> {
    if is_root() {
        // Under BOSH it runs as the service user, and the folders are there. By hand, as root, neither the folders
        // nor what is written there may become root's.
        let account = Account::named(&config.user)?;
        account.create_folder(&config.directories.run)?;
        Disk::new(&config.directories).create_folders(account)?;
        account.become_it()?;
    }
    hooks::runtime()?.block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: AgentConfig) -> Result<()> {
    let _lock = only_one(&config)?;
    let tls = TlsAcceptor::from(Arc::new(config.tls.server_config()?));
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.map_err(system(format!("listen on {}", config.listen)))?;
    let address = listener.local_addr().map_err(system("ask for our own address"))?;
    let keeper = BackupKeeper::new(&config);
    keeper.clone().remove_left_mark();
    tokio::spawn(forget_stop(config.store_client(), config.identity.instance.id.clone()));
    let deployment = config.identity.deployment.clone();
    let routes = api::routes(Arc::new(config), keeper.clone());
    let mut stop = Stop::new()?;
    log::info!(address:%, deployment:% = deployment; "the agent serves");
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = connections.clone().acquire_owned().await.expect("the semaphore is never closed");
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tokio::spawn(connection(stream, peer, tls.clone(), routes.clone(), permit));
                }
                Err(error) => {
                    log::warn!(error:%; "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = stop.wait() => break,
        }
    }
    keeper.shut_down().await?;
    log::info!("the agent has stopped");
    Ok(())
}

/// What the note of the last stop says is not so any more: the server writes again. Where the store does not answer, it is
/// asked for as long as this process lives: neither can anything be archived then.
async fn forget_stop(store: StoreClient, id: InstanceId) {
    loop {
        let id = &id;
        let forget = |store: ClusterStore| async move { store.forget_stop_note(id).await };
        match store.ask(Deadline::after_seconds(FORGET_SECONDS), forget).await {
            Ok(()) => return,
            Err(error) => {
                log::warn!(error:% = remount_core::with_causes(&error); "the note of the last stop is not removed from the store yet")
            }
        }
        tokio::time::sleep(FORGET_PAUSE).await;
    }
}

/// Each of two agents would take the other's `backup.json` for one that was left.
fn only_one(config: &AgentConfig) -> Result<FileLock> {
    Ok(FileLock::try_take(&config.directories.run.join("agent.lock"))?)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    routes: axum::Router,
    _permit: OwnedSemaphorePermit,
) {
    let stream = match timeout(Duration::from_secs(HANDSHAKE_SECONDS), tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            log::warn!(peer:%, error:%; "a connection was refused");
            return;
        }
        Err(_) => {
            log::warn!(peer:%; "a TLS handshake took too long");
            return;
        }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEADER_SECONDS));
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match timeout(Duration::from_secs(CONNECTION_SECONDS), serving).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => log::debug!(peer:%, error:%; "a connection ended early"),
    }
}

/// The signals that end a daemon.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).map_err(system("listen for signals"));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! An HTTP server that notes what reaches it: the proof of what had an effect, and how often.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use remount_faultproxy::{Proxy, ProxyConfig, Script, Upstream};
use serde_json::Value;

/// The body of `GET /long`.
pub const LONG: usize = 100_000;

const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// One request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub method: Method,
    pub uri: String,
    pub host: String,
    pub body: Bytes,
}

/// The server; it ends with the test's process.
pub struct Peer {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Peer {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&arrived);
        let router =
            Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let answer = answer(&notes, method, &uri, &headers, body);
                async move { answer }
            });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { address, arrived }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A proxy before this peer.
    pub fn behind(&self, script: Value) -> Proxy {
        self.behind_with(script, |_| ())
    }

    pub fn behind_with(&self, script: Value, change: impl FnOnce(&mut ProxyConfig)) -> Proxy {
        let upstream = Upstream::new(&self.url(), None).unwrap();
        let mut config = ProxyConfig::new(upstream, Script::from_json(script).unwrap());
        change(&mut config);
        Proxy::start(config).unwrap()
    }

    /// All that had an effect.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until so many requests had an effect.
    pub fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + WAIT_LIMIT;
        while self.arrived().len() < count {
            assert!(Instant::now() < deadline, "only {:?} arrived", self.arrived());
            std::thread::yield_now();
        }
    }
}

/// The answer says how many requests there were: which of two answers came back can be seen.
fn answer(
    notes: &Mutex<Vec<Arrived>>,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let host = headers.get("host").map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default();
    let count = {
        let mut notes = notes.lock().unwrap();
        notes.push(Arrived { method, uri: uri.to_string(), host, body });
        notes.len()
    };
    let text = if uri.path() == "/long" { "x".repeat(LONG) } else { format!("answer {count}") };
    (axum::http::StatusCode::CREATED, [("x-peer", "own")], text).into_response()
}

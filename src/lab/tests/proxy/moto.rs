//! An S3 of the test's own: moto, on a port that it chose.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use remount_lab::proxy::{Proxy, ProxyConfig, Script, Upstream};
use remount_store::{Store, StoreConfig};
use serde_json::{Value, json};

/// The server; dropping it ends it.
pub struct Moto {
    server: Child,
    endpoint: String,
}

impl Moto {
    /// A server with the bucket `wal`.
    pub fn start() -> Self {
        let binary = moto_server();
        let mut server = Command::new(&binary)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("moto_server ({}) does not start: {error}", binary.display()));
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let endpoint = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("Running on ").map(|(_, url)| url.trim().to_owned()))
            .expect("moto_server says where it listens");
        // It logs every request: somebody has to read.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let moto = Self { server, endpoint };
        ureq::put(format!("{}/wal", moto.endpoint)).send_empty().unwrap();
        moto
    }

    /// A proxy before it, and a store that goes through the proxy.
    pub fn behind(&self, script: Value) -> (Proxy, Store) {
        let upstream = Upstream::new(&self.endpoint, None).unwrap();
        let proxy = Proxy::start(ProxyConfig::new(upstream, Script::from_json(script).unwrap())).unwrap();
        let store = store(&proxy.url());
        (proxy, store)
    }

    /// A store that asks moto itself.
    pub fn store(&self) -> Store {
        store(&self.endpoint)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.server.kill().expect("our own child can be killed");
        self.server.wait().expect("our own child can be waited for");
    }
}

fn store(endpoint: &str) -> Store {
    let config: StoreConfig = serde_json::from_value(json!({
        "type": "s3", "bucket": "wal", "prefix": "some/where", "region": "eu-central-1",
        "endpoint": endpoint, "access_key_id": "id", "secret_access_key": "secret",
        "signing_key": "42".repeat(32), "timeout_seconds": 20, "attempts": 3,
    }))
    .unwrap();
    config.open().unwrap()
}

fn moto_server() -> PathBuf {
    if let Some(path) = std::env::var_os("REMOUNT_MOTO_SERVER") {
        return path.into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let path = home.join(".cache/remount/venv/bin/moto_server");
    assert!(path.exists(), "{} is missing: run scripts/setup, or set REMOUNT_MOTO_SERVER", path.display());
    path
}

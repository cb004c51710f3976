//! Stores for the tests: memory, a folder, S3 (moto).

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use remount_core::ClusterName;
use remount_host::RetryPolicy;
use remount_sim::memory::MemoryObjects;
use remount_store::{ClusterStore, Objects, Store, StoreConfig};

/// As long as three tries take.
pub fn policy() -> RetryPolicy {
    RetryPolicy::within(Duration::from_secs(2))
}

pub fn memory() -> (Arc<MemoryObjects>, Store) {
    let objects = Arc::new(MemoryObjects::new());
    (objects.clone(), store(objects))
}

/// The store in `objects`, as every test's.
pub fn store(objects: Arc<dyn Objects>) -> Store {
    Store::new(objects, remount_sim::keys::control_plane())
}

pub fn config(json: serde_json::Value) -> StoreConfig {
    serde_json::from_value(json).unwrap()
}

pub fn folder(root: &Path) -> Store {
    let json = serde_json::json!({"type": "fs", "root": root, "signing": {"private_key": remount_sim::keys::PRIVATE}, "timeout_seconds": 30});
    config(json).open(&policy()).unwrap()
}

pub fn cluster(store: &Store) -> ClusterStore {
    store.cluster(&ClusterName::new("pg-0001").unwrap())
}

/// A moto server of this test alone, on a port of its own.
pub struct Moto {
    server: Child,
    pub endpoint: String,
}

impl Moto {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let binary = moto_server();
        let mut server = Command::new(&binary)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .args(arguments)
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
        Self { server, endpoint }
    }

    pub async fn bucket(&self, name: &str) {
        let response = reqwest::Client::new().put(format!("{}/{name}", self.endpoint)).send().await.unwrap();
        assert!(response.status().is_success(), "bucket {name}: {}", response.status());
    }

    pub fn config(&self, bucket: &str) -> serde_json::Value {
        serde_json::json!({
            "type": "s3", "bucket": bucket, "prefix": "some/where", "region": "eu-central-1",
            "endpoint": self.endpoint, "access_key_id": "id", "secret_access_key": "secret",
            "signing": {"private_key": remount_sim::keys::PRIVATE}, "timeout_seconds": 20,
        })
    }

    pub async fn store(&self) -> Store {
        let store = config(self.config("wal")).open(&policy()).unwrap(); // Installs the TLS provider first.
        self.bucket("wal").await;
        store
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.server.kill().expect("our own child can be killed");
        self.server.wait().expect("our own child can be waited for");
    }
}

fn moto_server() -> PathBuf {
    if let Some(path) = std::env::var_os("REMOUNT_MOTO_SERVER") {
        return path.into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let path = home.join(".cache/remount/venv/bin/moto_server");
    assert!(
        path.exists(),
        "{} is missing: run scripts/setup, or python3 -m venv ~/.cache/remount/venv && \
         ~/.cache/remount/venv/bin/pip install 'moto[server,s3]', or set REMOUNT_MOTO_SERVER",
        path.display()
    );
    path
}

//! The real program on a real store in a folder of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use remount_core::documents::{BackupManifest, RestorePlan};
use remount_core::{ClusterName, RestoreId};
use remount_flow::RestoreStep;
use remount_host::RetryPolicy;
use remount_store::{Lease, Purpose, Store, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const BACKUP: &str = "20261123T004500Z-k3f9";
pub const RESTORE: &str = "20261123T101700Z-0abc";
const ID: &str = "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d";

/// A store, a configuration, and the program.
pub struct Site {
    folder: TempDir,
    pub store: Store,
}

/// What the program said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Site {
    pub fn new() -> Self {
        Self::with(&json!({}))
    }

    /// With other blocks in the configuration.
    pub fn with(blocks: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let store: StoreConfig = serde_json::from_value(store(folder.path())).unwrap();
        let site = Self { store: store.open(&RetryPolicy::within(Duration::from_secs(5))).unwrap(), folder };
        site.configure(blocks);
        site
    }

    /// Writes the configuration, with these blocks in place of its own; `backup` and `restore` are the errands'.
    pub fn configure(&self, blocks: &Value) {
        let mut config = json!({
            "director": {"url": "http://127.0.0.1:1", "username": "a", "password": "b"},
            "cloud": {"type": "local", "root": self.folder.path()},
            "store": store(self.folder.path()),
            "agents": {"port": 7443, "certificate_file": "/none", "private_key_file": "/none", "ca_file": "/none"},
            "deployment": "remount",
        });
        let mut errand = json!({"remount_file": self.path("remount.json")});
        for (name, block) in blocks.as_object().unwrap() {
            let file = if ["backup", "restore"].contains(&name.as_str()) { &mut errand } else { &mut config };
            file[name] = block.clone();
        }
        for (name, file) in [("remount.json", &config), ("errand.json", &errand)] {
            std::fs::write(self.path(name), file.to_string()).unwrap();
        }
        self.open_to(0o600);
    }

    /// Gives the configuration this mode.
    pub fn open_to(&self, mode: u32) {
        for name in ["remount.json", "errand.json"] {
            std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    /// The file that the job renders whose command this is.
    fn config_for(&self, line: &str) -> PathBuf {
        let is_errands = line.starts_with("errand") || line == "backup";
        self.path(if is_errands { "errand.json" } else { "remount.json" })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `remount` with these words.
    pub fn run(&self, line: &str) -> Said {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_remount"))
            .args(line.split_whitespace())
            .arg("--config")
            .arg(self.config_for(line))
            .output()
            .unwrap();
        Said {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Runs `remount` with these words where nobody reads what it says, and answers with its exit code.
    pub fn run_unread(&self, line: &str) -> Option<i32> {
        let unread = || std::io::pipe().unwrap().1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_remount"));
        command.args(line.split_whitespace()).arg("--config").arg(self.config_for(line));
        command.stdout(unread()).stderr(unread()).status().unwrap().code()
    }

    pub async fn lease(&self, cluster: &str) -> Lease {
        let name: ClusterName = cluster.parse().unwrap();
        let term = Duration::from_secs(60);
        self.store.cluster(&name).take_lease("the test", Purpose::Restore, term).await.unwrap()
    }

    /// Writes a manifest.
    pub async fn backup(&self, cluster: &str, id: &str, change: impl FnOnce(&mut Value)) {
        let mut document = manifest(cluster, id);
        change(&mut document);
        let manifest: BackupManifest = serde_json::from_value(document).unwrap();
        let lease = self.lease(cluster).await;
        self.store.cluster(&manifest.cluster).write_backup(&manifest, &lease).await.unwrap();
        lease.release().await.unwrap();
    }

    /// Writes a plan and a journal.
    pub async fn restore(&self, id: &str, events: &[Value]) {
        let plan: RestorePlan = serde_json::from_value(plan(id)).unwrap();
        let lease = self.lease("pg-0001").await;
        let cluster = self.store.cluster(&plan.cluster);
        cluster.write_plan(&plan, &lease).await.unwrap();
        let id: RestoreId = id.parse().unwrap();
        let begun = json!({"event": "begun", "steps": RestoreStep::ALL.map(RestoreStep::as_str)});
        for (n, event) in (1..).zip([&begun].into_iter().chain(events)) {
            let at = format!("2026-11-23T10:17:{n:02}Z");
            let mut whole = json!({"format": 1, "n": n, "at": at, "epoch": 1});
            for (name, value) in event.as_object().unwrap() {
                whole[name] = value.clone();
            }
            cluster.append_journal(&id, &serde_json::from_value(whole).unwrap(), &lease).await.unwrap();
        }
        lease.release().await.unwrap();
    }
}

fn store(folder: &Path) -> Value {
    json!({"type": "fs", "root": folder.join("store"), "signing": {"private_key": remount_sim::keys::PRIVATE}})
}

/// Compares with a golden file; `UPDATE=1` writes it.
pub fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE=1 writes it", path.display());
    let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "wider than 80 columns: {long:#?}");
}

fn manifest(cluster: &str, id: &str) -> Value {
    json!({
        "format": 1, "id": id, "cluster": cluster, "deployment": cluster,
        "system_identifier": "7574325123456789012", "postgres_version": 150_018, "segment_size": 16_777_216,
        "timeline": 1, "start_lsn": "0/2000028", "stop_lsn": "0/2000100",
        "started_at": "2026-11-23T00:45:00Z", "stopped_at": "2026-11-23T00:45:12Z",
        "backup_label": "START WAL LOCATION: 0/2000028\n", "tablespace_map": "",
        "source": {"group": "postgres", "id": ID}, "source_role": "primary",
        "disk": {"instance": {"group": "postgres", "id": ID}, "cid": "disk-1", "az": "z1", "zone": "local-z1",
                 "size_mib": 10240, "disk_type": "ssd", "attributes": {"iops": 5000, "caching": "read_only"}},
        "data_bytes": 1_610_612_736_u64,
        "snapshot": {"iaas": "local", "cid": "snap-1", "created_at": "2026-11-23T00:45:05Z", "complete": true},
        "tool_version": "0.1.0", "keep_old_disks_hours": 24,
    })
}

fn plan(id: &str) -> Value {
    json!({
        "format": 1, "id": id, "cluster": "pg-0001", "deployment": "pg-0001",
        "created_at": "2026-11-23T10:17:00Z", "requested_by": "root@ops",
        "target": {"target": {"time": "2026-11-23T10:15:00Z"}},
        "path": {
            "backup": BACKUP, "snapshot": "snap-1", "system_identifier": "7574325123456789012",
            "segment_size": 16_777_216, "history": {"timeline": 1, "forks": []}, "new_timeline": 2,
            "start_lsn": "0/2000028", "consistent_lsn": "0/2000100", "minimum_lsn": "0/2000100",
            "segments": ["000000010000000000000002", "000000010000000000000005"],
        },
        "backup_label": "", "tool_version": "0.1.0", "keep_old_disks_hours": 24,
        "instances": [{
            "instance": {"group": "postgres", "id": ID}, "role": "primary", "old_disk": "disk-1",
            "new_disk": {"zone": "local-z1", "size_mib": 10240}, "was_running": true,
        }],
    })
}

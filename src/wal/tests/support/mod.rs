//! A VM's folders, the agent's configuration and the program.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod postgres;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use remount_core::{ClusterName, SystemIdentifier};
use remount_store::{ClusterStore, Store, StoreConfig, WalArchive};
use serde_json::{Value, json};

/// A folder for one test, owned by the user that runs PostgreSQL.
pub struct Vm {
    pub folder: tempfile::TempDir,
    pub owner: Option<(u32, u32)>,
}

impl Vm {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let vm = Self { folder, owner: vcap() };
        vm.give(vm.folder.path());
        for name in ["objects", "data-disk/remount/applied", "data/pg_wal", "data/global"] {
            vm.make(name);
        }
        // The program is built below /root, where PostgreSQL's user cannot go.
        fs::copy(env!("CARGO_BIN_EXE_remount-wal"), vm.path("remount-wal")).unwrap();
        fs::set_permissions(vm.path("remount-wal"), fs::Permissions::from_mode(0o755)).unwrap();
        vm
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn make(&self, name: &str) {
        let mut path = self.folder.path().to_owned();
        for part in Path::new(name) {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                self.give(&path);
            }
        }
    }

    pub fn give(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o640)).unwrap();
        self.give(&self.path(name));
    }

    /// The store block: a folder.
    pub fn store_json(&self) -> Value {
        json!({"type": "fs", "root": self.path("objects"), "signing": {"public_keys": [remount_sim::keys::PUBLIC]},
               "timeout_seconds": 10})
    }

    /// Writes `agent.json` for a server in `data`, whose persistent disk is `<data>-disk`.
    pub fn configure(&self, name: &str, data: &str, store: &Value, deadline_seconds: u64) {
        let config = json!({
            "deployment": "pg-0001", "instance": {"group": "postgres", "id": "0"}, "listen": "127.0.0.1:0", "later": {"unknown": true},
            "postgres": {"data_directory": self.path(data), "port": 5432, "superuser": "vcap",
                         "database": "postgres", "socket_directory": "/nowhere", "bin_directory": "/nowhere"},
            "store": store,
            "wal": {"codec": "lz4", "fetch_deadline_seconds": deadline_seconds, "push_deadline_seconds": deadline_seconds},
            "directories": {"store": self.path(&format!("{data}-disk")), "data": "/nowhere", "run": "/nowhere"},
        });
        self.write(name, config.to_string());
    }

    /// A control file of PostgreSQL 15, as far as we read it.
    pub fn control_file(&self, data: &str, owner: SystemIdentifier) {
        let mut content = owner.0.to_le_bytes().to_vec();
        content.extend(1300_u32.to_le_bytes());
        content.resize(8192, 0);
        self.write(&format!("{data}/global/pg_control"), content);
    }

    pub fn open(&self) -> Store {
        let config: StoreConfig = serde_json::from_value(self.store_json()).unwrap();
        config.open(&remount_host::RetryPolicy::within(std::time::Duration::from_secs(5))).unwrap()
    }

    pub fn cluster(&self) -> ClusterStore {
        self.open().cluster(&ClusterName::new("pg-0001").unwrap())
    }

    pub fn archive(&self, owner: SystemIdentifier) -> WalArchive {
        self.cluster().wal(owner)
    }

    /// Runs the program in the data directory, as PostgreSQL does.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("remount-wal"));
        command.args(arguments).current_dir(self.path("data"));
        command
    }

    pub fn push(&self, path: &str) -> Ran {
        self.run(&["push", "--config", self.path("agent.json").to_str().unwrap(), path])
    }

    pub fn fetch(&self, name: &str) -> Ran {
        let config = self.path("agent.json");
        self.run(&["fetch", "--config", config.to_str().unwrap(), name, "pg_wal/RECOVERYXLOG"])
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub said: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        assert!(output.stdout.is_empty(), "nothing belongs on standard output");
        Self { code: output.status.code(), said: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    /// Ended so, with all of these words.
    #[track_caller]
    pub fn ends(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "`{word}` is not in: {}", self.said);
        }
    }
}

/// The user that runs PostgreSQL, which refuses to run as root; none where we are not root.
fn vcap() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let find = || {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let line = users.lines().find(|line| line.starts_with("vcap:"))?.to_owned();
        let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
        Some((fields.next()?, fields.next()?))
    };
    find().or_else(|| {
        // Two tests may try at once: one of them makes it.
        Command::new("useradd").args(["--system", "--user-group", "vcap"]).output().unwrap();
        find()
    })
}

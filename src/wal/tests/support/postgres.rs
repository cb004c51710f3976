//! A real PostgreSQL 15 that archives and recovers with the program.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::Vm;

const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Of any wait.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A server in a folder of the VM. It listens on a socket in its own folder, on no port.
pub struct Server<'a> {
    vm: &'a Vm,
    data: String,
}

impl<'a> Server<'a> {
    /// A new cluster with segments of 1 MiB.
    pub fn initialise(vm: &'a Vm, data: &str) -> Self {
        vm.make("sockets");
        fs::remove_dir_all(vm.path(data)).unwrap();
        let server = Self::at(vm, data);
        let path = vm.path(data);
        server.tool(
            "initdb",
            &["-D", path.to_str().unwrap(), "-U", "vcap", "-A", "trust", "-k", "--wal-segsize=1"],
        );
        server
    }

    /// The server in this folder.
    pub fn at(vm: &'a Vm, data: &str) -> Self {
        Self { vm, data: data.to_owned() }
    }

    pub fn configure(&self, lines: &str) {
        let path = format!("{}/postgresql.auto.conf", self.data);
        let sockets = self.vm.path("sockets");
        let text = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nport = {}\nlogging_collector = off\n\
             hot_standby = on\nmin_wal_size = 2MB\nmax_wal_size = 64MB\nfull_page_writes = on\n{lines}\n",
            sockets.display(),
            self.port(),
        );
        self.vm.write(&path, text);
    }

    /// How a standby reaches this server.
    pub fn conninfo(&self) -> String {
        format!("host={} port={} user=vcap", self.vm.path("sockets").display(), self.port())
    }

    /// Names a socket file, nothing else.
    fn port(&self) -> u32 {
        self.data.bytes().map(u32::from).sum::<u32>() + 5000
    }

    /// Whether the server could be started (and, in recovery, became consistent).
    pub fn try_start(&self) -> bool {
        let log = self.vm.path(&format!("{}.log", self.data));
        let (log, data) = (log.display().to_string(), self.vm.path(&self.data).display().to_string());
        self.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-t", "60", "start"]).status.success()
    }

    pub fn start(&self) {
        assert!(self.try_start(), "{}", self.log());
    }

    pub fn stop(&self) {
        let data = self.vm.path(&self.data);
        self.tool("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "fast", "-w", "stop"]);
    }

    pub fn is_running(&self) -> bool {
        let data = self.vm.path(&self.data);
        self.run("pg_ctl", &["-D", data.to_str().unwrap(), "status"]).status.success()
    }

    pub fn wait_until_stopped(&self) {
        self.wait("it stops", || !self.is_running());
    }

    pub fn wait_until_promoted(&self) {
        self.wait("it is promoted", || self.try_sql("SELECT pg_is_in_recovery()").as_deref() == Some("f"));
    }

    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < WAIT_LIMIT, "waited too long until {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|| panic!("{sql}: {}", self.log()))
    }

    fn try_sql(&self, sql: &str) -> Option<String> {
        let (sockets, port) = (self.vm.path("sockets"), self.port().to_string());
        let arguments =
            ["-h", sockets.to_str().unwrap(), "-p", &port, "-U", "vcap", "-d", "postgres", "-XAtqc", sql];
        let output = self.run("psql", &arguments);
        let text = || String::from_utf8(output.stdout).unwrap().trim().to_owned();
        if output.status.success() { Some(text()) } else { None }
    }

    /// Copies the running server into another folder: its base backup.
    pub fn copy_to(&self, data: &str) {
        let (sockets, port) = (self.vm.path("sockets"), self.port().to_string());
        let target = self.vm.path(data);
        let arguments = [
            "-h",
            sockets.to_str().unwrap(),
            "-p",
            &port,
            "-U",
            "vcap",
            "-c",
            "fast",
            "-X",
            "none",
            "--no-manifest",
            "-D",
            target.to_str().unwrap(),
        ];
        self.tool("pg_basebackup", &arguments);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.vm.path(&format!("{}.log", self.data))).unwrap_or_default()
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let output = self.run(name, arguments);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        let program = format!("{BIN}/{name}");
        let mut command = match self.vm.owner {
            Some(_) => {
                let mut command = Command::new("runuser");
                command.args(["-u", "vcap", "--", &program]);
                command
            }
            None => Command::new(&program),
        };
        // What a server inherits of our pipes would keep them open: its log goes to a file.
        let command = command.args(arguments).current_dir(self.vm.folder.path()).env("LC_ALL", "C");
        if name == "pg_ctl" {
            let status =
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
            return Output { status: status.unwrap(), stdout: Vec::new(), stderr: Vec::new() };
        }
        command.output().unwrap()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if self.is_running() {
            let data = self.vm.path(&self.data);
            self.run("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
        }
    }
}

//! The real program beside a real PostgreSQL.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

#[path = "../../postgres/tests/support/mod.rs"]
mod postgres;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postgres::{Postgres, WAIT_LIMIT, folder, give_to_vcap};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use remount_postgres::{LocalConfig, LocalServer, Reachable};
use serde_json::{Value, json};

const PASSWORD: &str = "catalog-secret";

/// Writes `scheduler.json`.
fn configure(home: &Path, database: &Value) -> PathBuf {
    let config = home.join("scheduler.json");
    let remount = home.join("remount.json");
    let text = json!({"remount_file": remount, "listen": "127.0.0.1:0", "database": database}).to_string();
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    config
}

/// A running scheduler.
struct Scheduler {
    process: Child,
    log: PathBuf,
    address: String,
}

impl Scheduler {
    fn start(home: &Path, database: &Value) -> Self {
        let log = home.join("scheduler.log");
        fs::write(home.join("remount.json"), "{}").unwrap();
        fs::set_permissions(home.join("remount.json"), fs::Permissions::from_mode(0o600)).unwrap();
        let config = configure(home, database);
        let errors = fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_remount-scheduler"));
        command.arg("--config").arg(config).stdin(Stdio::null()).stderr(errors);
        let process = command.spawn().unwrap();
        let mut scheduler = Self { process, log, address: String::new() };
        scheduler.address = scheduler.wait_for("the address", |text| {
            let rest = text.split("address=").nth(1)?;
            rest.split_whitespace().next().filter(|_| rest.contains('\n')).map(str::to_owned)
        });
        scheduler
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log shows what is wanted.
    fn wait_for<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            let text = self.log_text();
            if let Some(found) = found(&text) {
                return found;
            }
            let gone = self.process.try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < until, "no {what}: {gone:?}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_word(&mut self, word: &str) {
        self.wait_for(word, |text| text.contains(word).then_some(()));
    }

    /// Status and document of `/healthz`.
    fn health(&self) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn without_a_database_it_says_so_and_ends_at_once_when_it_is_told() {
    let home = folder();
    let database = json!({"host": "127.0.0.1", "port": free_port(), "name": "remount", "user": "remount",
                          "password": PASSWORD});
    let mut scheduler = Scheduler::start(home.path(), &database);
    scheduler.wait_for_word("the database cannot be reached");
    let said = json!({"scheduling": "not in this version", "database": "unreachable"});
    assert_eq!(scheduler.health(), (503, said));
    assert_eq!(scheduler.log_text().matches("schedules nothing").count(), 1);
    // A peer that says nothing must not hold it up.
    let _idle = TcpStream::connect(&scheduler.address).unwrap();
    let began = Instant::now();
    postgres::run(Command::new("kill").arg(scheduler.process.id().to_string()));
    let status = scheduler.process.wait().unwrap();
    assert!(status.success() && began.elapsed() < Duration::from_secs(1), "{status} {:?}", began.elapsed());
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_all_that_is_wrong() {
    let home = folder();
    let config = home.path().join("scheduler.json");
    fs::write(&config, json!({"listen": "x", "database": {"hots": "a"}, "more": 1}).to_string()).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_remount-scheduler"));
    let output = command.arg("--config").arg(config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in ["`listen`", "hots", "`more` is unknown", "`remount_file` is missing", " next: "] {
        assert!(text.contains(word), "{word} is not said: {text}");
    }
}

#[test]
fn it_does_not_start_without_the_job_remount_beside_it() {
    let home = folder();
    let config =
        configure(home.path(), &json!({"host": "a", "port": 1, "name": "b", "user": "c", "password": "d"}));
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remount-scheduler"));
        let output = command.arg("--check").arg("--config").arg(&config).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = check();
    assert_eq!(code, Some(2), "{text}");
    for word in ["remount.json is missing", "cause: the job `remount` is not on this VM", "next: add the job"]
    {
        assert!(text.contains(word), "{word} is not said: {text}");
    }
    let shared = home.path().join("remount.json");
    fs::write(&shared, "{}").unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(), (Some(0), String::new()));
}

/// A server that lets nobody in by network without TLS and password.
struct Catalog {
    _server: Postgres,
    port: u16,
    ca_file: PathBuf,
}

impl Catalog {
    async fn start(home: &Path) -> Self {
        let ca_file = authority(home);
        let mut server = Postgres::init(15, home, "catalog");
        let rules = "local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n";
        fs::write(server.data.join("pg_hba.conf"), rules).unwrap();
        let port = free_port();
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", home.join("certificate.pem").display()),
            format!("ssl_key_file={}", home.join("key.pem").display()),
        ];
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting.as_str()]).collect();
        server.spawn_with(&arguments);
        let local = LocalServer::new(LocalConfig { port, ..server.config() });
        let until = Instant::now() + WAIT_LIMIT;
        while local.reachable().await.unwrap() != Reachable::Yes {
            assert!(Instant::now() < until, "{}", server.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let statement = format!("CREATE ROLE remount LOGIN PASSWORD '{PASSWORD}'");
        local.connect().await.unwrap().batch_execute(&statement).await.unwrap();
        Self { _server: server, port, ca_file }
    }

    fn database(&self, password: &str, ca_file: Option<&Path>) -> Value {
        json!({"host": "127.0.0.1", "port": self.port, "name": "postgres", "user": "remount",
               "password": password, "ca_file": ca_file})
    }
}

/// Writes an authority, and a certificate of it for the server's address.
fn authority(home: &Path) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, text) in
        [("ca.pem", issuer.pem()), ("certificate.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(home.join(name), text).unwrap();
    }
    fs::set_permissions(home.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    give_to_vcap(&home.join("key.pem"));
    home.join("ca.pem")
}

#[tokio::test]
async fn a_database_is_reached_by_tls_and_password_alone() {
    let home = folder();
    let catalog = Catalog::start(home.path()).await;
    let mut scheduler = Scheduler::start(home.path(), &catalog.database(PASSWORD, Some(&catalog.ca_file)));
    scheduler.wait_for_word("the database can be reached");
    assert_eq!(
        scheduler.health(),
        (200, json!({"scheduling": "not in this version", "database": "reachable"}))
    );

    let other = tempfile::tempdir().unwrap();
    let stranger = authority(other.path());
    for (database, why) in [
        (catalog.database(PASSWORD, Some(&stranger)), "invalid peer certificate"),
        (catalog.database(PASSWORD, None), "no pg_hba.conf entry"),
        (catalog.database("wrong-secret", Some(&catalog.ca_file)), "password authentication failed"),
    ] {
        let mut scheduler = Scheduler::start(home.path(), &database);
        scheduler.wait_for_word("the database cannot be reached");
        let text = scheduler.log_text();
        assert!(text.contains(why), "{why} is not said: {text}");
        assert!(!text.contains("-secret"), "a password was logged: {text}");
    }
}

//! A database VM in a folder: the real agent, a real store, real certificates.

#![allow(dead_code)] // Each test binary uses its own part of this.

#[path = "../../../postgres/tests/support/mod.rs"]
pub mod postgres;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use postgres::{Postgres, as_vcap, give_to_vcap, is_root};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use remount_core::documents::{
    BackupManifest, BackupMark, DiskOwner, DiskRecord, DiskShape, PlannedInstance, RecoveryPath, RestorePlan,
    SnapshotRecord, StoreDocument,
};
use remount_core::{
    BackupId, DeploymentName, DiskCid, InstanceSlug, Lsn, RecoveryTarget, RestoreId, RestoreTarget, Role,
    SegmentSize, SnapshotCid, StoreId, SystemIdentifier, TimelineHistory, TimelineId, WalSegment,
};
use remount_faultproxy::{Identity, Proxy, ProxyConfig, Script, Upstream, UpstreamTls};
use remount_postgres::{AgentsConfig, ControlData, RemoteServer, RemoteServers, agent_tls_name};
use remount_store::{ArchiveFile, ClusterStore, Codec, Purpose, PushOptions, StoreConfig};
use serde_json::json;

pub fn backup() -> BackupId {
    BackupId::new("20261123T004500Z-k3f9").unwrap()
}

pub fn restore() -> RestoreId {
    RestoreId::new("20261123T010000Z-aaaa").unwrap()
}

pub fn deployment() -> DeploymentName {
    "pg-1".parse().unwrap()
}

pub fn instance(id: &str) -> InstanceSlug {
    InstanceSlug { group: "postgres".parse().unwrap(), id: id.parse().unwrap() }
}

/// A folder for everything of one test: the store, the archive, the programs and the VMs.
pub struct Landscape {
    pub home: tempfile::TempDir,
    pub ca: Ca,
}

impl Landscape {
    pub fn new() -> Self {
        let home = postgres::folder();
        for name in ["bin", "store", "archive"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let landscape = Self { ca: Ca::new(), home };
        // The build's own folder is closed to vcap; the agent looks for `remount-wal` beside itself.
        fs::copy(env!("CARGO_BIN_EXE_remount-agent"), landscape.program()).unwrap();
        landscape.write_fetch();
        let document = StoreDocument { format: 1, id: store_id() };
        fs::write(landscape.path("store/store.json"), serde_json::to_vec(&document).unwrap()).unwrap();
        give_to_vcap(landscape.home.path());
        landscape
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn program(&self) -> PathBuf {
        self.path("bin/remount-agent")
    }

    /// Stands for `remount-wal fetch --config FILE %f %p`, which is another program's test.
    fn write_fetch(&self) {
        let path = self.path("bin/remount-wal");
        let text = format!("#!/bin/sh\nexec cp '{}'/\"$4\" \"$5\"\n", self.path("archive").display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The cluster's part of the store, as the flows see it.
    pub fn store(&self) -> ClusterStore {
        let key = remount_sim::keys::PRIVATE;
        let config = json!({"type": "fs", "root": self.path("store"), "signing": {"private_key": key}});
        let config: StoreConfig = serde_json::from_value(config).unwrap();
        config
            .open(&remount_host::RetryPolicy::within(std::time::Duration::from_secs(5)))
            .unwrap()
            .cluster(&"pg-1".parse().unwrap())
    }

    /// Publishes a plan as the restore's driver does.
    pub async fn publish(&self, plan: &RestorePlan) {
        let store = self.store();
        let lease = store.take_lease("test", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
        store.write_plan(plan, &lease).await.unwrap();
        store.publish(&plan.id, &lease).await.unwrap();
        lease.release().await.unwrap();
    }

    /// Writes the manifest of [`backup`], as the backup's driver does at the end.
    pub async fn complete_backup(&self, system_identifier: SystemIdentifier) {
        let manifest = BackupManifest {
            format: 1,
            id: backup(),
            cluster: "pg-1".parse().unwrap(),
            deployment: "pg-1".parse().unwrap(),
            system_identifier,
            postgres_version: 150_018,
            segment_size: SegmentSize::DEFAULT,
            timeline: TimelineId::FIRST,
            start_lsn: Lsn(0x0200_0028),
            stop_lsn: Lsn(0x0200_0100),
            started_at: Timestamp::UNIX_EPOCH,
            stopped_at: Timestamp::UNIX_EPOCH,
            backup_label: String::new(),
            tablespace_map: String::new(),
            source: instance("i-1"),
            source_role: Role::Primary,
            disk: DiskRecord {
                instance: instance("i-1"),
                cid: DiskCid::new("disk-1").unwrap(),
                az: None,
                shape: DiskShape { size_mib: 1024, ..DiskShape::default() },
            },
            other_disks: Vec::new(),
            data_bytes: 0,
            settings: Default::default(),
            data_checksums: true,
            collation_versions: Default::default(),
            snapshot: SnapshotRecord {
                iaas: "local".into(),
                cid: SnapshotCid::new("snap-1").unwrap(),
                region: String::new(),
                key: None,
                created_at: Timestamp::UNIX_EPOCH,
                complete: true,
            },
            sla_class: None,
            retain_until: None,
            hold: false,
            tool_version: "test".into(),
        };
        let store = self.store();
        let lease = store.take_lease("test", Purpose::Backup, Duration::from_secs(60)).await.unwrap();
        store.write_backup(&manifest, &lease).await.unwrap();
        lease.release().await.unwrap();
    }

    /// Archives what PostgreSQL has put into the archive folder, as `remount-wal push` does.
    pub async fn push_archive(&self, system: SystemIdentifier) {
        self.push_folder(&self.path("archive"), system).await;
    }

    /// The same for a server that archives into a folder of its own.
    pub async fn push_folder(&self, folder: &Path, system: SystemIdentifier) {
        let wal = self.store().wal(system);
        let options = PushOptions { codec: Codec::Raw, segment_size: SegmentSize::DEFAULT };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if let Ok(file) = name.parse::<ArchiveFile>() {
                wal.push(&file, fs::read(&path).unwrap().into(), options).await.unwrap();
            }
        }
        self.give_store_away();
    }

    /// What a test has written into the store has to be readable for an agent that runs as vcap.
    pub fn give_store_away(&self) {
        give_to_vcap(&self.path("store"));
    }
}

/// One VM of a landscape.
pub struct Vm<'a> {
    pub landscape: &'a Landscape,
    pub instance: InstanceSlug,
    pub home: PathBuf,
    pub config: serde_json::Value,
}

impl<'a> Vm<'a> {
    pub fn new(landscape: &'a Landscape, id: &str) -> Self {
        let home = landscape.path(id);
        for name in ["", "store", "run", "log", "config"] {
            fs::create_dir(home.join(name)).unwrap();
        }
        let files = landscape.ca.issue(&home.join("config"), &agent_tls_name(&deployment()));
        let config = json!({
            "deployment": "pg-1", "instance": {"group": "postgres", "id": id},
            "listen": "127.0.0.1:0",
            "tls": {"certificate_file": files.0, "private_key_file": files.1, "ca_file": files.2},
            "postgres": {
                "data_directory": home.join("store/postgres"), "socket_directory": home.join("run"),
                "port": 5432, "superuser": "vcap", "database": "postgres",
                "bin_directory": "/usr/lib/postgresql/15/bin", "log_directory": home.join("log"),
            },
            "store": {"type": "fs", "root": landscape.path("store"), "signing": {"public_keys": [remount_sim::keys::PUBLIC]},
                      "timeout_seconds": 5},
            "wal": {"codec": "none", "fetch_deadline_seconds": 5, "push_deadline_seconds": 5},
            "pre_start": {"deadline_seconds": 1}, "post_start": {"deadline_seconds": 60},
            "post_deploy": {"deadline_seconds": 1}, "drain": {"deadline_seconds": 2},
            "post_stop": {"deadline_seconds": 8},
            "directories": {"store": home.join("store"), "data": home.join("data"), "run": home.join("run/agent")},
        });
        let vm = Self { landscape, instance: instance(id), config, home };
        vm.write_config();
        give_to_vcap(&vm.home);
        vm
    }

    pub fn write_config(&self) {
        fs::write(self.config_file(), self.config.to_string()).unwrap();
        fs::set_permissions(self.config_file(), fs::Permissions::from_mode(0o640)).unwrap();
        give_to_vcap(&self.home.join("config"));
    }

    pub fn config_file(&self) -> PathBuf {
        self.home.join("config/agent.json")
    }

    /// A cluster on the disk, as `initdb` makes it.
    pub fn with_data(&self) -> Postgres {
        let mut server = Postgres::init(15, &self.home, "store/postgres");
        server.socket = self.home.join("run");
        server.log = self.home.join("log");
        server
    }

    /// Runs a hook with the disk mounted, as root, as BOSH does.
    pub fn hook(&self, arguments: &[&str]) -> Output {
        self.hook_command(arguments).output().unwrap()
    }

    pub fn hook_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(if is_root() { ["-m", "-f"] } else { ["-rm", "-f"] });
        command.args(["--kill-child", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$@\""]);
        command.arg(self.home.join("store")).arg(self.landscape.program()).args(arguments);
        command.arg("--config").arg(self.config_file());
        command
    }

    /// Writes `backup.json`, as every copy from a snapshot of this instance's disk has it.
    pub fn mark(&self, backup: &BackupId) {
        let cluster = "pg-1".parse().unwrap();
        let system_identifier = self.system_identifier();
        self.mark_of(backup, DiskOwner { cluster, system_identifier, instance: self.instance.id.clone() });
    }

    /// The same, as a copy of anybody's disk has it.
    pub fn mark_of(&self, backup: &BackupId, owner: DiskOwner) {
        fs::create_dir_all(self.home.join("store/remount")).unwrap();
        let (backup, store) = (backup.clone(), store_id());
        let mark = BackupMark { format: 1, backup, owner, store, started_at: Timestamp::UNIX_EPOCH };
        let mark = serde_json::to_value(mark).unwrap();
        fs::write(self.mark_file(), mark.to_string()).unwrap();
        give_to_vcap(&self.home.join("store/remount"));
    }

    pub fn mark_file(&self) -> PathBuf {
        self.home.join("store/remount/backup.json")
    }

    pub fn applied(&self) -> serde_json::Value {
        let path = self.home.join(format!("store/remount/applied/{}.json", restore()));
        fs::read(path).map_or(serde_json::Value::Null, |text| serde_json::from_slice(&text).unwrap())
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.home.join("store/postgres").join(name)
    }

    pub fn system_identifier(&self) -> SystemIdentifier {
        ControlData::read(&self.data("")).unwrap().system_identifier
    }

    /// A plan for this VM's data, made from [`backup`].
    pub fn plan(&self, instances: &[(&str, Role)]) -> RestorePlan {
        let segment = WalSegment::numbered(TimelineId::FIRST, 1, SegmentSize::DEFAULT);
        let planned = |(id, role): &(&str, Role)| PlannedInstance {
            instance: instance(id),
            role: *role,
            old_disk: Some(DiskCid::new("disk-old").unwrap()),
            new_disk: DiskShape { size_mib: 1024, ..DiskShape::default() },
            was_running: true,
        };
        RestorePlan {
            format: 1,
            id: restore(),
            cluster: "pg-1".parse().unwrap(),
            deployment: "pg-1".parse().unwrap(),
            group: None,
            created_at: Timestamp::UNIX_EPOCH,
            requested_by: "test".into(),
            target: RestoreTarget::of(RecoveryTarget::Name("good".into())),
            path: RecoveryPath {
                backup: backup(),
                snapshot: SnapshotCid::new("snap-1").unwrap(),
                system_identifier: self.system_identifier(),
                segment_size: SegmentSize::DEFAULT,
                history: TimelineHistory::first(),
                new_timeline: TimelineId::new(2).unwrap(),
                start_lsn: Lsn(0x0200_0028),
                consistent_lsn: Lsn(0x0200_0100),
                minimum_lsn: Lsn(0x0200_0100),
                segments: (segment, segment),
            },
            backup_label: "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n".into(),
            tablespace_map: String::new(),
            instances: instances.iter().map(planned).collect(),
            pause: false,
            revision: 1,
            estimate_seconds: 1.0,
            keep_old_disks_hours: 24,
            options: Default::default(),
            segments_verified: 0,
            accept_loss: Vec::new(),
            tool_version: "test".into(),
        }
    }

    /// Starts the daemon and waits until it listens.
    pub fn serve(&self) -> Agent {
        self.serve_by(as_vcap(&self.landscape.program()))
    }

    /// The same as bpm does: the container has not the disk but the folders that bpm was told of, of which these are the
    /// ones that every version had.
    pub fn serve_in_container(&self) -> Agent {
        let mut command = Command::new("unshare");
        let script = "cd \"$0\" && mkdir -p ../kept/postgres ../kept/remount && mount --bind postgres ../kept/postgres \
            && mount --bind remount ../kept/remount && mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir postgres remount \
            && mount --bind ../kept/postgres postgres && mount --bind ../kept/remount remount \
            && exec setpriv --reuid=vcap --regid=vcap --clear-groups \"$@\"";
        command.args(["-m", "sh", "-c", script]).arg(self.home.join("store")).arg(self.landscape.program());
        self.serve_by(command)
    }

    fn serve_by(&self, mut command: Command) -> Agent {
        let log = self.home.join("log/agent.log");
        fs::write(&log, "").unwrap();
        give_to_vcap(&log);
        let errors = fs::OpenOptions::new().append(true).open(&log).unwrap();
        command.arg("serve").arg("--config").arg(self.config_file()).stdin(Stdio::null()).stderr(errors);
        let process = command.spawn().unwrap();
        let mut agent = Agent { process, log, address: "127.0.0.1:1".parse().unwrap() };
        let until = Instant::now() + postgres::WAIT_LIMIT;
        loop {
            let text = agent.log_text();
            let found = text.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
            if let Some(address) = found.filter(|_| text.contains("the agent serves") && text.ends_with('\n'))
            {
                agent.address = address.parse().unwrap();
                return agent;
            }
            let gone = agent.process.try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < until, "{gone:?}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The folders that pre-start makes, for tests that begin with the daemon.
    pub fn as_after_pre_start(&self) {
        for name in ["store/remount/applied", "data", "run/agent"] {
            fs::create_dir_all(self.home.join(name)).unwrap();
        }
        give_to_vcap(&self.home);
    }
}

/// A running daemon.
pub struct Agent {
    pub process: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Agent {
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&mut self, signal: &str) -> std::process::ExitStatus {
        postgres::run(Command::new("kill").arg(format!("-{signal}")).arg(self.process.id().to_string()));
        self.process.wait().unwrap()
    }

    /// The driver's end.
    pub fn client(&self, ca: &Ca, instance: &InstanceSlug) -> RemoteServer {
        client(self.address, ca, instance)
    }

    /// The fault proxy before this agent: it shows the agent's name to the driver, and the driver's to the agent.
    pub fn behind(&self, ca: &Ca, script: serde_json::Value) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let own = |name: &str| {
            let at = folder.path().join(name);
            fs::create_dir(&at).unwrap();
            let (certificate_file, private_key_file, ca_file) = ca.issue(&at, name);
            (Identity { certificate_file, private_key_file }, ca_file)
        };
        let (driver, ca_file) = own("driver");
        let (agent, _) = own(&agent_tls_name(&deployment()));
        let tls = UpstreamTls { ca_file, name: Some(agent_tls_name(&deployment())), identity: Some(driver) };
        let upstream = Upstream::new(&format!("https://{}", self.address), Some(&tls)).unwrap();
        let mut config = ProxyConfig::new(upstream, Script::from_json(script).unwrap());
        config.identity = Some(agent);
        Proxy::start(config).unwrap()
    }
}

/// A driver that knows the agent at this address.
pub fn client(address: SocketAddr, ca: &Ca, instance: &InstanceSlug) -> RemoteServer {
    client_named(address, ca, "driver", instance)
}

/// Somebody who shows a certificate for this name.
pub fn client_as(agent: &Agent, ca: &Ca, name: &str, instance: &InstanceSlug) -> RemoteServer {
    client_named(agent.address, ca, name, instance)
}

fn client_named(address: SocketAddr, ca: &Ca, name: &str, instance: &InstanceSlug) -> RemoteServer {
    let folder = tempfile::tempdir().unwrap();
    let (certificate_file, private_key_file, ca_file) = ca.issue(folder.path(), name);
    let port = address.port();
    let config = AgentsConfig { port, certificate_file, private_key_file, ca_file, timeout_seconds: 5 };
    let servers = RemoteServers::new(&config).unwrap();
    servers.remote(&deployment(), instance, &address.ip().to_string()).unwrap()
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A certificate authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Writes a certificate for `name`, its key and the CA; for what the manifests make it for.
    pub fn issue(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![match name.ends_with("remount-agent") {
            true => ExtendedKeyUsagePurpose::ServerAuth,
            false => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["certificate.pem", "key.pem", "ca.pem"].map(|file| folder.join(file));
        for (file, text) in files.iter().zip([certificate.pem(), key.serialize_pem(), self.issuer.pem()]) {
            fs::write(file, text).unwrap();
        }
        let [certificate, key, ca] = files;
        (certificate, key, ca)
    }
}

/// The id of the landscape's store.
pub fn store_id() -> StoreId {
    StoreId::of(7)
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until a fact holds.
pub async fn until<F, A>(what: &str, fact: F)
where
    F: Fn() -> A,
    A: Future<Output = bool>,
{
    let until = Instant::now() + postgres::WAIT_LIMIT;
    while !fact().await {
        assert!(Instant::now() < until, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `GET /v1/status` over a connection of our own making.
pub async fn tls_request(agent: &Agent, trusted: &Ca, shown: Option<&Ca>) -> std::io::Result<String> {
    tls_exchange(agent, trusted, shown, "GET /v1/status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
}

/// Sends raw bytes over TLS, showing a certificate of `shown` or none, and reads to the end.
pub async fn tls_exchange(
    agent: &Agent,
    trusted: &Ca,
    shown: Option<&Ca>,
    text: &str,
) -> std::io::Result<String> {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    let (certificate, key, _) = shown.unwrap_or(trusted).issue(folder.path(), "driver");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.issuer.pem().as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(_) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(agent.address).await?;
    let mut stream =
        connector.connect(ServerName::try_from(agent_tls_name(&deployment())).unwrap(), stream).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    // A peer that ends without a farewell has said what it had to say.
    if answer.is_empty() {
        read.map(|_| String::new())
    } else {
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

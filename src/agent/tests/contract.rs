//! The agent's API and its client under the contract of every server: real daemons, real PostgreSQL, real
//! certificates.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use remount_core::{BackupId, WalSegment};
use remount_postgres::{AgentsConfig, LocalServer, RemoteServers, Servers};
use remount_sim::contract::server::{self, Fixture, ServerAddress};
use support::postgres::{Postgres, as_vcap, run};
use support::{Agent, Landscape, Vm, until};
use tokio::sync::Mutex;

/// For the whole of the test: VMs borrow it, and the suite wants what lives long.
static LANDSCAPE: OnceLock<Landscape> = OnceLock::new();

/// Addresses of this process alone: the agents share one port.
fn address(vm: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{}.{vm}", 64 + high % 128, low)
}

/// A VM with its server and its agent.
struct Machine {
    vm: Vm<'static>,
    place: ServerAddress,
    server: Mutex<Postgres>,
    agent: Mutex<Option<Agent>>,
}

impl Machine {
    /// The VM; its server does not run yet.
    fn vm(number: u8, port: u16) -> (Vm<'static>, ServerAddress) {
        let id = format!("i-{number}");
        let mut vm = Vm::new(LANDSCAPE.get_or_init(Landscape::new), &id);
        let address = address(number);
        vm.config["listen"] = format!("{address}:{port}").into();
        vm.write_config();
        let place =
            ServerAddress { deployment: support::deployment(), instance: vm.instance.clone(), address };
        (vm, place)
    }

    async fn started(vm: Vm<'static>, place: ServerAddress, mut server: Postgres) -> Self {
        vm.as_after_pre_start();
        server.start().await;
        let agent = Mutex::new(Some(vm.serve()));
        Self { vm, place, server: Mutex::new(server), agent }
    }
}

/// A primary and the standby that streams from it over its socket.
struct Cluster {
    machines: [Machine; 2],
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    async fn start(port: u16) -> Self {
        let (vm, place) = Machine::vm(1, port);
        let server = vm.with_data();
        // What the standby has not got while it is down must still be there.
        let conf = vm.data("postgresql.conf");
        let text = fs::read_to_string(&conf).unwrap() + "wal_keep_size = '1GB'\n";
        fs::write(&conf, text).unwrap();
        let primary = Machine::started(vm, place, server).await;

        let (vm, place) = Machine::vm(2, port);
        let mut server = Postgres::at(15, &vm.home, "store/postgres");
        (server.socket, server.log) = (vm.home.join("run"), vm.home.join("log"));
        let socket = primary.vm.home.join("run");
        run(as_vcap(&server.bin.join("pg_basebackup"))
            .args(["-U", "vcap", "-R", "--checkpoint=fast", "--wal-method=stream", "-h"])
            .arg(&socket)
            .arg("-D")
            .arg(&server.data));
        let standby = Machine::started(vm, place, server).await;
        // A standby archives nothing over a hole: the store has what was written before it began to stream.
        let system = primary.vm.system_identifier();
        let switched = LocalServer::new(primary.server.lock().await.config()).switch_wal().await.unwrap();
        let done = primary.vm.data(&format!("pg_wal/archive_status/{}.done", switched.last_segment));
        until("the segment before the checks in the archive", async || done.exists()).await;
        primary.vm.landscape.push_folder(&primary.vm.home.join("archive"), system).await;
        Self { machines: [primary, standby] }
    }

    fn machine(&self, place: &ServerAddress) -> &Machine {
        self.machines.iter().find(|machine| machine.place == *place).unwrap()
    }
}

#[async_trait]
impl Fixture for Cluster {
    fn primary(&self) -> ServerAddress {
        self.machines[0].place.clone()
    }

    fn standby(&self) -> ServerAddress {
        self.machines[1].place.clone()
    }

    async fn is_archived(&self, segment: &WalSegment) -> bool {
        self.machines[0].vm.home.join("archive").join(segment.to_string()).exists()
    }

    async fn mark(&self, of: &ServerAddress) -> Option<BackupId> {
        let mark = fs::read(self.machine(of).vm.mark_file()).ok()?;
        let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap();
        Some(mark["backup"].as_str().unwrap().parse().unwrap())
    }

    async fn stop_server(&self, at: &ServerAddress) {
        self.machine(at).server.lock().await.stop();
    }

    async fn start_server(&self, at: &ServerAddress) {
        self.machine(at).server.lock().await.start().await;
    }

    async fn kill_agent(&self, at: &ServerAddress) {
        let agent = self.machine(at).agent.lock().await.take();
        agent.unwrap().signal("KILL");
    }

    async fn start_agent(&self, at: &ServerAddress) {
        let machine = self.machine(at);
        *machine.agent.lock().await = Some(machine.vm.serve());
    }
}

fn client(port: u16) -> RemoteServers {
    let landscape = LANDSCAPE.get_or_init(Landscape::new);
    let folder = landscape.path("driver");
    fs::create_dir(&folder).unwrap();
    let (certificate_file, private_key_file, ca_file) = landscape.ca.issue(&folder, "driver");
    let config = AgentsConfig { port, certificate_file, private_key_file, ca_file, timeout_seconds: 30 };
    RemoteServers::new(&config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_and_its_client_keep_the_contract() {
    let port = TcpListener::bind((address(1), 0)).unwrap().local_addr().unwrap().port();
    let cluster: Arc<dyn Fixture> = Arc::new(Cluster::start(port).await);
    let remote: Arc<dyn Servers> = Arc::new(client(port));
    let report = server::run("agent and client", async || (remote.clone(), cluster.clone())).await;
    drop(cluster);
    run(Command::new("rm").arg("-rf").arg(LANDSCAPE.get().unwrap().home.path()));
    report.assert_holds();
}

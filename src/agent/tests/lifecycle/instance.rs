//! A VM with both jobs, its hooks in the order BOSH runs them, and what a driver does around a restore.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use remount_core::documents::{ForkRecord, RestorePlan, StopNote};
use remount_core::{
    Lsn, RecoveryTarget, RestoreTarget, Role, SegmentSize, TimelineHistory, TimelineId, WalSegment,
};
use remount_postgres::{BackupEnded, Error, LocalServer, Recovery, Server, VerifiedPosition};
use remount_store::Purpose;
use serde_json::json;

use crate::support::postgres::{as_vcap, bin_directory, give_to_vcap, run};
use crate::support::{Landscape, Vm, backup, errors, restore, until};

/// A VM with both jobs; the server is started as bpm starts it.
pub struct Instance<'a> {
    pub vm: Vm<'a>,
    pub server: LocalServer,
    pub process: Option<Child>,
}

impl<'a> Instance<'a> {
    pub fn new(landscape: &'a Landscape, id: &str, address: &str, primary: Option<&str>, port: u16) -> Self {
        let mut vm = Vm::new(landscape, id);
        vm.config["postgres"]["port"] = port.into();
        vm.config["postgres_config_file"] = json!(vm.home.join("config/postgres.json"));
        vm.write_config();
        let archive = landscape.path("archive").display().to_string();
        let write = |name: &str, text: String| {
            let path = vm.home.join("config").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            path
        };
        let conf = write(
            "postgresql.conf",
            format!(
                "listen_addresses = '{address}'\nport = {port}\nunix_socket_directories = '{}'\n\
                 archive_mode = on\nshared_buffers = 16MB\nhot_standby = on\nlog_statement = all\n\
                 max_prepared_transactions = 4\n\
                 wal_retrieve_retry_interval = 200ms\n\
                 archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f.tmp && mv {archive}/%f.tmp {archive}/%f'\n\
                 restore_command = 'cp {archive}/%f %p'\n",
                vm.home.join("run").display()
            ),
        );
        let hba = "local all all peer map=test\nhost all all 127.0.0.0/8 scram-sha-256\n\
                   host replication replicator 127.0.0.0/8 scram-sha-256\n";
        let hba = write("pg_hba.conf", hba.into());
        let ident = write("pg_ident.conf", "test root vcap\ntest vcap vcap\n".into());
        let config = json!({
            "instance": {"group": "postgres", "id": id}, "bootstrap": primary.is_none(),
            "primary_address": primary, "port": port,
            "data_directory": vm.home.join("store/postgres"), "bin_directory": bin_directory(15),
            "socket_directory": vm.home.join("run"), "config_file": conf, "hba_file": hba, "ident_file": ident,
            "password_file": vm.home.join("data/replication.pgpass"), "log_directory": vm.home.join("log"),
            "superuser": "vcap", "replication": {"name": "replicator", "password": "re'pl:ica\\tion"},
            "roles": [{"name": "app", "password": "app-pass'word", "attributes": ["CREATEDB"]}],
            "databases": [{"name": "shop", "owner": "app"}],
            "agent_config_file": vm.config_file(),
            "initialise_deadline_seconds": 60, "post_start_deadline_seconds": 60, "drain_deadline_seconds": 60,
            "pid_file": vm.home.join("postgres.pid"),
        });
        write("postgres.json", config.to_string());
        give_to_vcap(&vm.home);
        let local = serde_json::from_value(vm.config["postgres"].clone()).unwrap();
        Self { vm, server: LocalServer::new(local), process: None }
    }

    pub fn postgres_hook(&self, name: &str) -> Output {
        let mut command = Command::new("unshare");
        command.args(["-m", "-f", "--kill-child", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$@\""]);
        command.arg(self.vm.home.join("store")).arg(self.vm.landscape.program()).args(["postgres", name]);
        command.arg("--config").arg(self.postgres_config()).output().unwrap()
    }

    pub fn postgres_config(&self) -> std::path::PathBuf {
        self.vm.home.join("config/postgres.json")
    }

    /// A deploy with other properties; the last line counts.
    pub fn configure(&self, lines: &str) {
        let path = self.vm.home.join("config/postgresql.conf");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, before + lines).unwrap();
    }

    pub fn pre_start(&self) {
        for output in [self.postgres_hook("pre-start"), self.vm.hook(&["pre-start"])] {
            assert!(output.status.success(), "{}", errors(&output));
        }
    }

    pub fn run(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.vm.home.join("log/out.log")).unwrap();
        // As bpm does: behind an init, whose number it notes; the disk is mounted.
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$@\""]);
        command.arg(self.vm.home.join("store"));
        let init = as_vcap(Path::new("/usr/bin/tini"));
        command.arg(init.get_program()).args(init.get_args());
        command.args(["-w", "-s", "--"]).arg(self.vm.landscape.program());
        command.args(["postgres", "run", "--config"]).arg(self.postgres_config()).current_dir("/");
        let process = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.note_process(process.id());
        self.process = Some(process);
    }

    /// As bpm notes it.
    pub fn note_process(&self, pid: u32) {
        fs::write(self.vm.home.join("postgres.pid"), format!("{pid}\n")).unwrap();
    }

    pub fn post_start(&self) {
        for output in [self.postgres_hook("post-start"), self.vm.hook(&["post-start"])] {
            assert!(output.status.success(), "{} {}", errors(&output), self.log());
        }
    }

    pub fn start(&mut self) {
        self.pre_start();
        self.run();
        self.post_start();
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            run(Command::new("kill").arg("-INT").arg(process.id().to_string()));
            process.wait().unwrap();
        }
    }

    /// What bpm does with a server that its drain has left waiting for its archiver.
    pub fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            run(Command::new("kill").arg("-QUIT").arg(process.id().to_string()));
            process.wait().unwrap();
        }
    }

    /// What attaching another disk does.
    pub fn swap_disk(&self, copy: &Path) {
        let store = self.vm.home.join("store");
        fs::rename(&store, self.vm.home.join("store.old")).unwrap();
        run(Command::new("cp").arg("-a").arg(copy).arg(&store));
    }

    /// It waits to be promoted.
    pub async fn stands_at_its_target(&self, rows: &str) {
        assert_eq!(self.value("SELECT count(*)::text FROM public.ledger").await, rows);
        let client = self.server.connect().await.unwrap();
        let written = client.batch_execute("INSERT INTO public.ledger VALUES (9)").await.unwrap_err();
        assert_eq!(written.code().unwrap().code(), "25006", "nobody may write");
        assert!(self.vm.applied()["outcome"].is_null(), "it is not over");
        assert!(self.vm.mark_file().exists(), "until then the disk is a copy");
    }

    /// Through the API, twice: a driver whose answer was lost asks again.
    pub async fn promote(&self, landscape: &Landscape) {
        let agent = self.vm.serve();
        let client = agent.client(&landscape.ca, &self.vm.instance);
        // At the archive's end it asks for more now and then.
        until("the server at its target", async || {
            client.status().await.unwrap().recovery.arrived().is_some()
        })
        .await;
        let stands = client.status().await.unwrap().recovery.lsn().expect("it stands at its target");
        let verified = VerifiedPosition { timeline: TimelineId::FIRST, replayed_to: stands };
        for other in elsewhere(&verified) {
            let refused = client.promote(&restore(), &other).await.unwrap_err();
            assert!(matches!(refused, Error::NotVerified(_)), "{refused:?}");
            assert!(
                self.vm.applied()["outcome"].is_null() && self.vm.mark_file().exists(),
                "nothing is done"
            );
        }
        assert_eq!(client.status().await.unwrap().recovery.lsn(), Some(stands), "and it is in recovery");
        let promoted = client.promote(&restore(), &verified).await.unwrap();
        assert_eq!((promoted.timeline.get(), promoted.replayed_to), (2, Some(stands)));
        assert_eq!(client.promote(&restore(), &verified).await.unwrap(), promoted);
        for other in elsewhere(&verified) {
            let refused = client.promote(&restore(), &other).await.unwrap_err();
            assert!(matches!(refused, Error::NotVerified(_)), "it was not promoted there: {refused:?}");
        }
        assert_eq!(client.status().await.unwrap().recovery, Recovery::Ended);
        client.write_probe().await.unwrap();
    }

    pub async fn value(&self, query: &str) -> String {
        self.server.connect().await.unwrap().query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn execute(&self, statements: &str) {
        self.server.connect().await.unwrap().batch_execute(statements).await.unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.vm.home.join("log/out.log")).unwrap_or_default()
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            Command::new("kill").arg("-QUIT").arg(process.id().to_string()).status().ok();
            process.wait().ok();
        }
    }
}

/// One record before, one behind, and another line.
fn elsewhere(verified: &VerifiedPosition) -> [VerifiedPosition; 3] {
    let at = |lsn| VerifiedPosition { replayed_to: Lsn(lsn), ..*verified };
    let followed = VerifiedPosition { timeline: TimelineId::new(2).unwrap(), ..*verified };
    [at(verified.replayed_to.0 - 8), at(verified.replayed_to.0 + 8), followed]
}

/// A port that is free now, of a range that the kernel gives no client: what a test beside this one connects with, or its
/// server, does not take it before ours listens.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let of_this_process = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    let ports = (0..10_000).map(|_| of_this_process + TAKEN.fetch_add(1, Ordering::Relaxed));
    ports.into_iter().find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

pub async fn logs_in(address: &str, port: u16, user: &str, password: &str) -> bool {
    let mut config = tokio_postgres::Config::new();
    config.host(address).port(port).user(user).password(password).dbname("shop");
    config.connect(tokio_postgres::NoTls).await.is_ok()
}

/// A backup through the API; the "snapshot" is a copy of the whole disk, taken in backup mode.
pub async fn back_up(landscape: &Landscape, instance: &Instance<'_>) -> BackupEnded {
    let agent = instance.vm.serve();
    let client = agent.client(&landscape.ca, &instance.vm.instance);
    client.begin_backup(&backup(), 60).await.unwrap();
    let store = instance.vm.home.join("store");
    Command::new("cp")
        .arg("-a")
        .arg(&store)
        .arg(landscape.path("snapshot"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let ended = client.end_backup(&backup()).await.unwrap();
    // A driver waits for it.
    let stop = landscape.path("archive").join(ended.stop_segment.to_string());
    until("the backup's last segment in the archive", async || stop.exists()).await;
    ended
}

pub async fn publish(
    landscape: &Landscape,
    vm: &Vm<'_>,
    ended: &BackupEnded,
    target: RecoveryTarget,
) -> RestorePlan {
    let mut plan = vm.plan(&[("i-1", Role::Primary), ("i-2", Role::Standby)]);
    plan.backup_label.clone_from(&ended.backup_label);
    plan.target = RestoreTarget::of(target);
    plan.path.start_lsn = ended.start_lsn;
    plan.path.consistent_lsn = ended.stop_lsn;
    plan.pause = true; // Its target can be moved.
    landscape.publish(&plan).await;
    landscape.give_store_away();
    plan
}

pub async fn publish_fork(landscape: &Landscape, primary: &Instance<'_>) {
    let switched = primary.server.switch_wal().await.unwrap();
    let name = TimelineHistory::file_name(switched.last_segment.timeline);
    let text = fs::read_to_string(primary.vm.data("pg_wal").join(name)).unwrap();
    let history = TimelineHistory::parse(switched.last_segment.timeline, &text).unwrap();
    let fork_lsn = history.forks.last().unwrap().lsn;
    let fork_segment = WalSegment::containing(history.timeline, fork_lsn, SegmentSize::DEFAULT);
    let archived = landscape.path("archive").join(fork_segment.to_string());
    until("the fork segment in the archive", async || archived.exists()).await;
    landscape.push_archive(primary.vm.system_identifier()).await;
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    let fork =
        ForkRecord { format: 1, restore: restore(), timeline: history.timeline, fork_lsn, fork_segment };
    store.write_fork(&fork, &lease).await.unwrap();
    landscape.give_store_away();
}

pub async fn stop_note(instance: &Instance<'_>) -> Option<StopNote> {
    instance.vm.landscape.store().stop_note(&instance.vm.instance.id).await.unwrap()
}

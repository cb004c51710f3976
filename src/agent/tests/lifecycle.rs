//! Two VMs from empty disks through a restore, by the hooks alone, in the order BOSH runs them.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use remount_core::documents::{ForkRecord, RecoveryPath, RestorePlan, StopNote, TailRecord};
use remount_core::{
    RecoveryTarget, RestoreTarget, Role, SegmentSize, TimelineHistory, TimelineId, WalSegment,
};
use remount_postgres::{BackupEnded, LocalServer, Reachable, Recovery, Server};
use remount_store::Purpose;
use serde_json::json;
use support::postgres::{as_vcap, bin_directory, give_to_vcap, run};
use support::{Landscape, Vm, backup, errors, restore, until};

/// A VM with both jobs; the server is started as bpm starts it.
struct Instance<'a> {
    vm: Vm<'a>,
    server: LocalServer,
    process: Option<Child>,
}

impl<'a> Instance<'a> {
    fn new(landscape: &'a Landscape, id: &str, address: &str, primary: Option<&str>, port: u16) -> Self {
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

    fn postgres_hook(&self, name: &str) -> Output {
        let mut command = Command::new("unshare");
        command.args(["-m", "-f", "--kill-child", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$@\""]);
        command.arg(self.vm.home.join("store")).arg(self.vm.landscape.program()).args(["postgres", name]);
        command.arg("--config").arg(self.postgres_config()).output().unwrap()
    }

    fn postgres_config(&self) -> std::path::PathBuf {
        self.vm.home.join("config/postgres.json")
    }

    /// A deploy with other properties; the last line counts.
    fn configure(&self, lines: &str) {
        let path = self.vm.home.join("config/postgresql.conf");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, before + lines).unwrap();
    }

    fn pre_start(&self) {
        for output in [self.postgres_hook("pre-start"), self.vm.hook(&["pre-start"])] {
            assert!(output.status.success(), "{}", errors(&output));
        }
    }

    fn run(&mut self) {
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
    fn note_process(&self, pid: u32) {
        fs::write(self.vm.home.join("postgres.pid"), format!("{pid}\n")).unwrap();
    }

    fn post_start(&self) {
        for output in [self.postgres_hook("post-start"), self.vm.hook(&["post-start"])] {
            assert!(output.status.success(), "{} {}", errors(&output), self.log());
        }
    }

    fn start(&mut self) {
        self.pre_start();
        self.run();
        self.post_start();
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            run(Command::new("kill").arg("-INT").arg(process.id().to_string()));
            process.wait().unwrap();
        }
    }

    /// What bpm does with a server that its drain has left waiting for its archiver.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            run(Command::new("kill").arg("-QUIT").arg(process.id().to_string()));
            process.wait().unwrap();
        }
    }

    /// What attaching another disk does.
    fn swap_disk(&self, copy: &Path) {
        let store = self.vm.home.join("store");
        fs::rename(&store, self.vm.home.join("store.old")).unwrap();
        run(Command::new("cp").arg("-a").arg(copy).arg(&store));
    }

    /// It waits to be promoted.
    async fn stands_at_its_target(&self, rows: &str) {
        assert_eq!(self.value("SELECT count(*)::text FROM public.ledger").await, rows);
        let client = self.server.connect().await.unwrap();
        let written = client.batch_execute("INSERT INTO public.ledger VALUES (9)").await.unwrap_err();
        assert_eq!(written.code().unwrap().code(), "25006", "nobody may write");
        assert!(self.vm.applied()["outcome"].is_null(), "it is not over");
        assert!(self.vm.mark_file().exists(), "until then the disk is a copy");
    }

    /// Through the API, twice: a driver whose answer was lost asks again.
    async fn promote(&self, landscape: &Landscape) {
        let agent = self.vm.serve();
        let client = agent.client(&landscape.ca, &self.vm.instance);
        let stands = client.status().await.unwrap().recovery.arrived().expect("it stands at its target");
        let promoted = client.promote(&restore()).await.unwrap();
        assert_eq!((promoted.timeline.get(), promoted.replayed_to), (2, Some(stands)));
        assert_eq!(client.promote(&restore()).await.unwrap(), promoted);
        assert_eq!(client.status().await.unwrap().recovery, Recovery::Ended);
        client.write_probe().await.unwrap();
    }

    async fn value(&self, query: &str) -> String {
        self.server.connect().await.unwrap().query_one(query, &[]).await.unwrap().get(0)
    }

    async fn execute(&self, statements: &str) {
        self.server.connect().await.unwrap().batch_execute(statements).await.unwrap();
    }

    fn log(&self) -> String {
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

/// A port that is free now, of a range that the kernel gives no client: what a test beside this one connects with, or its
/// server, does not take it before ours listens.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let of_this_process = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    let ports = (0..10_000).map(|_| of_this_process + TAKEN.fetch_add(1, Ordering::Relaxed));
    ports.into_iter().find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

async fn logs_in(address: &str, port: u16, user: &str, password: &str) -> bool {
    let mut config = tokio_postgres::Config::new();
    config.host(address).port(port).user(user).password(password).dbname("shop");
    config.connect(tokio_postgres::NoTls).await.is_ok()
}

/// A backup through the API; the "snapshot" is a copy of the whole disk, taken in backup mode.
async fn back_up(landscape: &Landscape, instance: &Instance<'_>) -> BackupEnded {
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

async fn publish(
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

async fn publish_fork(landscape: &Landscape, primary: &Instance<'_>) {
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

#[tokio::test]
async fn from_empty_disks_through_a_restore() {
    let landscape = Landscape::new();
    let port = free_port();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    let mut standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    primary.start();
    standby.start();
    until("the standby to stream", async || standby.server.streams_on().await.unwrap().is_some()).await;
    assert!(standby.vm.home.join("data/initialised.json").exists());
    assert!(landscape.store().is_registered(&standby.vm.instance.id).await.unwrap());
    assert!(logs_in("127.0.0.1", port, "app", "app-pass'word").await);
    assert!(!primary.log().contains("app-pass"), "a password reached the log");

    primary.execute("CREATE TABLE public.ledger (id int)").await;
    primary.execute("ALTER ROLE app PASSWORD 'of the past'").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger VALUES (1), (2)").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("DROP TABLE public.ledger").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    standby.stop();
    landscape.push_archive(system).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;

    for instance in [&primary, &standby] {
        instance.swap_disk(&landscape.path("snapshot"));
    }
    let early = standby.vm.hook(&["pre-start"]);
    assert!(!early.status.success() && errors(&early).contains("fork.json"), "{}", errors(&early));
    // A repeated start brings it to its target again, and nobody can write there.
    for _ in 0..2 {
        primary.start();
        primary.stands_at_its_target("2").await;
        primary.stop();
    }
    primary.start();
    primary.promote(&landscape).await;
    assert!(logs_in("127.0.0.1", port, "app", "app-pass'word").await, "the snapshot's password is back");
    assert_eq!(primary.vm.applied()["outcome"], "recovered");
    assert!(!primary.vm.mark_file().exists(), "the disk is no copy any more");

    publish_fork(&landscape, &primary).await;
    standby.start();
    assert_eq!(standby.vm.applied()["outcome"], "streaming");
    assert_eq!(standby.server.streams_on().await.unwrap().map(|timeline| timeline.get()), Some(2));
    assert_eq!(standby.value("SELECT count(*)::text FROM public.ledger").await, "2");

    let agent = primary.vm.serve();
    let client = agent.client(&landscape.ca, &primary.vm.instance);
    let status = client.status().await.unwrap();
    assert_eq!(status.applied_restore, Some(restore()));
    assert!(status.replayed_to.unwrap() >= ended.stop_lsn && status.streaming);
    client.finish_restore(&restore()).await.unwrap();
    // An ordinary restart of both, with the store away: nobody is asked.
    drop(agent);
    primary.stop();
    standby.stop();
    fs::rename(landscape.path("store"), landscape.path("store.away")).unwrap();
    primary.start();
    standby.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "2");
}

/// `monit start all` and a reboot run no pre-start.
#[tokio::test]
async fn the_server_is_not_started_past_the_fence() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.stop();
    primary.vm.mark(&backup());
    landscape.complete_backup(primary.vm.system_identifier()).await;
    landscape.give_store_away();
    primary.run();
    let ended = primary.process.take().unwrap().wait().unwrap();
    assert!(!ended.success() && primary.log().contains("no published restore uses it"), "{}", primary.log());
    assert!(primary.vm.mark_file().exists());

    // The VM went down in a backup and comes back: nobody but this process is there to judge.
    fs::remove_dir_all(landscape.path("store/clusters/pg-1")).unwrap();
    primary.run();
    until("the server", async || primary.server.reachable().await.unwrap() == Reachable::Yes).await;
    assert!(!primary.vm.mark_file().exists());
}

/// Without the larger value it would end with "insufficient parameter settings" at every start, until somebody looks.
#[tokio::test]
async fn a_standby_keeps_a_setting_that_a_deploy_lowers_until_it_has_replayed_the_change() {
    let landscape = Landscape::new();
    let port = free_port();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    let mut standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    primary.start();
    standby.start();
    standby.stop();
    standby.configure("max_connections = 20\n");
    standby.start();
    assert_eq!(standby.value("SHOW max_connections").await, "100");

    primary.stop();
    primary.configure("max_connections = 20\n");
    primary.start();
    let lsn = primary.server.write_probe().await.unwrap().lsn;
    let replayed = format!("SELECT (pg_last_wal_replay_lsn() >= '{lsn}')::text");
    until("the replay of the change", async || standby.value(&replayed).await == "true").await;
    standby.execute("CHECKPOINT").await;
    standby.stop();
    standby.start();
    assert_eq!(standby.value("SHOW max_connections").await, "20");
}

#[tokio::test]
async fn no_server_is_made_or_started_where_the_disk_is_missing() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.stop();
    fs::rename(primary.vm.home.join("store"), primary.vm.home.join("store.away")).unwrap();
    fs::create_dir(primary.vm.home.join("store")).unwrap();
    give_to_vcap(&primary.vm.home.join("store"));
    primary.run();
    assert!(!primary.process.take().unwrap().wait().unwrap().success());
    assert!(primary.log().contains("PostgreSQL may not start"), "{}", primary.log());
}

/// Without a target there is nothing to stop at: the server replays the archive as a standby of nobody, and its target
/// can be moved there while it stands elsewhere.
#[tokio::test]
async fn a_restore_moves_on_to_the_end_of_the_archive_and_waits_there() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger VALUES (1), (2)").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("INSERT INTO public.ledger VALUES (3)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    landscape.push_archive(system).await;
    let plan = publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.stands_at_its_target("2").await;

    let agent = primary.vm.serve();
    let client = agent.client(&landscape.ca, &primary.vm.instance);
    assert!(!client.forward_restore(&restore()).await.unwrap().needs_restart, "it has the plan's target");
    let latest = RestoreTarget::of(RecoveryTarget::Latest);
    let next = RestorePlan { target: latest, revision: 2, ..plan };
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    store.write_plan_revision(&next, &lease).await.unwrap();
    landscape.give_store_away();
    assert!(client.forward_restore(&restore()).await.unwrap().needs_restart);
    assert!(client.promote(&restore()).await.is_err(), "it is not where it is to be");
    assert!(client.status().await.unwrap().recovery.arrived().is_none());
    primary.stop();
    for _ in 0..2 {
        primary.start();
        primary.stands_at_its_target("3").await;
        assert!(primary.vm.data("standby.signal").exists(), "it is a standby of nobody");
        primary.stop();
    }
    primary.start();
    assert!(!client.forward_restore(&restore()).await.unwrap().needs_restart);
    drop(agent);
    primary.promote(&landscape).await;
    let after = primary.vm.serve().client(&landscape.ca, &primary.vm.instance);
    assert!(after.forward_restore(&restore()).await.is_err());
    primary.stop();
    primary.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "3");
    primary.execute("INSERT INTO public.ledger VALUES (4)").await;
}

#[tokio::test]
async fn post_start_fails_with_postgresqls_own_reason() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    let ended = back_up(&landscape, &primary).await;
    let system = primary.vm.system_identifier();
    primary.stop();
    landscape.push_archive(system).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("never made".into())).await;
    primary.swap_disk(&landscape.path("snapshot"));
    primary.pre_start();
    primary.run();
    let output = primary.vm.hook(&["post-start"]);
    let text = errors(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("recovery ended before configured recovery target was reached"), "{text}");
    assert!(text.contains(" next: ") && primary.vm.applied()["outcome"].is_null(), "{text}");
}

async fn stop_note(instance: &Instance<'_>) -> Option<StopNote> {
    instance.vm.landscape.store().stop_note(&instance.vm.instance.id).await.unwrap()
}

/// Its last segment is never full under the old server, or it is full of something else: it must not have been archived
/// under its name.
#[tokio::test]
async fn a_crashed_servers_last_records_are_restored_and_its_segment_stays_its_own() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger SELECT generate_series(1, 5000)").await;
    let written = primary.value("SELECT pg_current_wal_flush_lsn()::text").await;
    primary.end();
    landscape.push_archive(primary.vm.system_identifier()).await; // What the server had archived until then.
    let output = primary.vm.hook(&["post-stop"]);
    let note = stop_note(&primary).await.unwrap_or_else(|| panic!("no note: {}", errors(&output)));
    assert!(note.is_clean() && note.state == "in production", "{note:?}");
    let tail = note.tail.clone().expect("the rows are in a segment that is not full");
    assert!(
        tail.end >= written.parse::<remount_core::Lsn>().unwrap(),
        "{tail:?} holds what was flushed at {written}"
    );
    let archive = landscape.store().wal(note.system_identifier);
    assert!(!archive.contains(&tail.segment).await.unwrap(), "not under its own name");

    landscape.push_archive(note.system_identifier).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Latest).await;
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    let record = TailRecord { format: 1, restore: restore(), tail: tail.clone() };
    store.write_tail(&record, &lease).await.unwrap();
    landscape.give_store_away();
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "5000");
    primary.stop();

    // Rolled back: the old disk goes on in the same segment, fills it, and archives it.
    fs::rename(primary.vm.home.join("store"), primary.vm.home.join("store.new")).unwrap();
    fs::rename(primary.vm.home.join("store.old"), primary.vm.home.join("store")).unwrap();
    primary.start();
    primary.execute("INSERT INTO public.ledger VALUES (0)").await;
    primary.stop();
    landscape.push_archive(note.system_identifier).await; // The stop may have archived it already.
    let output = primary.vm.hook(&["post-stop"]);
    assert!(stop_note(&primary).await.unwrap().is_clean(), "{}", errors(&output));
    assert!(archive.contains(&tail.segment).await.unwrap(), "{}", errors(&output));

    // A disk of the restore that starts now gets the whole segment from the archive.
    fs::rename(primary.vm.home.join("store"), primary.vm.home.join("store.full")).unwrap();
    run(Command::new("cp").arg("-a").arg(landscape.path("snapshot")).arg(primary.vm.home.join("store")));
    let output = primary.vm.hook(&["pre-start"]);
    let text = errors(&output);
    assert!(output.status.success() && text.contains("its tail is not needed"), "{text}");
}

/// PostgreSQL reads the state of a prepared transaction once more, by its timeline's name and from `pg_wal` alone.
#[tokio::test]
async fn a_standby_joins_although_a_transaction_was_prepared_in_the_forks_segment() {
    let landscape = Landscape::new();
    let port = free_port();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    let mut standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    primary.start();
    standby.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("BEGIN; INSERT INTO public.ledger VALUES (1); PREPARE TRANSACTION 'open'").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("COMMIT PREPARED 'open'").await;
    primary.execute("INSERT INTO public.ledger VALUES (2)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    standby.stop();
    landscape.push_archive(system).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    for instance in [&primary, &standby] {
        instance.swap_disk(&landscape.path("snapshot"));
    }
    primary.start();
    primary.promote(&landscape).await;
    assert_eq!(primary.value("SELECT count(*)::text FROM pg_prepared_xacts").await, "1");
    publish_fork(&landscape, &primary).await;
    let fork = landscape.store().fork(&restore()).await.unwrap().unwrap();
    standby.start();
    assert_eq!(standby.server.streams_on().await.unwrap().map(|timeline| timeline.get()), Some(2));
    // Below the fork it is the parent's segment, and nothing is behind it.
    let placed =
        fs::read(standby.vm.data("pg_wal").join(fork.fork_segment.on(TimelineId::FIRST).to_string()));
    let offset = usize::try_from(fork.fork_lsn.0 % u64::from(SegmentSize::DEFAULT.bytes())).unwrap();
    assert!(placed.unwrap()[offset..].iter().all(|byte| *byte == 0), "records past the fork");
    primary.execute("COMMIT PREPARED 'open'").await;
    until("the standby has it", async || {
        standby.value("SELECT count(*)::text FROM public.ledger").await == "1"
    })
    .await;
}

/// Only what comes through `restore_command` is marked as archived by PostgreSQL: what the fence puts into `pg_wal` has to
/// be marked by the fence, or archiving stops at it for good.
#[tokio::test]
async fn archiving_goes_on_after_a_restore_across_a_fork() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("INSERT INTO public.ledger VALUES (1)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    landscape.push_archive(system).await;
    let plan = publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.promote(&landscape).await;
    primary.execute("INSERT INTO public.ledger VALUES (2), (3)").await;
    let fork_segment = primary.server.switch_wal().await.unwrap().last_segment;
    primary.stop();
    landscape.push_archive(system).await;

    // From the same backup along both timelines.
    let text = fs::read_to_string(landscape.path("archive/00000002.history")).unwrap();
    let history = TimelineHistory::parse(TimelineId::new(2).unwrap(), &text).unwrap();
    let path = RecoveryPath { history, new_timeline: TimelineId::new(3).unwrap(), ..plan.path.clone() };
    let latest = RestoreTarget::of(RecoveryTarget::Latest);
    let next = RestorePlan { target: latest, path, revision: 2, ..plan };
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    store.write_plan_revision(&next, &lease).await.unwrap();
    landscape.give_store_away();
    fs::remove_dir_all(primary.vm.home.join("store.old")).unwrap();
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.stands_at_its_target("2").await;
    let parents = fork_segment.on(TimelineId::FIRST).to_string();
    assert!(primary.vm.data("pg_wal").join(&parents).exists(), "the fence has put it there");
    assert_eq!(primary.server.promote(&next.target).await.unwrap().timeline.get(), 3);
    for _ in 0..3 {
        primary.execute("INSERT INTO public.ledger VALUES (4)").await;
        let closed = primary.server.switch_wal().await.unwrap().last_segment;
        let archived = landscape.path("archive").join(closed.to_string());
        until("the segment in the archive", async || archived.exists()).await;
        primary.execute("CHECKPOINT").await;
    }
    assert!(!primary.vm.data("pg_wal").join(&parents).exists(), "a checkpoint has removed it");
    assert_eq!(primary.value("SELECT failed_count::text FROM pg_stat_archiver").await, "0");
}

#[tokio::test]
async fn drain_archives_the_last_wal_and_prints_one_integer() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let output = primary.vm.hook(&["drain"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(landscape.path("archive").join(last).exists(), "{}", errors(&output));
    primary.stop();
    assert_eq!(String::from_utf8_lossy(&primary.vm.hook(&["drain"]).stdout), "0\n");
}

#[tokio::test]
async fn the_drain_of_postgres_stops_it_in_good_order() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(!primary.vm.data("postmaster.pid").exists(), "{}", primary.log());
    primary.process.take().unwrap().wait().unwrap();
    assert!(landscape.path("archive").join(last).exists(), "{}", errors(&output));
    landscape.push_archive(primary.vm.system_identifier()).await;
    let said = errors(&primary.vm.hook(&["post-stop"]));
    assert!(said.contains("nothing is left to archive"), "{said}");

    // The number may be another's by now.
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    primary.note_process(stranger.id());
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was signalled");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn an_archive_that_takes_nothing_is_named_and_holds_up_no_stop() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("ALTER SYSTEM SET archive_command = 'sleep 600'").await;
    primary.execute("SELECT pg_reload_conf(); CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let began = std::time::Instant::now();
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(began.elapsed().as_secs() < 20, "the limit is 2 s: {}", errors(&output));
    assert!(errors(&output).contains(&format!("{last} was not archived")), "{}", errors(&output));
    primary.end();
    let output = primary.vm.hook(&["post-stop"]);
    assert!(output.status.success() && errors(&output).contains("nothing is left"), "{}", errors(&output));
    let note = stop_note(&primary).await.unwrap();
    assert!(note.is_clean() && note.tail.is_none() && note.state == "shut down", "{note:?}");
    let archive = landscape.store().wal(note.system_identifier);
    assert!(archive.contains(&last.parse().unwrap()).await.unwrap(), "post-stop has archived it");
    // A store that takes no WAL: the note says which is left, and the stop goes on.
    primary.start();
    primary.execute("INSERT INTO public.ledger VALUES (1)").await;
    primary.postgres_hook("drain");
    primary.end();
    let wal = landscape.path(&format!("store/clusters/pg-1/{}/wal", note.system_identifier));
    fs::rename(&wal, landscape.path("wal.away")).unwrap();
    fs::write(&wal, "").unwrap();
    let output = primary.vm.hook(&["post-stop"]);
    assert!(output.status.success() && errors(&output).contains("not archived"), "{}", errors(&output));
    let note = stop_note(&primary).await.unwrap();
    assert!(!note.is_clean() && !note.unarchived.is_empty(), "{note:?}");
}

#[tokio::test]
async fn drain_answers_bosh_whatever_its_configuration_is() {
    let landscape = Landscape::new();
    let primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    fs::write(primary.vm.config_file(), "{").unwrap();
    fs::write(primary.postgres_config(), "{").unwrap();
    for output in [primary.vm.hook(&["drain"]), primary.postgres_hook("drain")] {
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
        assert!(
            errors(&output).contains("error: ") && errors(&output).contains(" next: "),
            "{}",
            errors(&output)
        );
    }
    assert!(primary.vm.hook(&["post-stop"]).status.success(), "a stop has to go on");
}

#[tokio::test]
async fn nothing_starts_from_a_configuration_that_everybody_may_read() {
    let landscape = Landscape::new();
    let primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    open(&primary.postgres_config());
    open(&primary.vm.config_file());
    for output in [primary.vm.hook(&["pre-start"]), primary.postgres_hook("pre-start")] {
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains("mode 644"), "{}", errors(&output));
    }
}

#[tokio::test]
async fn post_deploy_finds_a_store_that_does_not_take_what_is_written() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let output = vm.hook(&["post-deploy"]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(vm.hook(&["post-deploy"]).status.success(), "the note is there already");
    fs::rename(landscape.path("store"), landscape.path("store.away")).unwrap();
    let output = vm.hook(&["post-deploy"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("store.root") && errors(&output).contains(" next: "),
        "{}",
        errors(&output)
    );
}

#[tokio::test]
async fn a_standby_without_a_primary_gives_up_and_leaves_nothing() {
    let landscape = Landscape::new();
    let standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), free_port());
    let path = standby.postgres_config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"initialise_deadline_seconds\":60", "\"initialise_deadline_seconds\":1"))
        .unwrap();
    let output = standby.postgres_hook("pre-start");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("pg_basebackup failed"), "{}", errors(&output));
    assert!(!standby.vm.data("").exists());
    assert_eq!(standby.server.reachable().await.unwrap(), Reachable::Down);
}

#[tokio::test]
async fn a_primarys_disk_does_not_start_beside_the_primary() {
    let landscape = Landscape::new();
    let port = free_port();
    let primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    primary.pre_start();
    let second = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    fs::remove_dir(second.vm.home.join("store")).unwrap();
    run(Command::new("cp").arg("-a").arg(primary.vm.home.join("store")).arg(second.vm.home.join("store")));
    let output = second.postgres_hook("pre-start");
    assert!(!output.status.success());
    assert!(errors(&output).contains("its disk holds a primary"), "{}", errors(&output));
}

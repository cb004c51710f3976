//! Links that PostgreSQL's user plants where hooks of root write, read and give away: they lead nowhere.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use remount_core::Role;
use serde_json::json;
use support::postgres::{bin_directory, give_to_vcap, is_root, run};
use support::{Landscape, Vm, backup, errors, restore};

/// What is secret: no message of a hook may have it in it.
const SECRET: &str = "of-root-alone";

/// Files of root, as a link could lead to.
struct Roots(PathBuf);

impl Roots {
    fn new(landscape: &Landscape) -> Self {
        let roots = Self(landscape.path("roots"));
        fs::create_dir(&roots.0).unwrap();
        // Names that hooks look for in folders.
        for name in ["secret", "x.json", "pg_control", "PG_VERSION", "000000010000000000000001.ready"] {
            fs::write(roots.0.join(name), SECRET).unwrap();
            fs::set_permissions(roots.0.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::create_dir(roots.0.join("pgsql_tmp1")).unwrap();
        fs::set_permissions(&roots.0, fs::Permissions::from_mode(0o700)).unwrap();
        roots
    }

    /// Everything about them, when they were read included.
    fn state(&self) -> Vec<String> {
        let mut paths: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.push(self.0.clone());
        paths.sort();
        let state = |path: &PathBuf| {
            let stat = fs::symlink_metadata(path).unwrap();
            let changed = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
            format!("{} {} {} {:o} {changed:?}", path.display(), stat.uid(), stat.gid(), stat.mode())
        };
        paths.iter().map(state).collect()
    }
}

fn postgres_config(vm: &Vm<'_>) -> PathBuf {
    let path = vm.home.join("config/postgres.json");
    let config = json!({
        "instance": {"group": "postgres", "id": "i-1"}, "bootstrap": true, "primary_address": "127.0.0.1",
        "port": 5432, "data_directory": vm.home.join("store/postgres"), "bin_directory": bin_directory(15),
        "socket_directory": vm.home.join("run/socket"), "config_file": vm.home.join("config/none"),
        "hba_file": vm.home.join("config/none"), "password_file": vm.home.join("data/pg/pgpass"),
        "log_directory": vm.home.join("log"), "superuser": "vcap",
        "replication": {"name": "replicator", "password": "x"}, "agent_config_file": vm.config_file(),
        "initialise_deadline_seconds": 5, "post_start_deadline_seconds": 1, "drain_deadline_seconds": 1,
        "pid_file": vm.home.join("postgres.pid"),
    });
    fs::write(&path, config.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    path
}

/// Every hook that runs as root, in BOSH's order; what they said.
fn run_hooks(vm: &Vm<'_>) -> String {
    let postgres = postgres_config(vm);
    give_to_vcap(&vm.home.join("config"));
    let mut said = String::new();
    let log = |job: &str| format!("{}", vm.home.join(format!("log/{job}-drain.log")).display());
    for arguments in [
        vec!["pre-start".to_owned()],
        vec!["post-stop".into()],
        vec!["drain".into(), "--log".into(), log("agent")],
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        said += &errors(&vm.hook(&arguments));
    }
    for arguments in [vec!["pre-start".to_owned()], vec!["drain".into(), "--log".into(), log("postgres")]] {
        let mut command = Command::new("unshare");
        command.args(["-m", "-f", "--kill-child", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$@\""]);
        command.arg(vm.home.join("store")).arg(vm.landscape.program()).arg("postgres").args(arguments);
        said += &errors(&command.arg("--config").arg(&postgres).output().unwrap());
    }
    said
}

/// Puts a link in the place of whatever is there.
fn plant(path: &Path, target: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match fs::symlink_metadata(path) {
        Ok(stat) if stat.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
    symlink(target, path).unwrap();
    run(Command::new("chown").arg("-h").arg("vcap:vcap").arg(path));
}

/// Takes away what no hook looks at, to copy little; puts there what they would find in a life of a cluster.
fn slim(vm: &Vm<'_>) {
    let data = vm.data("");
    for entry in fs::read_dir(data.join("base")).unwrap().chain(fs::read_dir(data.join("pg_wal")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() { fs::remove_file(path).unwrap() } else { fs::remove_dir_all(path).unwrap() }
    }
    for folder in
        ["base/1/pgsql_tmp1", "pg_wal/archive_status", "pg_replslot/slot", "pg_tblspc/16384/PG_15/1"]
    {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    for folder in ["store/remount/applied", "data/pg", "run/agent", "run/socket"] {
        fs::create_dir_all(vm.home.join(folder)).unwrap();
    }
    for file in ["pg_wal/archive_status/a.ready", "pg_stat_tmp/x", "tablespace_map", "postmaster.pid"] {
        fs::write(data.join(file), "").unwrap();
    }
    give_to_vcap(&vm.home);
}

/// Every path that a hook touches in a folder that the user can write.
fn touched() -> Vec<String> {
    let record = format!("store/remount/applied/{}.json", restore());
    let mut paths: Vec<String> = [
        "store/remount",
        "store/remount/applied",
        "store/remount/backup.json",
        "data",
        "data/initialised.json",
        "data/pg",
        "data/pg/pgpass",
        "run",
        "run/agent",
        "run/agent/pre-start.lock",
        "run/socket",
        "log/agent-drain.log",
        "log/postgres-drain.log",
        "store/postgres",
        "store/postgres.initialising",
        "log",
    ]
    .map(String::from)
    .into();
    paths.push(record);
    for name in [
        "PG_VERSION",
        "global",
        "global/pg_control",
        "backup_label",
        "tablespace_map",
        "recovery.signal",
        "standby.signal",
        "postgresql.auto.conf",
        "postmaster.pid",
        "postmaster.opts",
        "backup_manifest",
        "pg_replslot",
        "pg_replslot/slot",
        "pg_stat_tmp",
        "pg_stat_tmp/x",
        "base",
        "base/pgsql_tmp",
        "base/1",
        "base/1/pgsql_tmp1",
        "pg_tblspc",
        "pg_tblspc/16384",
        "pg_wal",
        "pg_wal/archive_status",
        "pg_wal/archive_status/a.ready",
    ] {
        paths.push(format!("store/postgres/{name}"));
    }
    let written = [
        "store/remount/backup.json",
        "data/initialised.json",
        "data/pg/pgpass",
        "store/postgres/backup_label",
        "store/postgres/tablespace_map",
        "store/postgres/recovery.signal",
        "store/postgres/postgresql.auto.conf",
    ];
    paths.extend(written.map(|path| format!("{path}.remount-new")));
    paths.push(format!("store/remount/applied/{}.json.remount-new", restore()));
    paths
}

#[tokio::test]
async fn no_hook_follows_a_link_that_the_user_has_planted() {
    if !is_root() {
        return; // Only root has more rights than the user.
    }
    let landscape = Landscape::new();
    let roots = Roots::new(&landscape);
    let template = Vm::new(&landscape, "i-1");
    let _data = template.with_data();
    landscape.publish(&template.plan(&[("i-1", Role::Primary)])).await;
    landscape.give_store_away();
    template.mark(&backup());
    slim(&template);
    let original = landscape.path("original");
    fs::rename(&template.home, &original).unwrap();
    let before = roots.state();
    for path in touched() {
        run(Command::new("cp").arg("-a").arg(&original).arg(&template.home));
        let place = template.home.join(&path);
        // As what is there: a folder, a file, or (what a hook would make) nothing.
        let target = match fs::metadata(&place) {
            Ok(there) if there.is_dir() => roots.0.clone(),
            Ok(_) => roots.0.join("secret"),
            Err(_) => roots.0.join("new"),
        };
        plant(&place, &target);
        let said = run_hooks(&template);
        assert_eq!(roots.state(), before, "{path} -> {}: {said}", target.display());
        assert!(!said.contains(SECRET), "{path}: {said}");
        fs::remove_dir_all(&template.home).unwrap();
    }
}

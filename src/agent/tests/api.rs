//! The backup API end to end: the real daemon, real PostgreSQL, real certificates, the real client.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use remount_core::{BackupId, RestoreId};
use remount_core::{OperatorError as _, Retry};
use remount_postgres::{CollationRefresh, Error, Server};
use serde_json::json;
use support::postgres::Postgres;
use support::{Ca, Landscape, Vm, backup, client, instance, restore, until};

fn other() -> BackupId {
    BackupId::new("20261123T020000Z-bbbb").unwrap()
}

async fn running<'a>(landscape: &'a Landscape) -> (Vm<'a>, Postgres) {
    let vm = Vm::new(landscape, "i-1");
    let mut server = vm.with_data();
    vm.as_after_pre_start();
    server.start().await;
    (vm, server)
}

/// Sessions that hold backup mode: those of the agent that are idle and not our own.
async fn sessions(server: &Postgres) -> String {
    let query = "SELECT count(*)::text FROM pg_stat_activity
                  WHERE application_name = 'remount-agent' AND pid <> pg_backend_pid()";
    server.value(query).await
}

#[tokio::test]
async fn a_backup_from_begin_to_end() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    assert_eq!(client.status().await.unwrap().backup, None);

    let begun = client.begin_backup(&backup(), 60).await.unwrap();
    assert!(vm.mark_file().exists(), "the copy would not know that it is one");
    assert_eq!(client.status().await.unwrap().backup, Some(backup()));
    assert_eq!(client.begin_backup(&backup(), 60).await.unwrap(), begun, "asking twice begins once");
    assert!(
        matches!(client.begin_backup(&other(), 60).await, Err(Error::BackupInProgress(id)) if id == backup())
    );
    assert!(matches!(client.end_backup(&other()).await, Err(Error::NoBackup(id)) if id == other()));
    client.abort_backup(&other()).await.unwrap();
    client.renew_backup(&backup()).await.unwrap();

    let ended = client.end_backup(&backup()).await.unwrap();
    assert!(!vm.mark_file().exists());
    assert!(ended.backup_label.contains(backup().as_str()) && ended.stop_lsn > begun.start_lsn);
    assert_eq!(client.end_backup(&backup()).await.unwrap(), ended, "a lost answer can be had again");
    assert!(
        matches!(client.begin_backup(&backup(), 60).await, Err(Error::NoBackup(_))),
        "an id is used once"
    );

    client.begin_backup(&other(), 60).await.unwrap();
    client.abort_backup(&other()).await.unwrap();
    assert!(!vm.mark_file().exists());
    client.abort_backup(&other()).await.unwrap();
}

#[tokio::test]
async fn wal_is_switched_written_and_the_restores_settings_removed() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    let switched = client.switch_wal().await.unwrap();
    assert!(client.write_probe().await.unwrap().lsn >= switched.lsn);

    let path = vm.data("postgresql.auto.conf");
    let text = "work_mem = '5MB'\n# remount 20261123T010000Z-aaaa begin\nsynchronous_standby_names = ''\n# remount end\n";
    std::fs::write(&path, text).unwrap();
    client.finish_restore(&restore()).await.unwrap();
    client.finish_restore(&restore()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "work_mem = '5MB'\n");
    until("the reload", async || server.value("SHOW work_mem").await == "5MB").await;
}

#[tokio::test]
async fn indexes_are_rebuilt_where_a_collation_has_another_version() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    let versions = client.status().await.unwrap().collation_versions;
    assert!(versions.contains_key("database/postgres") && versions.contains_key("libc"), "{versions:?}");
    server.execute("UPDATE pg_collation SET collversion = '1' WHERE collname = 'de-x-icu'").await;
    server.execute("CREATE TABLE t (a text COLLATE \"de-x-icu\"); CREATE INDEX ON t (a)").await;
    // What an interrupted DROP DATABASE leaves, and nobody can connect to.
    server.execute("CREATE DATABASE half_dropped").await;
    server.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped'").await;
    let node = server.value("SELECT pg_relation_filenode('t_a_idx')::text").await;
    let done = async |restore: &str| {
        let restore: RestoreId = restore.parse().unwrap();
        until("the rebuild", async || {
            client.refresh_collations(&restore).await.unwrap() != CollationRefresh::Running
        })
        .await;
        client.refresh_collations(&restore).await.unwrap()
    };
    let refreshed = CollationRefresh::Done { databases: vec!["postgres".into()] };
    assert_eq!(done("20261123T010000Z-aaaa").await, refreshed);
    assert_ne!(server.value("SELECT pg_relation_filenode('t_a_idx')::text").await, node, "it was rebuilt");
    let stale =
        "SELECT count(*)::text FROM pg_collation WHERE collversion <> pg_collation_actual_version(oid)";
    assert_eq!(server.value(stale).await, "0");
    assert_eq!(done("20261123T010000Z-aaaa").await, refreshed, "it is told again");
    let nothing = CollationRefresh::Done { databases: Vec::new() };
    assert_eq!(done("20261123T020000Z-bbbb").await, nothing, "nothing is left to do");
}

#[tokio::test]
async fn a_cluster_with_a_tablespace_on_another_disk_is_not_backed_up() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    assert_eq!(client.status().await.unwrap().on_other_disks, Vec::<String>::new());
    std::os::unix::fs::symlink("/dev/shm", vm.data("pg_tblspc/99999")).unwrap();
    let error = client.begin_backup(&backup(), 60).await.unwrap_err();
    assert!(matches!(&error, Error::OtherDisk(places) if places.contains("/dev/shm")), "{error:?}");
    assert!(!vm.mark_file().exists());
    assert_eq!(client.status().await.unwrap().on_other_disks.len(), 1);
    std::fs::remove_file(vm.data("pg_tblspc/99999")).unwrap();
    client.begin_backup(&backup(), 60).await.unwrap();
}

/// Needs root, as the hooks' tests do where they mount.
#[tokio::test]
async fn a_container_that_has_folders_of_the_disk_and_not_the_disk_takes_backups() {
    if !support::postgres::is_root() {
        return;
    }
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let agent = vm.serve_in_container();
    let client = agent.client(&landscape.ca, &vm.instance);
    assert_eq!(client.status().await.unwrap().on_other_disks, Vec::<String>::new());
    client.begin_backup(&backup(), 60).await.unwrap();
    client.end_backup(&backup()).await.unwrap();

    let space = vm.home.join("store/space");
    std::fs::create_dir(&space).unwrap();
    support::postgres::give_to_vcap(&space);
    server.execute(&format!("CREATE TABLESPACE hidden LOCATION '{}'", space.display())).await;
    let elsewhere = client.status().await.unwrap().on_other_disks;
    assert!(elsewhere.len() == 1 && elsewhere[0].contains("cannot be looked at"), "{elsewhere:?}");
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_of_the_ca() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    // A driver of another landscape: neither side trusts the other.
    let stranger = agent.client(&Ca::new(), &vm.instance);
    assert!(matches!(stranger.begin_backup(&backup(), 60).await, Err(Error::Unreachable { .. })));
    // One that trusts the agent, with a certificate of its own making, and one without any.
    for certificate in [Some(Ca::new()), None] {
        let answer = support::tls_request(&agent, &landscape.ca, certificate.as_ref()).await;
        assert!(answer.is_err() || !answer.as_ref().unwrap().contains("200 OK"), "{answer:?}");
    }
    let good = support::tls_request(&agent, &landscape.ca, Some(&landscape.ca)).await.unwrap();
    assert!(good.contains("200 OK"), "the request itself is right: {good}");
    assert!(!vm.mark_file().exists());
}

/// Every agent's certificate is of the one CA; only the deployment's own names it.
#[tokio::test]
async fn an_agent_of_another_deployment_does_not_answer() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let folder = vm.home.join("config");
    for name in ["pg-2.remount-agent", "remount-agent", "pg-1"] {
        landscape.ca.issue(&folder, name);
        vm.write_config();
        let agent = vm.serve();
        let client = agent.client(&landscape.ca, &vm.instance);
        assert!(matches!(client.begin_backup(&backup(), 60).await, Err(Error::Unreachable { .. })), "{name}");
    }
    assert!(!vm.mark_file().exists());
}

/// A VM that was taken over has its own deployment's certificate: it is for a server, and opens no other agent.
#[tokio::test]
async fn an_agents_certificate_lets_nobody_in() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = support::client_as(&agent, &landscape.ca, "pg-2.remount-agent", &vm.instance);
    assert!(matches!(client.status().await, Err(Error::Unreachable { .. })));
    assert!(matches!(client.begin_backup(&backup(), 60).await, Err(Error::Unreachable { .. })));
    assert!(!vm.mark_file().exists());
}

#[tokio::test]
async fn another_instance_at_the_same_address_is_noticed() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &instance("i-9"));
    assert!(matches!(client.status().await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn bodies_that_are_not_understood_change_nothing() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let long = format!("{{\"backup\":\"{}\"}}", "x".repeat(100_000));
    for (body, status) in [("{}", "422"), ("not JSON", "400"), (long.as_str(), "413")] {
        let request = format!(
            "POST /v1/backup/begin HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer =
            support::tls_exchange(&agent, &landscape.ca, Some(&landscape.ca), &request).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let client = agent.client(&landscape.ca, &vm.instance);
    assert!(client.begin_backup(&backup(), 0).await.is_err());
    assert!(!vm.mark_file().exists());
}

#[tokio::test]
async fn a_driver_that_vanishes_leaves_no_backup_mode() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    client.begin_backup(&backup(), 1).await.unwrap();
    assert_eq!(sessions(&server).await, "1");
    until("the lease's end", async || client.status().await.unwrap().backup.is_none()).await;
    assert!(!vm.mark_file().exists());
    until("the session's end", async || sessions(&server).await == "0").await;
    assert!(matches!(client.renew_backup(&backup()).await, Err(Error::NoBackup(_))));
    assert!(matches!(client.end_backup(&backup()).await, Err(Error::NoBackup(_))));
}

#[tokio::test]
async fn a_killed_agent_leaves_no_backup_mode_and_its_successor_no_mark() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let mut agent = vm.serve();
    agent.client(&landscape.ca, &vm.instance).begin_backup(&backup(), 60).await.unwrap();
    agent.signal("KILL");
    assert!(vm.mark_file().exists(), "nobody was left to remove it");
    until("the session's end", async || sessions(&server).await == "0").await;

    let agent = vm.serve();
    until("the mark's end", async || !vm.mark_file().exists()).await;
    let client = agent.client(&landscape.ca, &vm.instance);
    assert!(matches!(client.end_backup(&backup()).await, Err(Error::NoBackup(_))));
    client.begin_backup(&other(), 60).await.unwrap();
    client.end_backup(&other()).await.unwrap();
}

/// The server may have been started on a copy past the fence: by hand, or by a job of another release.
#[tokio::test]
async fn the_mark_of_a_copy_stays_although_the_server_runs_and_no_backup_overwrites_it() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    landscape.complete_backup(vm.system_identifier()).await;
    landscape.give_store_away();
    vm.mark(&backup());
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    until("the daemon's judgement", async || agent.log_text().contains("stays on the disk")).await;
    let refused = client.begin_backup(&other(), 60).await.unwrap_err();
    assert!(matches!(&refused, Error::Marked { backup: marked, .. } if *marked == backup()), "{refused}");
    assert!(refused.to_string().contains("no published restore uses it"), "{refused}");
    assert!(vm.mark_file().exists(), "nobody could tell any more that this is a copy");
}

/// The map of the tablespaces is text in the manifest; that it is none is said before the snapshot, not after.
#[tokio::test]
async fn a_cluster_with_a_tablespace_whose_path_is_no_text_is_not_backed_up() {
    use std::os::unix::ffi::OsStrExt as _;
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    let space = vm.data("pg_tblspc").join(std::ffi::OsStr::from_bytes(b"sp\xe4ce"));
    std::fs::create_dir(&space).unwrap();
    std::os::unix::fs::symlink(&space, vm.data("pg_tblspc/99999")).unwrap();
    let error = client.begin_backup(&backup(), 60).await.unwrap_err();
    assert!(matches!(&error, Error::NotText(places) if places.contains("pg_tblspc/99999")), "{error:?}");
    assert!(!vm.mark_file().exists());
}

#[tokio::test]
async fn no_backup_begins_where_its_wal_would_go_nowhere() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    server.execute("ALTER SYSTEM SET archive_command = '/bin/true'").await;
    server.server().reload().await.unwrap();
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    until("the reload", async || !client.status().await.unwrap().overrides.is_empty()).await;
    let refused = client.begin_backup(&backup(), 60).await.unwrap_err();
    assert!(matches!(&refused, Error::Settings(_)) && refused.retry() == Retry::Never, "{refused}");
    assert!(refused.to_string().contains("archive_command is `/bin/true`"), "{refused}");
    assert!(!vm.mark_file().exists());
    server.execute("ALTER SYSTEM RESET archive_command").await;
    server.server().reload().await.unwrap();
    until("the reload", async || client.status().await.unwrap().overrides.is_empty()).await;
    client.begin_backup(&backup(), 60).await.unwrap();
    client.end_backup(&backup()).await.unwrap();
}

#[tokio::test]
async fn a_mark_stays_while_the_store_does_not_answer() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    vm.mark(&backup());
    std::fs::rename(landscape.path("store"), landscape.path("store.away")).unwrap();
    let agent = vm.serve();
    until("the daemon's judgement", async || agent.log_text().contains("stays on the disk")).await;
    assert!(vm.mark_file().exists(), "{}", agent.log_text());
    std::fs::rename(landscape.path("store.away"), landscape.path("store")).unwrap();
    until("the mark's end", async || !vm.mark_file().exists()).await;
}

#[tokio::test]
async fn a_stale_mark_waits_for_postgresql() {
    let landscape = Landscape::new();
    let (vm, mut server) = running(&landscape).await;
    server.stop();
    vm.mark(&backup());
    let agent = vm.serve();
    assert!(matches!(agent.client(&landscape.ca, &vm.instance).status().await, Err(Error::Database { .. })));
    assert!(vm.mark_file().exists(), "nobody has checked this disk while its server is down");
    server.start().await;
    until("the mark's end", async || !vm.mark_file().exists()).await;
}

#[tokio::test]
async fn an_agent_that_is_stopped_ends_backup_mode() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let mut agent = vm.serve();
    agent.client(&landscape.ca, &vm.instance).begin_backup(&backup(), 60).await.unwrap();
    let status = agent.signal("TERM");
    assert!(status.success(), "{status}: {}", agent.log_text());
    assert!(!vm.mark_file().exists());
    until("the session's end", async || sessions(&server).await == "0").await;
}

#[tokio::test]
async fn a_backup_ends_with_the_server_it_is_taken_of() {
    let landscape = Landscape::new();
    let (vm, mut server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    client.begin_backup(&backup(), 60).await.unwrap();
    server.stop();
    until("the mark's end", async || !vm.mark_file().exists()).await;
    assert!(matches!(client.end_backup(&backup()).await, Err(Error::NoBackup(_))));
    server.start().await;
    client.begin_backup(&other(), 60).await.unwrap();
    client.end_backup(&other()).await.unwrap();
}

#[tokio::test]
async fn a_second_agent_does_not_start() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let _agent = vm.serve();
    let mut command = support::postgres::as_vcap(&landscape.program());
    let output = command.arg("serve").arg("--config").arg(vm.config_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(support::errors(&output).contains("locked by another process"), "{}", support::errors(&output));
}

/// In the debug build, after use; what it may have is the issue's 20 MB.
#[tokio::test]
async fn the_agent_stays_small() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let client = agent.client(&landscape.ca, &vm.instance);
    for _ in 0..20 {
        client.status().await.unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{line}");
    assert!(kib < 20 << 10, "{line}");
}

#[tokio::test]
async fn what_was_done_behind_a_lost_answer_is_found_by_asking_again() {
    let landscape = Landscape::new();
    let (vm, server) = running(&landscape).await;
    let agent = vm.serve();
    let lost =
        |path: &str| json!({"method": "POST", "path": path, "times": 1, "fault": {"kind": "drop_after"}});
    let script =
        json!([lost("*/begin"), lost("*/end"), {"path": "*", "times": 1, "fault": {"kind": "duplicate"}}]);
    let proxy = agent.behind(&landscape.ca, script);
    let driver = client(proxy.address(), &landscape.ca, &vm.instance);

    let error = driver.begin_backup(&backup(), 60).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Soon, "{error}");
    let begun = driver.begin_backup(&backup(), 60).await.unwrap();
    assert_eq!(sessions(&server).await, "1", "one backup, though it was asked for three times");
    let error = driver.end_backup(&backup()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Soon, "{error}");
    let ended = driver.end_backup(&backup()).await.unwrap();
    assert!(ended.stop_lsn > begun.start_lsn && !vm.mark_file().exists());
    let faults: Vec<_> = proxy.requests().into_iter().filter_map(|served| served.fault).collect();
    assert_eq!(faults.len(), 3, "each fault happened: {faults:?}");
}

#[tokio::test]
async fn an_agent_that_is_not_reached_or_silent_is_a_passing_trouble() {
    let landscape = Landscape::new();
    let (vm, _server) = running(&landscape).await;
    let agent = vm.serve();
    let script = json!([
        {"path": "*", "times": 1, "fault": {"kind": "drop_before"}},
        {"path": "*", "times": 1, "fault": {"kind": "delay", "milliseconds": 7000}},
        {"path": "*", "times": 1, "fault": {"kind": "status", "status": 502}},
        {"path": "*", "times": 1, "fault": {"kind": "cut", "bytes": 10}},
        {"path": "*", "times": 1, "fault": {"kind": "throttle", "status": 503, "retry_after_seconds": 1}},
    ]);
    let proxy = agent.behind(&landscape.ca, script);
    let driver = client(proxy.address(), &landscape.ca, &vm.instance);
    for fault in ["drop_before", "delay", "status", "cut", "throttle"] {
        let error = driver.status().await.unwrap_err();
        assert_eq!(error.retry(), Retry::Soon, "{fault}: {error}");
    }
    assert_eq!(driver.status().await.unwrap().backup, None);
}

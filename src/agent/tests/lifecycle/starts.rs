//! What does not start, and starts that need care.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use remount_core::RecoveryTarget;
use remount_postgres::Reachable;

use crate::instance::*;
use crate::support::postgres::{give_to_vcap, run};
use crate::support::{Landscape, Vm, backup, errors, until};

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

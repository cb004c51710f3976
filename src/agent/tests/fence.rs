//! The fence's decision tables (`docs/design.md` section 5), row by row, on real directories and a real store.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use remount_core::documents::{DiskOwner, ForkRecord};
use remount_core::{BackupId, Lsn, Role, SystemIdentifier, TimelineId};
use remount_store::{ArchiveFile, Codec, Purpose, PushOptions};
use support::{Landscape, Vm, backup, errors, restore};

const PRE_START: [&str; 1] = ["pre-start"];

/// Runs pre-start and expects a refusal that says all of this.
fn refused(vm: &Vm<'_>, words: &[&str]) -> String {
    let output = vm.hook(&PRE_START);
    let text = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: PostgreSQL may not start: ") && text.contains("\n next: "), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    text
}

fn allowed(vm: &Vm<'_>) -> String {
    let output = vm.hook(&PRE_START);
    let text = errors(&output);
    assert!(output.status.success(), "{text}");
    text
}

fn break_store(landscape: &Landscape) {
    fs::rename(landscape.path("store"), landscape.path("store.away")).unwrap();
}

fn restore_store(landscape: &Landscape) {
    fs::rename(landscape.path("store.away"), landscape.path("store")).unwrap();
}

#[test]
fn a_missing_disk_is_refused_although_data_lies_in_its_place() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    let mut command = Command::new(landscape.program());
    let output = command.arg("pre-start").arg("--config").arg(vm.config_file()).output().unwrap();
    let text = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is not a mount point") && text.contains("bosh attach-disk"), "{text}");
}

#[test]
fn a_normal_disk_starts_without_the_store() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    break_store(&landscape);
    allowed(&vm);
}

#[test]
fn an_instance_whose_vm_saw_data_does_not_start_on_an_empty_disk() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    fs::create_dir(vm.home.join("data")).unwrap();
    let note = r#"{"format":1,"at":"2026-11-23T00:00:00Z","registered":true}"#;
    fs::write(vm.home.join("data/initialised.json"), note).unwrap();
    break_store(&landscape);
    refused(&vm, &["postgres/i-1 was initialised before", "bosh disks --orphaned"]);
}

#[tokio::test]
async fn an_instance_that_the_store_knows_does_not_start_on_an_empty_disk() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    landscape.store().register_instance(&vm.instance.id).await.unwrap();
    refused(&vm, &["was initialised before", "instances/i-1.json"]);
}

#[test]
fn a_new_instance_may_be_initialised() {
    let landscape = Landscape::new();
    allowed(&Vm::new(&landscape, "i-1"));
}

#[test]
fn an_empty_disk_is_not_initialised_while_nobody_can_say_whether_it_should_be() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    break_store(&landscape);
    refused(&vm, &["the disk holds no data", "did not answer within 1 s", "store.*"]);
}

#[test]
fn a_vm_that_went_down_in_a_backup_starts_normally() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    vm.mark(&backup());
    allowed(&vm);
    assert!(!vm.mark_file().exists());
    assert!(!vm.data("recovery.signal").exists());
}

#[tokio::test]
async fn a_copy_of_a_complete_backup_does_not_start_without_a_plan() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    vm.mark(&backup());
    landscape.complete_backup(vm.system_identifier()).await;
    refused(&vm, &["no published restore uses it", backup().as_str(), "bosh start"]);
    assert!(vm.mark_file().exists());
}

/// Whose it was is in the mark: another instance's never started here, whatever the store knows of the backup.
#[test]
fn a_copy_of_another_instances_disk_is_refused_though_the_store_knows_nothing_of_its_backup() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    let own = DiskOwner {
        cluster: "pg-1".parse().unwrap(),
        system_identifier: vm.system_identifier(),
        instance: vm.instance.id.clone(),
    };
    for owner in [
        DiskOwner { cluster: "pg-2".parse().unwrap(), ..own.clone() },
        DiskOwner { instance: "i-9".parse().unwrap(), ..own.clone() },
        DiskOwner { system_identifier: SystemIdentifier(7), ..own.clone() },
    ] {
        vm.mark_of(&backup(), owner.clone());
        let said = [format!("instance {} of cluster {}", owner.instance, owner.cluster)];
        refused(&vm, &["a copy from backup", &said[0], "this is instance i-1 of cluster pg-1"]);
        assert!(vm.mark_file().exists());
    }
}

#[tokio::test]
async fn a_copy_on_which_something_works_already_is_refused_and_left_alone() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    vm.mark(&backup());
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    // PostgreSQL's processes work in their data directory; nothing else about them is sure.
    let mut early = Command::new("sleep").arg("60").current_dir(vm.data("")).spawn().unwrap();
    refused(
        &vm,
        &[&format!("process {} (sleep)", early.id()), "another job's pre-start", "docs/colocation.md"],
    );
    early.kill().unwrap();
    early.wait().unwrap();
    assert!(!vm.data("recovery.signal").exists() && vm.mark_file().exists());
    allowed(&vm);
    assert!(vm.data("recovery.signal").exists());
}

#[tokio::test]
async fn the_wrong_disk_is_refused_by_both_ids() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    let other = BackupId::new("20261122T000000Z-zzzz").unwrap();
    vm.mark(&other);
    refused(&vm, &["the wrong disk", backup().as_str(), other.as_str(), "remount journal"]);
    assert!(vm.mark_file().exists() && !vm.data("recovery.signal").exists());
}

#[tokio::test]
async fn a_disk_of_another_cluster_is_refused() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    let mut plan = vm.plan(&[("i-1", Role::Primary)]);
    plan.path.system_identifier = SystemIdentifier(7);
    landscape.publish(&plan).await;
    vm.mark(&backup());
    refused(&vm, &["the wrong disk", "system identifier 7", &vm.system_identifier().to_string()]);
}

#[tokio::test]
async fn an_instance_that_the_plan_does_not_name_is_refused() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-2", Role::Primary)])).await;
    vm.mark(&backup());
    refused(&vm, &["does not name instance postgres/i-1"]);
}

#[test]
fn a_copy_is_not_started_while_the_store_does_not_answer() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    vm.mark(&backup());
    break_store(&landscape);
    refused(&vm, &[backup().as_str(), "did not answer within 1 s", "cannot be undone"]);
    assert!(vm.mark_file().exists());
}

#[tokio::test]
async fn a_store_that_comes_back_in_time_is_waited_for() {
    let landscape = Landscape::new();
    let mut vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    vm.mark(&backup());
    vm.config["pre_start"]["deadline_seconds"] = 60.into();
    vm.write_config();
    break_store(&landscape);
    let mut hook = vm.hook_command(&PRE_START);
    let mut child = hook.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // Its first line says that it waits.
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert!(line.contains("does not answer; waiting"), "{line}");
    restore_store(&landscape);
    assert!(child.wait().unwrap().success());
    assert!(vm.data("recovery.signal").exists());
}

#[tokio::test]
async fn a_plan_that_was_tampered_with_is_refused_at_once() {
    let landscape = Landscape::new();
    let mut vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    let path = landscape.path(&format!("store/clusters/pg-1/restores/{}/plan.json", restore()));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("i-1", "i-2")).unwrap();
    vm.mark(&backup());
    vm.config["pre_start"]["deadline_seconds"] = 600.into();
    vm.write_config();
    refused(&vm, &["plan.json"]);
}

#[tokio::test]
async fn a_plan_is_applied_once_and_then_needs_no_store() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary), ("i-2", Role::Standby)])).await;
    vm.mark(&backup());
    allowed(&vm);
    let applied = vm.applied();
    assert_eq!(applied["backup"], backup().as_str());
    assert_eq!(applied["role"], "primary");
    assert!(applied["outcome"].is_null() && applied["fork"].is_null(), "{applied}");
    assert!(vm.mark_file().exists(), "the disk is a copy until its recovery has ended");
    let auto = fs::read_to_string(vm.data("postgresql.auto.conf")).unwrap();
    let command = format!(
        "restore_command = '{} fetch --config {} %f %p'",
        landscape.path("bin/remount-wal").display(),
        vm.config_file().display()
    );
    assert!(auto.contains(&command) && auto.contains("recovery_target_timeline = '1'"), "{auto}");

    fs::remove_file(vm.data("backup_label")).unwrap(); // As PostgreSQL does when it has begun.
    break_store(&landscape);
    allowed(&vm);
    assert!(!vm.data("backup_label").exists(), "the label was written again");
}

/// A restore that was stored for the errand, while another one was asked for later and run first.
#[tokio::test]
async fn a_plan_is_the_newest_of_its_disk_whatever_its_id_says() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    let plan = vm.plan(&[("i-1", Role::Primary)]);
    landscape.publish(&plan).await;
    vm.mark(&backup());
    // The snapshot is of a disk that the later one had made.
    let later = serde_json::json!({
        "format": 1, "restore": "20261124T010000Z-zzzz", "number": 4, "backup": "20261120T004500Z-k3f9",
        "role": "primary", "applied_at": "2026-11-24T10:00:00Z", "outcome": "recovered",
        "path": plan.path, "target": plan.target,
    });
    let folder = vm.home.join("store/remount/applied");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("20261124T010000Z-zzzz.json"), later.to_string()).unwrap();
    support::postgres::give_to_vcap(&vm.home.join("store/remount"));
    allowed(&vm);
    assert_eq!(vm.applied()["number"], 5);
    let records = [later, vm.applied()].map(|record| serde_json::from_value(record).unwrap());
    let open = remount_core::documents::open_plan(records).map(|open| open.restore);
    assert_eq!(open, Some(restore()), "its recovery goes on");
}

#[tokio::test]
async fn a_crash_while_applying_applies_again() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    vm.mark(&backup());
    allowed(&vm);
    let record = vm.home.join(format!("store/remount/applied/{}.json", restore()));
    for gone in ["recovery.signal", "postgresql.auto.conf", "backup_label"] {
        fs::remove_file(&record).unwrap();
        fs::remove_file(vm.data(gone)).unwrap();
        fs::write(vm.data("standby.signal"), "").unwrap();
        fs::write(vm.data(&format!("{gone}.remount-new")), "torn").unwrap();
        allowed(&vm);
        assert!(vm.data("recovery.signal").exists() && vm.data("backup_label").exists());
        assert!(!vm.data("standby.signal").exists() && record.exists());
    }
}

#[tokio::test]
async fn two_jobs_pre_starts_apply_a_plan_once() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-1", Role::Primary)])).await;
    vm.mark(&backup());
    let hooks: Vec<_> = (0..4)
        .map(|_| vm.hook_command(&PRE_START).stderr(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<_> = hooks.into_iter().map(|hook| hook.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    let applied = outputs.iter().filter(|output| errors(output).contains("the plan is applied")).count();
    assert_eq!(applied, 1);
}

#[tokio::test]
async fn a_standby_waits_for_history_and_fork_segment() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-2");
    let mut server = vm.with_data();
    let plan = vm.plan(&[("i-1", Role::Primary), ("i-2", Role::Standby)]);
    landscape.publish(&plan).await;
    vm.mark(&backup());
    refused(&vm, &["fork.json", "waited 1 s", "rejoin"]);

    // A real segment: the store takes no other. The fork is on timeline 1 here, for the check is the same.
    server.start().await;
    let segment = server.server().switch_wal().await.unwrap().last_segment;
    server.stop();
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
    let fork = ForkRecord {
        format: 1,
        restore: plan.id.clone(),
        timeline: TimelineId::FIRST,
        fork_lsn: Lsn(0x0100_0000),
        fork_segment: segment,
    };
    store.write_fork(&fork, &lease).await.unwrap();
    refused(&vm, &[&format!("segment {segment}")]);

    let content = fs::read(vm.home.join("archive").join(segment.to_string())).unwrap();
    let options = PushOptions { codec: Codec::Raw, segment_size: plan.path.segment_size };
    let wal = store.wal(plan.path.system_identifier);
    wal.push(&ArchiveFile::Segment(segment), content.into(), options).await.unwrap();
    allowed(&vm);
    assert!(vm.data("standby.signal").exists() && !vm.data("recovery.signal").exists());
    assert_eq!(vm.applied()["fork"]["fork_segment"], segment.to_string());
    let auto = fs::read_to_string(vm.data("postgresql.auto.conf")).unwrap();
    assert!(auto.contains("recovery_target_timeline = '1'") && !auto.contains("target_action"), "{auto}");
}

#[tokio::test]
async fn a_standby_does_not_wait_for_a_restore_that_was_given_up() {
    let landscape = Landscape::new();
    let mut vm = Vm::new(&landscape, "i-2");
    let _data = vm.with_data();
    landscape.publish(&vm.plan(&[("i-2", Role::Standby)])).await;
    vm.mark(&backup());
    vm.config["pre_start"]["deadline_seconds"] = 600.into();
    vm.write_config();
    let hook = vm.hook_command(&PRE_START).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
    // The hook may read before or after this; both must end it or start it, never hang.
    store.withdraw(&lease).await.unwrap();
    let output = hook.wait_with_output().unwrap();
    let text = errors(&output);
    assert!(output.status.success() || text.contains("was withdrawn"), "{text}");
}

#[test]
fn data_without_a_readable_control_file_is_refused() {
    let landscape = Landscape::new();
    let vm = Vm::new(&landscape, "i-1");
    let _data = vm.with_data();
    fs::write(vm.data("global/pg_control"), vec![0; 8192]).unwrap();
    let output = vm.hook(&PRE_START);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("control file is damaged"), "{}", errors(&output));
}

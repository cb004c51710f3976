//! VMs and disks for real: mount namespaces, loop devices, processes. Needs root.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use remount_cloud::{DiskSpec, Tags};
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, GroupName, InstanceId, InstanceSlug, RequestKey, VmCid};
use remount_lab::iaas::{Iaas, IaasError, RenderedFile, RenderedJob, VmSpec};
use remount_lab::vm::{Machine, MachineConfig};
use remount_lab::{namespace, xfs};

/// How long a fact may take to come true.
const LIMIT: Duration = Duration::from_secs(20);

fn machine(folder: &Path) -> Machine {
    let image = folder.join("disks.img");
    xfs::make_image(&image, 4).unwrap();
    let disks = folder.join("disks");
    xfs::mount_privately(&image, &disks).unwrap();
    Machine::new(MachineConfig {
        vms: folder.join("vms"),
        cloud: disks.join("cloud"),
        program: env!("CARGO_BIN_EXE_remount-lab").into(),
        binds: BTreeMap::from([("data/packages/postgres-15".into(), "/usr/lib/postgresql/15".into())]),
    })
    .unwrap()
}

fn vm(machine: &Machine, number: u8) -> VmCid {
    let instance = InstanceSlug {
        group: GroupName::new("g").unwrap(),
        id: InstanceId::new(format!("0000-{number}")).unwrap(),
    };
    let ip = format!("127.9.9.{number}");
    machine.create_vm(&VmSpec { deployment: "d".into(), instance, az: "z1".into(), ip }).unwrap()
}

/// A job made of shell scripts.
fn job(name: &str, files: &[(&str, &str)]) -> RenderedJob {
    let file = |(path, content): &(&str, &str)| {
        let content = (*content).to_owned();
        let executable = path.starts_with("bin/");
        ((*path).to_owned(), RenderedFile { content, executable })
    };
    RenderedJob { name: name.into(), files: files.iter().map(file).collect(), packages: Vec::new() }
}

/// A job with one process, as bpm runs it.
fn daemon(name: &str, script: &str) -> RenderedJob {
    let bpm = serde_json::json!({ "processes": [{
        "name": name, "executable": "/bin/sh", "args": ["-c", script], "shutdown_signal": "INT",
        "limits": {"open_files": 321}, "env": {"COLOUR": "blue"},
    }]});
    job(name, &[("monit", &format!("check process {name}\n")), ("config/bpm.yml", &bpm.to_string())])
}

fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !fact() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a shell command inside the VM and returns what it prints.
fn inside(machine: &Machine, vm: &VmCid, script: &str) -> String {
    let errand = job("probe", &[("bin/run", &format!("#!/bin/bash\n{script}\n"))]);
    machine.apply(vm, &[errand]).unwrap();
    let outcome = machine.run_errand(vm, "probe", &|| false, LIMIT).unwrap();
    assert_eq!(outcome.exit_code, 0, "{script}: {}", outcome.stderr);
    outcome.stdout.trim().to_owned()
}

#[test]
fn a_job_finds_the_packages_that_its_spec_names_and_no_others() {
    namespace::run_test("a_job_finds_the_packages_that_its_spec_names_and_no_others", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let seen = |packages: &[&str]| {
            let mut probe = job("probe", &[("bin/run", "#!/bin/bash\nls /var/vcap/packages\n")]);
            probe.packages = packages.iter().map(|&name| name.to_owned()).collect();
            machine.apply(&vm, &[probe]).unwrap();
            let outcome = machine.run_errand(&vm, "probe", &|| false, LIMIT).unwrap();
            outcome.stdout.trim().to_owned()
        };
        assert_eq!(seen(&["postgres-15", "never-compiled"]), "postgres-15");
        assert_eq!(seen(&[]), "", "it is installed, and nobody's");
    });
}

fn mounted_disk(machine: &Machine, vm: &VmCid) -> DiskCid {
    let disk = machine.create_disk(256, "", "z1").unwrap();
    machine.attach_disk(vm, &disk).unwrap();
    machine.mount_disk(vm, &disk).unwrap();
    disk
}

fn log(machine: &Machine, vm: &VmCid, path: &str) -> String {
    let file: PathBuf = machine.vcap_of(vm).unwrap().join("sys/log").join(path);
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn a_disk_made_from_a_snapshot_takes_the_old_ones_place() {
    namespace::run_test("a_disk_made_from_a_snapshot_takes_the_old_ones_place", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let old = mounted_disk(&machine, &vm);
        inside(&machine, &vm, "echo then > /var/vcap/store/word; sync");
        let key = |text: &str| RequestKey::new(text).unwrap();
        let snapshot = machine.disks().create_snapshot(&old, &Tags::new(), &key("s")).unwrap();
        inside(&machine, &vm, "echo now > /var/vcap/store/word; sync");
        let old_shape = machine.disks().disk(&old).unwrap().unwrap().shape;
        let spec = DiskSpec { like: DiskShape { size_mib: 1024, ..old_shape }, tags: Tags::new() };
        let new = machine.disks().create_disk(&snapshot.cid, &spec, &key("d")).unwrap().cid;

        assert_eq!(machine.list_disk(&vm).unwrap(), std::slice::from_ref(&old));
        machine.unmount_disk(&vm, &old).unwrap();
        machine.detach_disk(&vm, &old).unwrap();
        machine.attach_disk(&vm, &new).unwrap();
        machine.mount_disk(&vm, &new).unwrap();
        assert_eq!(inside(&machine, &vm, "cat /var/vcap/store/word"), "then");
        let size = inside(&machine, &vm, "df --output=size -m /var/vcap/store | tail -1");
        assert!(size.parse::<u64>().unwrap() > 800, "the file system did not grow: {size} MiB");

        machine.unmount_disk(&vm, &new).unwrap();
        machine.detach_disk(&vm, &new).unwrap();
        machine.attach_disk(&vm, &old).unwrap();
        machine.mount_disk(&vm, &old).unwrap();
        assert_eq!(inside(&machine, &vm, "cat /var/vcap/store/word"), "now", "the rollback lost a write");
    });
}

/// Set in the process that is killed, to its folder.
const VICTIM: &str = "REMOUNT_LAB_TEST_VICTIM";

/// The life of the process that is killed: a VM with a disk and a process, then nothing more.
fn be_killed(folder: &Path) {
    let machine = machine(folder);
    let vm = vm(&machine, 1);
    let disk = mounted_disk(&machine, &vm);
    let script =
        format!("exec 9>/var/vcap/data/d/open; echo {}; while :; do sleep 0.05; done", folder.display());
    machine.apply(&vm, &[daemon("d", &script)]).unwrap();
    machine.start(&vm).unwrap();
    until("the process runs", || machine.job_state(&vm).unwrap() == "running");
    println!("\nready {} {disk}", machine.host_pid(&vm).unwrap());
    loop {
        std::thread::park();
    }
}

/// What of this machine still names one of these texts: processes, mounts, loop devices.
fn traces(texts: &[&str]) -> Vec<String> {
    let named = |text: &str| texts.iter().any(|wanted| text.contains(wanted));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        if named(&command) || named(&mounts) {
            found.push(format!("process {} {command}", entry.file_name().display()));
        }
    }
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if named(&backing) {
            found.push(format!("{} {backing}", entry.file_name().display()));
        }
    }
    found
}

#[test]
fn a_killed_daemon_leaves_no_process_no_mount_and_no_loop_device() {
    let test = "a_killed_daemon_leaves_no_process_no_mount_and_no_loop_device";
    if let Some(folder) = std::env::var_os(VICTIM) {
        return be_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Command::new("unshare")
        .args(["--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.into_iter().find(|line| line.starts_with("ready ")).expect("the victim came up");
    let [_, pid, disk] = ready.split(' ').collect::<Vec<_>>()[..] else { panic!("{ready}") };
    let names = [folder.path().to_str().unwrap(), disk];
    assert!(traces(&names).len() >= 4, "the test sees nothing: {:?}", traces(&names));
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("all is gone", || traces(&names).is_empty() && !Path::new("/proc").join(pid).exists());
}

#[test]
fn a_disk_follows_its_instance_to_a_new_vm() {
    namespace::run_test("a_disk_follows_its_instance_to_a_new_vm", |folder| {
        let machine = machine(folder);
        let first = vm(&machine, 1);
        let disk = mounted_disk(&machine, &first);
        inside(&machine, &first, "echo kept > /var/vcap/store/word");
        let other = vm(&machine, 2);
        assert!(machine.attach_disk(&other, &disk).is_err(), "attached twice");
        machine.delete_vm(&first).unwrap();
        assert!(matches!(machine.ping(&first), Err(IaasError::Timeout { .. })));
        machine.attach_disk(&other, &disk).unwrap();
        machine.mount_disk(&other, &disk).unwrap();
        assert_eq!(inside(&machine, &other, "cat /var/vcap/store/word"), "kept");
    });
}

#[test]
fn a_migration_moves_the_content_to_the_other_disk() {
    namespace::run_test("a_migration_moves_the_content_to_the_other_disk", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let old = mounted_disk(&machine, &vm);
        inside(&machine, &vm, "cd /var/vcap/store; install -d -m 700 -o vcap d; echo kept > d/word");
        let new = mounted_disk(&machine, &vm);
        assert_eq!(machine.list_disk(&vm).unwrap(), [old.clone(), new.clone()]);
        machine.migrate_disk(&vm, &old, &new).unwrap();
        assert_eq!(machine.list_disk(&vm).unwrap(), std::slice::from_ref(&new));
        let found = inside(&machine, &vm, "cd /var/vcap/store; stat -c '%a %U' d; cat d/word");
        assert_eq!(found, "700 vcap\nkept");
        machine.detach_disk(&vm, &old).unwrap();
        assert!(machine.migrate_disk(&vm, &old, &new).is_err());
    });
}

#[test]
fn an_unmount_waits_for_those_who_still_use_the_disk() {
    namespace::run_test("an_unmount_waits_for_those_who_still_use_the_disk", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let disk = mounted_disk(&machine, &vm);
        let script = "#!/bin/sh\ncd /var/vcap/store && echo in && sleep 1";
        machine.apply(&vm, &[job("user", &[("bin/run", script)])]).unwrap();
        std::thread::scope(|scope| {
            let errand = scope.spawn(|| machine.run_errand(&vm, "user", &|| false, LIMIT).unwrap());
            until("the errand uses the disk", || log(&machine, &vm, "user/run.stdout.log") == "in\n");
            machine.unmount_disk(&vm, &disk).unwrap();
            assert_eq!(errand.join().unwrap().exit_code, 0);
        });
        assert!(machine.list_disk(&vm).unwrap().is_empty());
        machine.detach_disk(&vm, &disk).unwrap();
    });
}

#[test]
fn files_have_the_owners_and_modes_of_a_real_agent() {
    namespace::run_test("files_have_the_owners_and_modes_of_a_real_agent", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let files = [("bin/pre-start", "#!/bin/sh\n"), ("config/deep/secret.json", "{}"), ("monit", "")];
        machine.apply(&vm, &[job("old", &files), job("a", &files)]).unwrap();
        let list = "stat -c '%n %a %U:%G' /var/vcap/jobs/a/bin/pre-start /var/vcap/jobs/a/config/deep \
                    /var/vcap/jobs/a/config/deep/secret.json /var/vcap/sys/log/a | sed s,/var/vcap/,,";
        let probe = job("probe", &[("bin/run", &format!("#!/bin/sh\n{list}; ls /var/vcap/jobs"))]);
        machine.apply(&vm, &[job("a", &files), probe]).unwrap();
        let listing = machine.run_errand(&vm, "probe", &|| false, LIMIT).unwrap().stdout;
        let expected = "jobs/a/bin/pre-start 750 root:vcap\njobs/a/config/deep 750 root:vcap\n\
                        jobs/a/config/deep/secret.json 640 root:vcap\nsys/log/a 770 root:vcap\na\nprobe\n";
        assert_eq!(listing, expected);
    });
}

#[test]
fn failed_scripts_are_reported_in_the_agents_words() {
    namespace::run_test("failed_scripts_are_reported_in_the_agents_words", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let good = job("good", &[("bin/pre-start", "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ | sort")]);
        let bad = job("bad", &[("bin/pre-start", "#!/bin/sh\necho why >&2; exit 3")]);
        machine.apply(&vm, &[good, bad, job("without", &[("monit", "")])]).unwrap();
        let env = BTreeMap::from([("EXTRA".to_owned(), "1".to_owned())]);
        let error = machine.run_script(&vm, "pre-start", &env).unwrap_err().to_string();
        let (before, after) = error.split_once(" result: ").unwrap();
        assert!(before.starts_with("Action Failed get_task: Task "), "{before}");
        assert_eq!(after, "1 of 2 pre-start scripts failed. Failed Jobs: bad. Successful Jobs: good.");
        assert_eq!(log(&machine, &vm, "bad/pre-start.stderr.log"), "why\n");
        let seen = log(&machine, &vm, "good/pre-start.stdout.log");
        assert_eq!(seen, "EXTRA=1\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
        machine.run_script(&vm, "post-start", &env).unwrap();
    });
}

#[test]
fn a_drain_script_is_asked_until_it_is_through() {
    namespace::run_test("a_drain_script_is_asked_until_it_is_through", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let script = "#!/bin/sh\necho \"$@\" >&2\n[ $1 = job_check_status ] && echo 0 || echo -1";
        machine.apply(&vm, &[job("j", &[("bin/drain", script)])]).unwrap();
        let arguments = ["job_shutdown", "hash_unchanged"].map(str::to_owned);
        machine.drain(&vm, &arguments, &BTreeMap::new()).unwrap();
        let asked = log(&machine, &vm, "j/drain.stderr.log");
        assert_eq!(asked, "job_shutdown hash_unchanged\njob_check_status hash_unchanged\n");
        machine.apply(&vm, &[job("j", &[("bin/drain", "#!/bin/sh\necho soon")])]).unwrap();
        let error = machine.drain(&vm, &arguments, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.ends_with("1 of 1 drain scripts failed. Failed Jobs: j."), "{error}");
    });
}

#[test]
fn monit_starts_restarts_and_stops_a_process() {
    namespace::run_test("monit_starts_restarts_and_stops_a_process", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let script =
            "id -un; ulimit -n; echo $COLOUR; trap 'echo asked; exit 0' INT; while :; do sleep 0.05; done";
        machine.apply(&vm, &[daemon("d", script)]).unwrap();
        assert_eq!(machine.job_state(&vm).unwrap(), "failing", "nothing runs before the start");
        machine.start(&vm).unwrap();
        until("the process runs", || machine.job_state(&vm).unwrap() == "running");
        let kept = machine.processes(&vm).unwrap();
        assert_eq!((kept.len(), kept[0].name.as_str(), kept[0].state.as_str()), (1, "d", "running"));
        let pid_file = machine.vcap_of(&vm).unwrap().join("sys/run/bpm/d/d.pid");
        let pid = fs::read_to_string(&pid_file).unwrap();

        let killer = job("killer", &[("bin/run", "#!/bin/sh\nkill -9 $(cat /var/vcap/sys/run/bpm/d/d.pid)")]);
        machine.apply(&vm, &[daemon("d", script), killer]).unwrap();
        assert_eq!(machine.run_errand(&vm, "killer", &|| false, LIMIT).unwrap().exit_code, 0);
        until("it was started again", || {
            fs::read_to_string(&pid_file).is_ok_and(|new| !new.is_empty() && new != pid)
        });
        until("it runs again", || machine.job_state(&vm).unwrap() == "running");

        machine.stop(&vm).unwrap();
        assert_eq!(machine.job_state(&vm).unwrap(), "stopped");
        assert_eq!(machine.processes(&vm).unwrap()[0].state, "unmonitored");
        assert!(!pid_file.exists());
        let said = log(&machine, &vm, "d/d.stdout.log");
        assert_eq!(said, "vcap\n321\nblue\nvcap\n321\nblue\nasked\n");
        machine.start(&vm).unwrap();
        until("it runs after another start", || machine.job_state(&vm).unwrap() == "running");
    });
}

#[test]
fn a_process_that_cannot_run_is_failing() {
    namespace::run_test("a_process_that_cannot_run_is_failing", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        assert_eq!(machine.job_state(&vm).unwrap(), "running", "no process is no failure");
        machine.apply(&vm, &[daemon("d", "echo no >&2; exit 1")]).unwrap();
        machine.start(&vm).unwrap();
        until("it fails", || machine.job_state(&vm).unwrap() == "failing");
        until("it says why", || log(&machine, &vm, "d/d.stderr.log").contains("no"));
        machine.stop(&vm).unwrap();
    });
}

#[test]
fn a_cancelled_errand_gets_a_signal_and_keeps_its_output() {
    namespace::run_test("a_cancelled_errand_gets_a_signal_and_keeps_its_output", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let script = "#!/bin/sh\ntrap 'echo undone; exit 3' TERM; echo begun; while :; do sleep 0.05; done";
        machine.apply(&vm, &[job("e", &[("bin/run", script)])]).unwrap();
        let cancelled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let errand = scope.spawn(|| {
                machine.run_errand(&vm, "e", &|| cancelled.load(Ordering::Relaxed), LIMIT).unwrap()
            });
            until("it has begun", || log(&machine, &vm, "e/run.stdout.log") == "begun\n");
            cancelled.store(true, Ordering::Relaxed);
            let outcome = errand.join().unwrap();
            assert_eq!((outcome.exit_code, outcome.stdout.as_str()), (3, "begun\nundone\n"));
        });
        let missing = machine.run_errand(&vm, "none", &|| false, LIMIT).unwrap_err().to_string();
        assert!(missing.ends_with("Could not find errand none"), "{missing}");
    });
}

#[test]
fn vms_reach_each_others_addresses_and_share_no_memory() {
    namespace::run_test("vms_reach_each_others_addresses_and_share_no_memory", |folder| {
        let machine = machine(folder);
        let (one, two) = (vm(&machine, 1), vm(&machine, 2));
        let listener = std::net::TcpListener::bind("127.9.9.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        inside(&machine, &two, &format!("exec 3<>/dev/tcp/127.9.9.1/{port}"));
        assert_eq!(inside(&machine, &one, "touch /dev/shm/x; ipcmk -M 64 >&2; ipcs -m | grep -c 0x"), "1");
        assert_eq!(inside(&machine, &two, "ls /dev/shm; ipcs -m | grep -c 0x || true"), "0");
        assert_eq!(inside(&machine, &two, "hostname"), "0000-2");
        assert!(inside(&machine, &two, "ps -e -o comm=").lines().count() < 8, "it sees strangers");
    });
}

#[test]
fn an_empty_disk_is_partitioned_and_one_with_two_partitions_is_refused() {
    namespace::run_test("an_empty_disk_is_partitioned_and_one_with_two_partitions_is_refused", |folder| {
        let machine = machine(folder);
        let vm = vm(&machine, 1);
        let disk = machine.create_disk(256, "", "z1").unwrap();
        let image = machine.disks().image(&disk);
        let table = "mklabel msdos mkpart primary 1MiB 64MiB mkpart primary 64MiB 128MiB";
        let made = Command::new("parted").arg("--script").arg(image).args(table.split(' ')).status();
        assert!(made.unwrap().success());
        machine.attach_disk(&vm, &disk).unwrap();
        let error = machine.mount_disk(&vm, &disk).unwrap_err().to_string();
        assert!(error.contains("2 partitions found"), "{error}");
        let other = machine.create_disk(64, "", "z1").unwrap();
        let error = machine.mount_disk(&vm, &other).unwrap_err().to_string();
        assert!(error.contains("Timed out getting real device path"), "{error}");
        machine.attach_disk(&vm, &other).unwrap();
        machine.mount_disk(&vm, &other).unwrap();
        assert_eq!(inside(&machine, &vm, "findmnt -n -o FSTYPE /var/vcap/store"), "ext4");
    });
}

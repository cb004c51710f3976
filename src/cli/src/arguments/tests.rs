//! Which command lines are understood, and which are refused.

use clap::CommandFactory as _;

use super::*;

fn read(line: &str) -> Result<Arguments, String> {
    let words = std::iter::once("remount").chain(line.split_whitespace());
    Arguments::try_parse_from(words).map_err(|error| error.to_string())
}

#[test]
fn the_arguments_do_not_contradict_each_other() {
    Arguments::command().debug_assert();
}

#[test]
fn every_documented_line_is_understood() {
    for line in [
        "backup --deployment pg-0001 --group postgres",
        "backup",
        "list",
        "list --deployment pg-0001 --json",
        "info 20261123T004500Z-k3f9",
        "plan --deployment pg-0001 --to-latest",
        "plan --deployment pg-0001 --to-time 2026-11-23T10:15:00Z --accept-unverified",
        "restore request --deployment pg-0001 --to-time 2026-11-23T10:15:00Z --exclusive",
        "restore run --deployment pg-0001 --to-lsn 0/4012F88 --timeline 2 --on-failure hold",
        "restore --now --deployment pg-0001 --to-xid 742",
        "restore --dry-run --deployment pg-0001 --to-name before-migration",
        "restore --now --deployment pg-0001 --to-xid 742 --accept-unverified --verify all --reindex",
        "plan --deployment pg-0001 --to-latest --verify none",
        "resume 20261123T004500Z-k3f9 --on-failure hold",
        "rollback 20261123T004500Z-k3f9",
        "abort 20261123T004500Z-k3f9",
        "abort 20261123T004500Z-k3f9 --deployment pg-0001",
        "resume 20261123T004500Z-k3f9 --deployment pg-0001",
        "rollback 20261123T004500Z-k3f9 --deployment pg-0001 --group postgres",
        "info 20261123T004500Z-k3f9 --deployment pg-0001",
        "restore forward 20261123T004500Z-k3f9 --deployment pg-0001 --to-latest",
        "journal 20261123T004500Z-k3f9",
        "journal --deployment pg-0001",
        "disks",
        "disks --deployment pg-0001 --all --json",
        "disks release 20261123T004500Z-k3f9 --dry-run",
        "disks release --due --deployment pg-0001 --json",
        "requests --config /tmp/remount.json",
        "errand restore --config /tmp/remount.json",
        "errand backup",
        "errand drill",
        "errand prune",
        "check --wait",
    ] {
        read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "restore --now --deployment pg --to-latest --to-xid 7",
        "restore --now --deployment pg --to-latest --exclusive",
        "restore --now --deployment pg --to-latest --accept-unverified",
        "restore --now --deployment pg --to-latest --verify some",
        "resume",
        "rollback 20261123T004500Z-k3f9 --on-failure hold",
        "restore --now --deployment ../pg --to-latest",
        "restore request --deployment pg --to-time yesterday",
        "list --group postgres",
        "info latest",
        "errand clean",
        "disks release",
        "disks release 20261123T004500Z-k3f9 --due",
        "disks release 20261123T004500Z-k3f9 --deployment pg-0001",
        "disks --all release --due",
        "",
    ] {
        assert!(read(line).is_err(), "`{line}` was understood");
    }
}

#[test]
fn the_configuration_may_be_named_before_and_after_the_command() {
    for line in ["--config /a list", "list --config /a"] {
        assert_eq!(read(line).unwrap().config, Some("/a".into()));
    }
}

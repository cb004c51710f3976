//! `docs/design.md` has the steps that the code has: the same names, in the same order, with numbers in a row.

use remount_flow::{BackupStep, RestoreStep};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/design.md");

/// The number and the name of each step in the table of a section.
fn steps(page: &str, section: &str) -> Vec<(usize, String)> {
    let lines = page.lines().skip_while(|line| *line != section).skip(1);
    let rows = lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
    rows.filter_map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`').to_owned()))
    })
    .collect()
}

fn numbered<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(usize, String)> {
    (1..).zip(names.into_iter().map(str::to_owned)).collect()
}

#[test]
fn the_steps_of_a_restore_are_those_of_the_page() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let ours = ["plan", "preflight"].into_iter().chain(RestoreStep::ALL.map(RestoreStep::as_str));
    assert_eq!(steps(&page, "## 7. Restore"), numbered(ours));
}

#[test]
fn the_steps_of_a_restore_are_those_of_their_module() {
    let module = include_str!("../../src/restore/steps/mod.rs");
    let table = module.lines().filter_map(|line| line.strip_prefix("//! | ")?.split('`').nth(1));
    assert!(table.eq(RestoreStep::ALL.map(RestoreStep::as_str)), "the table at the top of the file");
}

#[test]
fn the_steps_are_numbered_in_their_order_and_the_last_two_go_only_forward() {
    for name in RestoreStep::ALL {
        assert_eq!(RestoreStep::ALL[name as usize], name);
        let serves = [RestoreStep::Rejoin, RestoreStep::Finish].contains(&name);
        assert_eq!(name.only_forward(), serves, "{name}");
    }
}

#[test]
fn the_steps_of_a_backup_are_those_of_the_page() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert_eq!(steps(&page, "## 6. Backup"), numbered(BackupStep::ALL.map(BackupStep::as_str)));
}

#[test]
fn a_step_too_many_is_found() {
    let page = "## 7. Restore\n\n| # | step |\n|---|---|\n| 1 | plan |\n| 2 | `dance` |\n\n## 8. WAL\n\n| 3 | `x` |\n";
    assert_eq!(steps(page, "## 7. Restore"), numbered(["plan", "dance"]));
}

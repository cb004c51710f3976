//! Every public function that can fail says with what: `# Errors` in its documentation. Clippy's lint of that purpose looks
//! at what a library exports, and so at nothing of a program.

use super::Report;
use super::rust_source::RustSource;

/// Crates whose functions all say it.
const CRATES: [&str; 2] = ["remount-agent", "remount-wal"];

/// Checks a file of a package.
pub(super) fn check(package: &str, source: &RustSource, report: &mut Report<'_>) {
    if !CRATES.contains(&package) {
        return;
    }
    for (at, _) in source.code.match_indices("pub ") {
        let Some(name) = fallible(&source.code[at..]) else { continue };
        if !source.is_test(at) && !documentation(&source.text[..at]).any(|line| line.contains("# Errors")) {
            let told = format!("`{name}` can fail: say with what, under `# Errors`");
            report.add(&source.path, source.line_of(at), "errors", told);
        }
    }
}

/// The name of the public function that begins here, where it answers with a `Result`.
fn fallible(code: &str) -> Option<&str> {
    let signature = &code[..code.find(['{', ';'])?];
    let head = signature.strip_prefix("pub ")?;
    let head = head.strip_prefix("const ").or_else(|| head.strip_prefix("async ")).unwrap_or(head);
    let name = head.strip_prefix("fn ")?.split(['(', '<']).next()?;
    let (_, answer) = signature.rsplit_once("->")?;
    answer.trim_start().starts_with("Result").then_some(name)
}

/// The documentation and attributes right above, from the last line up.
fn documentation(before: &str) -> impl Iterator<Item = &str> {
    let lines = before.lines().rev().skip_while(|line| line.trim().is_empty());
    lines.map(str::trim).take_while(|line| line.starts_with("///") || line.starts_with("#["))
}

//! Files and functions have a longest length: a reader keeps one in mind at a time.

use super::Report;
use super::rust_source::{RustSource, matching};

/// Lines of a file, tests not counted.
const FILE_LINES: usize = 600;
/// Lines of code in a function's body, blank lines and comments not counted (as clippy counts).
const FUNCTION_LINES: usize = 70;

/// Measures a file and its functions.
pub(super) fn check(source: &RustSource, report: &mut Report<'_>) {
    let lines = lines_outside_tests(source);
    if lines > FILE_LINES {
        report.add(
            &source.path,
            1,
            "wall",
            format!("{lines} lines without tests; a file ends at {FILE_LINES}"),
        );
    }
    for (at, name) in functions(&source.code).filter(|(at, _)| !source.is_test(*at)) {
        let lines = body_lines(&source.code, at);
        if lines > FUNCTION_LINES {
            let told = format!("`{name}` has {lines} lines; a function ends at {FUNCTION_LINES}");
            report.add(&source.path, source.line_of(at), "wall", told);
        }
    }
}

fn lines_outside_tests(source: &RustSource) -> usize {
    let mut at = 0;
    let mut lines = 0;
    for line in source.text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        lines += usize::from(!source.is_test(at + indent.min(line.len() - 1)));
        at += line.len();
    }
    lines
}

/// Where each function is declared, and its name.
fn functions(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices("fn ").filter_map(|(at, _)| {
        let before = code[..at].chars().next_back();
        let name = code[at + 3..].split(['(', '<', ' ']).next()?;
        let declares = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        (declares && !name.is_empty()).then_some((at, name))
    })
}

/// The lines with code between a function's braces; 0 where it has no body.
fn body_lines(code: &str, at: usize) -> usize {
    let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else {
        return 0;
    };
    if code.as_bytes()[open] == b';' && !code[at..open].contains('[') {
        return 0;
    }
    let end = matching(code, open).unwrap_or(code.len());
    code[open..end].lines().skip(1).filter(|line| !line.trim().is_empty()).count().saturating_sub(1)
}

//! What is half done, or hides a failure.

use super::Report;
use super::rust_source::RustSource;

/// Never in code that is committed: what is searched for, and why it is refused.
const NEVER: [(&str, &str); 4] = [
    ("todo!", "is half done"),
    ("dbg!", "is a forgotten print"),
    ("#[ignore", "a test that does not run proves nothing"),
    ("#[should_panic", "say which error is expected, and where"),
];

/// Not in code that runs for an operator.
const NOT_OUTSIDE_TESTS: [(&str, &str); 4] = [
    (".unwrap()", "handle the error, or `expect` with the reason why there is none"),
    (".unwrap_err()", "match the error"),
    ("unimplemented!", "is half done"),
    ("error:% = error", "its causes are lost: `with_causes(&error)`"),
];

/// Notes to oneself.
const NOTES: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Searches a file.
pub(super) fn check(source: &RustSource, report: &mut Report<'_>) {
    let mut found = |pattern: &str, why: &str, also_in_tests: bool| {
        for (at, _) in source.code.match_indices(pattern) {
            let in_word = source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !in_word && (also_in_tests || !source.is_test(at)) {
                report.add(&source.path, source.line_of(at), "smell", format!("`{pattern}`: {why}"));
            }
        }
    };
    for (pattern, why) in NEVER {
        found(pattern, why, true);
    }
    for (pattern, why) in NOT_OUTSIDE_TESTS {
        found(pattern, why, false);
    }
    check_notes(source, report);
}

/// A note needs the number of an issue, or nobody will ever read it again.
fn check_notes(source: &RustSource, report: &mut Report<'_>) {
    for (index, line) in source.comments.lines().enumerate() {
        let note = NOTES.iter().find_map(|note| Some((note, unquoted(line, note)?)));
        if let Some((note, _)) = note.filter(|(_, after)| !names_an_issue(after)) {
            report.add(&source.path, index + 1, "smell", format!("`{note}` without the number of an issue"));
        }
    }
}

/// What follows the word, where it stands alone: in backticks it is spoken of, not meant.
fn unquoted<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(word)?;
    let alone = |c: char| c.is_alphanumeric() || matches!(c, '_' | '`');
    (!before.ends_with(alone) && !after.starts_with(alone)).then_some(after)
}

fn names_an_issue(text: &str) -> bool {
    let numbered = |mark: &str| {
        let mut behind = text.split(mark).skip(1);
        behind.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    numbered("#") || numbered("issue ")
}

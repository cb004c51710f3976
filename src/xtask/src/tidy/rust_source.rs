//! Rust files as text in which code, comments and literals can be told apart.
//!
//! Clippy sees the code after macros; this sees what was written, in macros' arguments too.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{entries, name_of};

/// Files and folders with these names are tests: a contract suite is one that other crates run too.
const SUITES: [&str; 3] = ["benches", "contract", "tests"];

/// A Rust file.
pub(super) struct RustSource {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// `text` with blanks in place of comments and of what stands in literals, byte by byte.
    pub(super) code: String,
    /// `text` with blanks in place of everything but comments, byte by byte.
    pub(super) comments: String,
    /// The byte ranges that are compiled for tests alone.
    tests: Vec<Range<usize>>,
}

impl RustSource {
    /// The file with this text.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let (code, comments) = split(&text);
        let is_suite = |part: &std::path::Component<'_>| {
            Path::new(part).file_stem().is_some_and(|stem| SUITES.iter().any(|suite| stem == *suite))
        };
        let mut tests = test_items(&code);
        tests.extend(path.components().any(|part| is_suite(&part)).then_some(0..text.len()));
        Self { path, text, code, comments, tests }
    }

    /// The line of a byte, from 1.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Whether the byte is compiled for tests alone.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// The files of the modules that are declared for tests alone (`#[cfg(test)] mod proofs;`).
    fn test_modules(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let folder = match self.path.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "main" | "mod") | None => folder,
            Some(stem) => folder.join(stem),
        };
        let declared = self.tests.iter().filter_map(|range| {
            let declaration = self.code[range.clone()].trim_end().strip_suffix(';')?;
            let (_, name) = declaration.rsplit_once("mod ")?;
            Some(name.trim().to_owned())
        });
        declared.map(move |name| folder.join(name))
    }
}

/// Every Rust file of a package.
pub(super) fn of_package(folder: &Path) -> Result<Vec<RustSource>> {
    let mut paths = Vec::new();
    for below in ["src", "tests", "benches"] {
        collect(&folder.join(below), &mut paths)?;
    }
    let mut sources = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        sources.push(RustSource::new(path, text));
    }
    let modules: BTreeSet<PathBuf> = sources.iter().flat_map(RustSource::test_modules).collect();
    for source in &mut sources {
        let stem = source.path.with_extension("");
        if modules.iter().any(|module| stem.starts_with(module)) {
            source.tests.push(0..source.text.len());
        }
    }
    Ok(sources)
}

/// Links are not followed: what they lead to is checked where it lies, and they could lead in circles.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths)?;
        } else if name_of(&path).ends_with(".rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// What a stretch of Rust is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stretch {
    Code,
    Comment,
    Literal,
}

/// The code alone and the comments alone, each as long as the text and with the same lines.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let mut rest = text;
    while !rest.is_empty() {
        let (part, length) = next_part(rest, code.chars().next_back());
        let (piece, after) = rest.split_at(length);
        for character in piece.chars() {
            let blank = || if character == '\n' { "\n".to_owned() } else { " ".repeat(character.len_utf8()) };
            let own = || character.to_string();
            code.push_str(&if part == Stretch::Code { own() } else { blank() });
            comments.push_str(&if part == Stretch::Comment { own() } else { blank() });
        }
        rest = after;
    }
    (code, comments)
}

/// What the text begins with and how long that is; at least one character.
fn next_part(rest: &str, before: Option<char>) -> (Stretch, usize) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        return (Stretch::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Stretch::Comment, block_comment(rest));
    }
    let raw = rest.trim_start_matches(['b', 'c']);
    if !in_word
        && raw.starts_with('r')
        && rest.len() - raw.len() <= 1
        && let Some(length) = raw_string(&raw[1..])
    {
        return (Stretch::Literal, rest.len() - raw.len() + 1 + length);
    }
    match rest.as_bytes()[0] {
        b'"' => (Stretch::Literal, quoted(rest, '"')),
        b'\'' => character(rest).map_or((Stretch::Code, first), |length| (Stretch::Literal, length)),
        _ => (Stretch::Code, first),
    }
}

/// The length of a block comment: they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        match here {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of `#"…"#` with any number of `#`; none where it is no raw string.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let content = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(content.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// The length of a literal up to its unescaped closing quote.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; none for a lifetime or a label.
fn character(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

/// The items behind `#[cfg(test)]` and `#[test]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices("#[") {
        let attribute = &code[at..attribute_end(code, at)];
        let plain: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
        let is_test =
            plain.starts_with("#[cfg(test)") || plain.starts_with("#[cfg(all(test,") || plain == "#[test]";
        let is_inside = items.last().is_some_and(|item| item.contains(&at));
        if is_test && !is_inside {
            items.push(at..item_end(code, at + attribute.len()));
        }
    }
    items
}

fn attribute_end(code: &str, at: usize) -> usize {
    matching(code, at + 1).unwrap_or(code.len())
}

/// The end of the item that begins here, its other attributes included.
fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'{' => return matching(code, at).unwrap_or(code.len()),
            b';' => return at + 1,
            b'(' | b'[' => at = matching(code, at).unwrap_or(code.len()),
            _ => at += 1,
        }
    }
    code.len()
}

/// The end of the bracketed stretch that opens at `at`.
pub(super) fn matching(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes().get(at..)?.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at + offset + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> String {
        RustSource::new("src/x.rs".into(), text.into()).code
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "let a = \"x // { \\\" \"; /* a /* b */ c */ let c = '{'; // end {\nlet d: &'a str = r#\"{\"}\"#;";
        let code = code_of(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains(['{', '}', 'x']) && !code.contains("end"), "{code}");
        assert!(code.contains("let c = ") && code.contains("&'a str"), "{code}");
    }

    #[test]
    fn escaped_quotes_end_nothing() {
        assert!(code_of("let a = '\\''; let b = b'\"'; let c = \"\\\\\"; unwrap").ends_with("; unwrap"));
        assert!(code_of("let r = b\"{\"; fn for_r(\"}\") {}").ends_with(") {}"));
    }

    #[test]
    fn test_items_are_found_with_their_attributes() {
        let text = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod b { fn c() {} }\nfn d() {}\n#[cfg(test)]\nmod e;\n";
        let source = RustSource::new("src/x.rs".into(), text.into());
        let is_test = |word: &str| source.is_test(text.find(word).unwrap());
        assert!(
            !is_test("fn a") && is_test("mod b") && is_test("fn c") && !is_test("fn d") && is_test("mod e")
        );
        assert_eq!(source.test_modules().collect::<Vec<_>>(), [PathBuf::from("src/x/e")]);
    }

    #[test]
    fn code_that_is_not_for_tests_is_none() {
        let source = RustSource::new("src/x.rs".into(), "#[cfg(not(test))]\nfn a() {}".into());
        assert!(!source.is_test(20));
    }
}

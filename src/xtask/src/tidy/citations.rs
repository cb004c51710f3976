//! A page that a comment, a message or another page cites is in the repository, and so is the section.
//!
//! | cited as | checked |
//! |---|---|
//! | `docs/x.md`, `x.md` beside the file | the page exists, from the top or from the file's own folder |
//! | `docs/x.md#anchor` | a heading of the page has this anchor |
//! | `docs/x.md` section 7, sections 1, 2 and 3.1 | headings of the page have these numbers |
//! | `docs/x.md`, section Name; `docs/x.md`, "Name" | a heading of the page begins with this name |
//! | what is listed in [`OUTSIDE`] | always refused: no clone of the repository has it |

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::Report;
use super::texts::{Line, Text};

/// Names of pages that were never in the repository, and what to cite instead.
const OUTSIDE: [(&str, &str); 2] = [("DESIGN", "docs/design.md"), ("/work/", "a page of the repository")];

/// Files that cite pages which are not there on purpose: they show that this is found.
const PLANTED: [&str; 3] =
    ["spec/docs_spec.rb", "src/xtask/src/tidy/citations.rs", "src/xtask/src/tidy/planted.rs"];

const RULE: &str = "citation";

/// Checks every citation of the repository.
pub(super) fn check(root: &Path, texts: &[Text], report: &mut Report<'_>) {
    let pages: BTreeMap<&str, Page> = texts
        .iter()
        .filter(|text| text.name.ends_with(".md"))
        .map(|text| (text.name.as_str(), Page::of(text)))
        .collect();
    for text in texts.iter().filter(|text| !PLANTED.contains(&text.name.as_str())) {
        for line in text.lines() {
            for (word, instead) in OUTSIDE {
                if is_named(line.text, word) {
                    let told = format!("`{word}` is not in the repository: cite {instead}");
                    report.add(&text.path, line.number, RULE, told);
                }
            }
            for (cited, after) in citations(&line) {
                if !cited.contains('/') && is_code(&text.name, line.text) {
                    continue; // A part of a path, or the name of a file that is written.
                }
                if let Some(problem) = problem(root, text, &pages, cited, &line.rest(after)) {
                    report.add(&text.path, line.number, RULE, problem);
                }
            }
        }
    }
}

/// Whether the line is code: a page is cited there with its folder.
fn is_code(name: &str, line: &str) -> bool {
    [".rb", ".rs"].iter().any(|ending| name.ends_with(ending)) && !line.trim_start().starts_with(['#', '/'])
}

/// The headings of a page.
struct Page {
    headings: Vec<String>,
}

impl Page {
    fn of(text: &Text) -> Self {
        let mut is_block = false;
        let mut headings = Vec::new();
        for line in text.content.lines() {
            is_block ^= line.trim_start().starts_with("```");
            if line.starts_with('#') && !is_block {
                headings.push(line.trim_start_matches('#').trim().to_owned());
            }
        }
        Self { headings }
    }

    fn has_anchor(&self, anchor: &str) -> bool {
        self.headings.iter().any(|heading| slug(heading) == anchor)
    }

    fn has_number(&self, number: &str) -> bool {
        let is_it = |heading: &String| {
            heading.split([' ', ':']).next().is_some_and(|n| n.trim_end_matches('.') == number)
        };
        self.headings.iter().any(is_it)
    }

    fn is_begun_by(&self, text: &str) -> bool {
        self.headings.iter().any(|heading| text.starts_with(heading.as_str()))
    }
}

/// A heading's anchor, as GitHub makes it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// The pages that a line names, and where each name ends. Left out: patterns, addresses, absolute paths.
fn citations<'a>(line: &Line<'a>) -> Vec<(&'a str, usize)> {
    let text = line.text;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md") {
        let end = at + ".md".len();
        if text[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let start = text[..at]
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
        let (name, before) = (&text[start..end], text[..start].chars().next_back());
        let is_part = before.is_some_and(|c| matches!(c, '*' | '}' | '>' | '…' | '$' | ')' | ':' | '~'));
        if !is_part && !name.starts_with(['/', '.', '-']) || name.starts_with("../") {
            found.push((name, end));
        }
    }
    found
}

/// What is wrong with a citation; none where it leads somewhere.
fn problem(
    root: &Path,
    text: &Text,
    pages: &BTreeMap<&str, Page>,
    cited: &str,
    rest: &str,
) -> Option<String> {
    let beside = Path::new(&text.name).parent().unwrap_or(Path::new("")).join(cited);
    let places = [normal(Path::new(cited)), normal(&beside)];
    let Some(place) = places.into_iter().find(|place| root.join(place).is_file()) else {
        return Some(format!("there is no page `{cited}`"));
    };
    let page = pages.get(place.to_str()?)?;
    if let Some(anchor) = rest.strip_prefix('#') {
        let anchor = anchor.split([')', '`', '"', ' ']).next().unwrap_or_default();
        return (!page.has_anchor(anchor)).then(|| format!("`{cited}` has no section `#{anchor}`"));
    }
    let quoted = rest
        .trim_start_matches('`')
        .strip_prefix(", \"")
        .filter(|title| title.starts_with(char::is_uppercase));
    if let Some(title) = quoted.and_then(|rest| rest.split('"').next()) {
        return (!page.is_begun_by(title)).then(|| format!("`{cited}` has no section \"{title}\""));
    }
    let rest = rest.trim_start_matches(['`', ',', ' ']);
    let named = rest.strip_prefix("sections ").or_else(|| rest.strip_prefix("section "))?;
    if named.starts_with(|c: char| c.is_ascii_digit()) {
        let missing = numbers(named).into_iter().find(|number| !page.has_number(number))?;
        return Some(format!("`{cited}` has no section {missing}"));
    }
    let is_title = named.starts_with(char::is_uppercase);
    let words: Vec<&str> = named.split_whitespace().take(4).collect();
    (is_title && !page.is_begun_by(named)).then(|| format!("`{cited}` has no section {}", words.join(" ")))
}

/// `0, 4 and 5.1` at the beginning of a text.
fn numbers(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        found.push(rest[..end].trim_end_matches('.'));
        let after = rest[end..].trim_start_matches(',').trim_start();
        let after = after.strip_prefix("and ").or_else(|| after.strip_prefix("to ")).unwrap_or(after);
        if rest[end..].is_empty() || !after.starts_with(|c: char| c.is_ascii_digit()) {
            return found;
        }
        rest = after;
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}

/// Whether the line has the word, not as a part of a longer one.
fn is_named(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_longer = word.ends_with(is_word) && line[at + word.len()..].starts_with(is_word);
        !is_longer && !line[..at].ends_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_patterns_and_addresses() {
        let names = |text| {
            let line = Line { number: 1, text, next: "" };
            citations(&line).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("see `docs/a.md`, ../b.md and c.md."), ["docs/a.md", "../b.md", "c.md"]);
        assert_eq!(names("errands/*/R.md https://h/x.md /etc/y.md #{name}.md <d>/z.md a.mdx"), [""; 0]);
    }

    #[test]
    fn several_sections_are_read_one_by_one() {
        assert_eq!(numbers("0, 4 and 5.1)."), ["0", "4", "5.1"]);
        assert_eq!(numbers("7."), ["7"]);
        assert_eq!(numbers("7, and 3 more"), ["7", "3"]);
    }

    #[test]
    fn an_anchor_is_made_as_github_makes_it() {
        assert_eq!(slug("`… is not a mount point`: why"), "-is-not-a-mount-point-why");
        assert_eq!(slug("By hand"), "by-hand");
    }
}

//! Every text file of the repository: pages, sources, templates, scripts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{entries, name_of};

/// The folders and files at the top that hold text of ours.
const PLACES: [&str; 11] = [
    "README.md",
    "ci",
    "config",
    "docs",
    "errands",
    "jobs",
    "manifests",
    "packages",
    "scripts",
    "spec",
    "src",
];

/// Written by tools, not by us.
const GENERATED: [&str; 2] = ["Cargo.lock", "spec.lock"];

/// A text file.
pub(super) struct Text {
    pub(super) path: PathBuf,
    /// Its path below the top.
    pub(super) name: String,
    pub(super) content: String,
}

impl Text {
    /// Its lines, each with the one after it: a sentence of a comment goes on there.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut lines = self.content.lines().enumerate().peekable();
        std::iter::from_fn(move || {
            let (index, text) = lines.next()?;
            let next = lines.peek().map_or("", |(_, next)| plain(next));
            Some(Line { number: index + 1, text, next })
        })
    }
}

/// A line of a text.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// The next line, without what makes it a comment.
    pub(super) next: &'a str,
}

impl Line<'_> {
    /// The rest of the line from a byte on, and the next line.
    pub(super) fn rest(&self, at: usize) -> String {
        format!("{} {}", self.text[at..].trim_end_matches([' ', '\\']), self.next)
    }
}

/// Every text file, sorted by path. Links are not followed: what they lead to is read where it lies.
pub(super) fn of_repository(root: &Path) -> Result<Vec<Text>> {
    let mut paths = Vec::new();
    for place in PLACES {
        collect(&root.join(place), &mut paths)?;
    }
    let mut texts = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let Ok(content) = String::from_utf8(bytes) else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        texts.push(Text { path, name, content });
    }
    texts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(texts)
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_symlink() || GENERATED.contains(&name_of(path)) {
        return Ok(());
    }
    if path.is_dir() {
        entries(path)?.iter().try_for_each(|entry| collect(entry, paths))?;
    } else if path.is_file() {
        paths.push(path.to_owned());
    }
    Ok(())
}

fn plain(line: &str) -> &str {
    line.trim_start()
        .trim_start_matches("//!")
        .trim_start_matches('/')
        .trim_start_matches(['#', '*', '>'])
        .trim_start()
}

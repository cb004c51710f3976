//! Jobs and errands: the two folders agree, and every property says what it is.

use std::path::Path;

use anyhow::Result;

use super::{Report, entries, name_of, read};

/// Checks `errands/` against `jobs/`, and the properties of every job.
pub(super) fn check(root: &Path, report: &mut Report<'_>) -> Result<()> {
    for errand in entries(&root.join("errands"))? {
        check_errand(root, &errand, report);
    }
    for job in entries(&root.join("jobs"))? {
        check_link(root, &job, report);
        let spec = job.join("spec");
        match read(&spec)? {
            Some(text) => check_properties(&spec, &text, report),
            None => report.add(&job, 1, "errand", "a job without a `spec`"),
        }
    }
    Ok(())
}

/// An errand is a job: the release is built from `jobs/`, which links to it.
fn check_errand(root: &Path, errand: &Path, report: &mut Report<'_>) {
    let name = name_of(errand);
    let target = Path::new("../errands").join(name);
    if std::fs::read_link(root.join("jobs").join(name)).ok() != Some(target) {
        report.add(errand, 1, "errand", format!("`jobs/{name}` has to be a link to `../errands/{name}`"));
    }
    if !errand.join("README.md").is_file() {
        report.add(errand, 1, "errand", "an errand without a runbook (`README.md`)");
    }
}

fn check_link(root: &Path, job: &Path, report: &mut Report<'_>) {
    let Ok(target) = std::fs::read_link(job) else {
        return;
    };
    let name = name_of(job);
    if target != Path::new("../errands").join(name) || !root.join("errands").join(name).is_dir() {
        report.add(
            job,
            1,
            "errand",
            format!("`jobs/{name}` links to `{}`, which is no errand", target.display()),
        );
    }
}

/// A property's text is the operator's user interface.
fn check_properties(spec: &Path, text: &str, report: &mut Report<'_>) {
    let mut properties: Vec<(usize, &str, bool)> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        let indent = line.len() - line.trim_start().len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if indent == 0 {
            inside = content == "properties:";
        } else if inside && indent == 2 {
            properties.push((index + 1, content.trim_end_matches(':'), describes_inline(content)));
        } else if inside && indent == 4 {
            let described = content.strip_prefix("description:").is_some_and(|text| !text.trim().is_empty());
            if let (true, Some(property)) = (described, properties.last_mut()) {
                property.2 = true;
            }
        }
    }
    for (line, name, _) in properties.into_iter().filter(|(_, _, described)| !described) {
        report.add(spec, line, "property", format!("`{name}` has no description"));
    }
}

/// `name: {description: …, default: …}` on one line.
fn describes_inline(property: &str) -> bool {
    property.split_once("description:").is_some_and(|(_, text)| !text.trim_matches([' ', '}']).is_empty())
}

//! One rule of a script: which requests it is for, how often it acts, and what then goes wrong.

use serde_json::Value;

use crate::fault::Fault;
use crate::fields::Fields;

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The method it is for; none for all.
    pub method: Option<String>,
    /// The path it is for, without query; `*` stands for any text, slashes too. None for all.
    pub path: Option<String>,
    /// How many requests of its kind pass before it acts.
    pub after: u64,
    /// How many times it acts.
    pub times: u64,
    /// How likely it acts, each time; above 0, at most 1.
    pub probability: f64,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// Reads a rule; none where something is wrong with it, which is then among the problems.
    pub(crate) fn read(value: Value, place: &str, problems: &mut Vec<String>) -> Option<Self> {
        let mut fields = Fields::of(value, place, problems);
        let method: Option<String> = fields.take("method");
        let path: Option<String> = fields.take("path");
        let after = fields.take("after").unwrap_or(0);
        let times = fields.take("times").unwrap_or(1);
        let probability = fields.take("probability").unwrap_or(1.0);
        let fault: Option<Value> = fields.demand("fault");
        fields.check(method.as_deref().map(is_method), "`method` is written in capitals, as PUT");
        fields.check(
            path.as_deref().map(|path| path.starts_with(['/', '*']) && !path.contains('?')),
            "`path` begins with `/` or `*` and has no query",
        );
        fields.check(Some(times > 0), "`times` has to be at least 1");
        fields.check(
            Some(probability > 0.0 && probability <= 1.0),
            "`probability` has to be above 0 and at most 1",
        );
        fields.finish();
        let fault = Fault::read(fault?, place, problems)?;
        Some(Self { method, path, after, times, probability, fault })
    }

    /// Whether the rule is for such requests at all.
    #[must_use]
    pub fn is_for(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.path.as_deref().is_none_or(|pattern| matches(pattern, path))
    }
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// Whether the pattern covers the whole text. Each part between two stars is looked for as early as
/// possible, which is enough: what follows has then the most room.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text_and_the_rest_for_itself() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "/a/b"),
            ("/a", "/a"),
            ("/a*", "/a/b/c"),
            ("*/c", "/a/b/c"),
            ("/deployments/*/instance_groups/*", "/deployments/pg/instance_groups/db/1/actions/stop"),
            ("/a*a*a", "/aaa"),
            ("**", "/x"),
            ("/ä*ö", "/ä--ö"),
        ] {
            assert!(matches(pattern, text), "{pattern} is for {text}");
        }
        for (pattern, text) in [
            ("/a", "/ab"),
            ("/a*b", "/a"),
            ("/ab*ba", "/aba"),
            ("/a*b*c", "/a/c/b"),
            ("", "/"),
            ("/a*a*a", "/aa"),
        ] {
            assert!(!matches(pattern, text), "{pattern} is not for {text}");
        }
    }
}

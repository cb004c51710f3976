//! The script: a JSON list of rules, tried in order.
//!
//! ```json
//! [{"method": "PUT", "path": "/deployments/*/instance_groups/*", "after": 1, "times": 2, "probability": 0.5,
//!   "fault": {"kind": "delay", "milliseconds": 500, "jitter_milliseconds": 100}}]
//! ```
//!
//! | kind | its fields (those with a default in brackets) |
//! |---|---|
//! | `delay` | `milliseconds`, `[jitter_milliseconds]` |
//! | `drop_before`, `drop_after`, `duplicate` | |
//! | `throttle` | `[status]` (503), `[retry_after_seconds]` (1); or `bytes_per_second` alone |
//! | `cut` | `bytes` |
//! | `status` | `status`, `[body]`, `[content_type]`, `[upstream]`: `never` (asked) or `first` |
//!
//! Of a rule only `fault` must be there: it acts on every method and path, from the first request on
//! (`after` 0), once (`times` 1), for certain (`probability` 1).

use std::path::Path;

use serde_json::Value;

use crate::error::ProxyError;
use crate::rule::Rule;

/// More rules are a mistake of whatever wrote them.
const RULES_MAX: usize = 1000;

/// A script whose every rule can be carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    rules: Vec<Rule>,
}

/// Everything that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; fix the script and start again", problems.join("; "))]
pub struct ScriptError {
    /// One sentence each, beginning with the number of the rule, counted from 1.
    pub problems: Vec<String>,
}

impl Script {
    /// Reads a script from a file.
    ///
    /// # Errors
    /// [`ProxyError::Script`] and [`ProxyError::File`].
    pub fn read(path: &Path) -> Result<Self, ProxyError> {
        let text = std::fs::read_to_string(path).map_err(ProxyError::file("script", path))?;
        text.parse().map_err(|source| ProxyError::Script { path: path.to_owned(), source })
    }

    /// Reads a script.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn from_json(script: Value) -> Result<Self, ScriptError> {
        let Value::Array(list) = script else {
            return Err(ScriptError { problems: vec!["the script is not a list of rules".into()] });
        };
        let mut problems = Vec::new();
        if list.len() > RULES_MAX {
            problems.push(format!("the script has {} rules; {RULES_MAX} are the most", list.len()));
        }
        let mut read = |(index, value)| Rule::read(value, &format!("rule {}", index + 1), &mut problems);
        let rules = list.into_iter().enumerate().filter_map(&mut read).collect();
        if problems.is_empty() { Ok(Self { rules }) } else { Err(ScriptError { problems }) }
    }

    /// Its rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl std::str::FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let script = serde_json::from_str(text)
            .map_err(|error| ScriptError { problems: vec![format!("the script is not JSON: {error}")] })?;
        Self::from_json(script)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{AskedUpstream, Fault};

    fn only_fault(fault: Value) -> Fault {
        let script = Script::from_json(json!([{ "fault": fault }])).unwrap();
        script.rules()[0].fault.clone()
    }

    #[test]
    fn every_problem_is_told_at_once_with_the_number_of_its_rule() {
        let script = json!([
            {"fault": {"kind": "drop_before"}},
            {"method": "put", "path": "a?b", "times": 0, "probability": 2, "speed": 1, "fault": {"kind": "cut"}},
            "rule",
            {"after": -1, "fault": {"kind": "explode", "bytes": 1}},
            {"fault": {"kind": "throttle", "status": 500, "bytes_per_second": 0, "colour": "red"}},
            {"fault": {"kind": "delay", "milliseconds": 10_000_000}},
            {"fault": {"kind": "status", "status": 100, "content_type": "a\nb", "upstream": "maybe"}},
        ]);
        let problems = Script::from_json(script).unwrap_err().problems;
        let told =
            |number: usize| problems.iter().filter(|p| p.starts_with(&format!("rule {number}:"))).count();
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(told), [0, 6, 2, 2, 4, 1, 3], "{problems:#?}");
    }

    #[test]
    fn what_is_no_list_of_rules_is_refused() {
        for text in ["{}", "", "[1"] {
            assert_eq!(text.parse::<Script>().unwrap_err().problems.len(), 1, "{text}");
        }
        assert!("[]".parse::<Script>().unwrap().rules().is_empty());
    }

    #[test]
    fn a_rule_says_little_where_the_defaults_will_do() {
        let script = Script::from_json(json!([{"fault": {"kind": "duplicate"}}])).unwrap();
        let fault = Fault::Duplicate;
        let rule = Rule { method: None, path: None, after: 0, times: 1, probability: 1.0, fault };
        assert_eq!(script.rules(), [rule]);
        assert_eq!(
            only_fault(json!({"kind": "throttle"})),
            Fault::Refuse { status: 503, retry_after_seconds: 1 }
        );
        assert_eq!(
            only_fault(json!({"kind": "delay", "milliseconds": 5})),
            Fault::Delay { least: Duration::from_millis(5), jitter: Duration::ZERO }
        );
        let status = only_fault(json!({"kind": "status", "status": 404}));
        assert!(matches!(status, Fault::Status { status: 404, upstream: AskedUpstream::Never, .. }));
    }
}

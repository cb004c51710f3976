//! Which fault a request meets: the script's rules in order, and one seeded generator.
//!
//! | of a rule | is counted |
//! |---|---|
//! | `after` | every request that it is for, whichever rule acts on it |
//! | `times` | the requests that it acted on |
//!
//! The same seed and the same sequence of requests give the same faults. Requests that come at the same
//! time have no sequence: for those only the rules without a probability or a jitter are certain.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::fault::Fault;
use crate::rule::Rule;
use crate::script::Script;

/// The script on its way.
#[derive(Debug)]
pub(crate) struct Choice {
    rules: Vec<Progress>,
    random: StdRng,
    requests: u64,
}

/// A rule and what it has seen.
#[derive(Debug)]
struct Progress {
    rule: Rule,
    seen: u64,
    acted: u64,
}

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    /// The request's number, from 1.
    pub(crate) request: u64,
    /// The rule that acts, from 1, and its fault with the jitter settled.
    pub(crate) act: Option<(usize, Fault)>,
}

impl Choice {
    pub(crate) fn new(script: Script, seed: u64) -> Self {
        let progress = |rule: &Rule| Progress { rule: rule.clone(), seen: 0, acted: 0 };
        let rules = script.rules().iter().map(progress).collect();
        Self { rules, random: StdRng::seed_from_u64(seed), requests: 0 }
    }

    /// Counts a request and settles what becomes of it.
    pub(crate) fn of(&mut self, method: &str, path: &str) -> Chosen {
        self.requests += 1;
        let mut act = None;
        for (index, progress) in self.rules.iter_mut().enumerate() {
            if !progress.rule.is_for(method, path) {
                continue;
            }
            progress.seen += 1;
            if act.is_none() && progress.acts(&mut self.random) {
                progress.acted += 1;
                act = Some((index + 1, settled(&progress.rule.fault, &mut self.random)));
            }
        }
        Chosen { request: self.requests, act }
    }
}

impl Progress {
    fn acts(&self, random: &mut StdRng) -> bool {
        let due = self.seen > self.rule.after && self.acted < self.rule.times;
        // A certain rule draws nothing: adding one does not change what the seed does to the others.
        due && (self.rule.probability >= 1.0 || random.random_bool(self.rule.probability))
    }
}

/// The fault with its jitter drawn.
fn settled(fault: &Fault, random: &mut StdRng) -> Fault {
    match fault {
        Fault::Delay { least, jitter } if !jitter.is_zero() => {
            let most = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
            let more = Duration::from_millis(random.random_range(0..=most));
            Fault::Delay { least: *least + more, jitter: Duration::ZERO }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn choice(script: Value, seed: u64) -> Choice {
        Choice::new(Script::from_json(script).unwrap(), seed)
    }

    fn rules(choice: &mut Choice, paths: &[&str]) -> Vec<usize> {
        paths.iter().map(|path| choice.of("GET", path).act.map_or(0, |(rule, _)| rule)).collect()
    }

    #[test]
    fn the_first_rule_that_is_not_used_up_acts_and_every_rule_counts() {
        let mut choice = choice(
            json!([
                {"path": "/a*", "fault": {"kind": "drop_before"}},
                {"path": "/a*", "after": 1, "times": 2, "fault": {"kind": "drop_after"}},
                {"path": "/b", "fault": {"kind": "duplicate"}},
                {"method": "PUT", "fault": {"kind": "duplicate"}},
            ]),
            1,
        );
        assert_eq!(rules(&mut choice, &["/a", "/a", "/b", "/ab", "/a", "/b"]), [1, 2, 3, 2, 0, 0]);
        assert_eq!(choice.of("PUT", "/b").request, 7);
    }

    #[test]
    fn a_seed_repeats_itself_and_another_one_differs() {
        let script = json!([
            {"times": 1000, "probability": 0.3, "fault": {"kind": "drop_before"}},
            {"times": 1000, "probability": 0.5,
             "fault": {"kind": "delay", "milliseconds": 10, "jitter_milliseconds": 1000}},
        ]);
        let run = |seed| {
            let mut choice = choice(script.clone(), seed);
            (0..200).map(|_| choice.of("GET", "/")).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let dropped = run(7).iter().filter(|c| matches!(c.act, Some((1, _)))).count();
        assert!((30..90).contains(&dropped), "{dropped} of 200 are not about 0.3");
    }
}

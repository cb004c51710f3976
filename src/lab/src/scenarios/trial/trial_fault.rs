//! What goes wrong while a restore is on its way.

use std::time::Duration;

use serde_json::json;

use super::dice::Dice;

/// One fault, and when it comes after the restore's begin.
#[derive(Clone, Debug)]
pub enum TrialFault {
    /// Nothing.
    None,
    /// The process is killed.
    Kill(Duration),
    /// Somebody asks it to stop.
    Abort(Duration),
    /// A command that makes it, when, and the one that ends it, after how long.
    Between { begin: Vec<String>, at: Duration, end: Vec<String>, lasts: Duration },
    /// A line for a shell on an instance, when, and one that ends it after the restore.
    Shell { instance: String, line: String, at: Duration, after: Option<String> },
}

const NO_TIME: Duration = Duration::ZERO;
/// A restore in the lab is over by then.
const RESTORE: Duration = Duration::from_secs(12);
/// A disk without room, for everybody but its owner.
const FILL: &str = "fallocate -l $(df --output=avail -B1 /var/vcap/store | tail -1) /var/vcap/store/trial-fill; \
    dd if=/dev/zero of=/var/vcap/store/trial-fill2 bs=64k count=20000 2>/dev/null; true";
const EMPTY: &str = "rm -f /var/vcap/store/trial-fill /var/vcap/store/trial-fill2";
/// As the kernel does where memory is short.
pub const KILL_POSTMASTER: &str = "kill -9 $(head -1 /var/vcap/store/postgres/data/postmaster.pid)";

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

impl TrialFault {
    pub fn thrown(dice: &mut Dice, deployment: &str) -> Self {
        let at = dice.between(Duration::from_millis(200), RESTORE);
        let lasts = dice.between(Duration::from_secs(1), Duration::from_secs(6));
        let instance = format!("{deployment}/postgres/{}", dice.below(2));
        match dice.below(10) {
            0..=2 => Self::Kill(at),
            3 => Self::Abort(at),
            4 | 5 => Self::director(dice),
            6 => Self::Between {
                begin: words(&["break", "store"]),
                at,
                end: words(&["break", "store", "--mend"]),
                lasts,
            },
            7 => Self::Between {
                begin: words(&["break", "agent", &instance]),
                at,
                end: words(&["break", "agent", &instance, "--mend"]),
                lasts,
            },
            8 => Self::Shell { instance, line: KILL_POSTMASTER.into(), at, after: None },
            _ => Self::Shell { instance, line: FILL.into(), at: NO_TIME, after: Some(EMPTY.into()) },
        }
    }

    fn director(dice: &mut Dice) -> Self {
        const FAULTS: [(&str, &str); 14] = [
            ("attach", "fail_before"),
            ("attach", "fail_midway"),
            ("attach", "fail_after"),
            ("attach", "lose_request"),
            ("attach", "lose_answer"),
            ("stop", "fail_before"),
            ("stop", "fail_after"),
            ("stop", "lose_answer"),
            ("start", "fail_before"),
            ("start", "fail_after"),
            ("start", "lose_request"),
            ("start", "lose_answer"),
            ("read_task", "lose_answer"),
            ("instances", "lose_answer"),
        ];
        let (on, kind) = dice.choose(&FAULTS).copied().unwrap_or(FAULTS[0]);
        let ordered = json!({"on": on, "kind": kind, "times": 1 + dice.below(2), "skip": dice.below(2)});
        Self::Between {
            begin: vec!["break".into(), "director".into(), ordered.to_string()],
            at: NO_TIME,
            end: words(&["break", "mend"]),
            lasts: Duration::from_secs(120),
        }
    }
}

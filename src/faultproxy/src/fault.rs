//! What can go wrong with one request, as the script says it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::fields::Fields;

/// No fault holds a request back for longer: clients give up long before.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The kinds, in the words of a script.
const KINDS: &str = "delay, drop_before, drop_after, duplicate, throttle, cut, status";

/// Whether the upstream is asked although its answer is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedUpstream {
    /// It is not asked: the request has no effect.
    #[default]
    Never,
    /// It is asked first: the request has its effect.
    First,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is passed on later.
    Delay {
        /// At least this much.
        least: Duration,
        /// And up to this much more, as the seed wills.
        jitter: Duration,
    },
    /// The upstream is never asked, the connection is closed without an answer.
    DropBefore,
    /// The upstream has acted, the connection is closed without an answer.
    DropAfter,
    /// The upstream is asked twice, one after the other; its second answer counts.
    Duplicate,
    /// The client is sent away; the upstream is not asked.
    Refuse {
        /// 429 or 503, as clouds say it.
        status: u16,
        /// What `Retry-After` says.
        retry_after_seconds: u64,
    },
    /// The answer's body comes slowly.
    Slow {
        /// How slowly.
        bytes_per_second: u64,
    },
    /// The connection is closed after the first bytes of the answer's body.
    Cut {
        /// How many bytes of the body come through.
        bytes: u64,
    },
    /// The client gets this answer instead of the upstream's.
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// Its content type.
        content_type: String,
        /// Whether the upstream acts nevertheless.
        upstream: AskedUpstream,
    },
}

impl Fault {
    /// The script's word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::Duplicate => "duplicate",
            Self::Refuse { .. } | Self::Slow { .. } => "throttle",
            Self::Cut { .. } => "cut",
            Self::Status { .. } => "status",
        }
    }

    /// Reads a fault; none where something is wrong with it, which is then among the problems.
    pub(crate) fn read(value: Value, place: &str, problems: &mut Vec<String>) -> Option<Self> {
        let mut fields = Fields::of(value, format!("{place}: fault"), problems);
        let kind: String = fields.demand("kind")?;
        let fault = match kind.as_str() {
            "delay" => delay(&mut fields),
            "drop_before" => Some(Self::DropBefore),
            "drop_after" => Some(Self::DropAfter),
            "duplicate" => Some(Self::Duplicate),
            "throttle" => throttle(&mut fields),
            "cut" => fields.demand("bytes").map(|bytes| Self::Cut { bytes }),
            "status" => status(&mut fields),
            _ => {
                // The other fields belong to an unknown kind: they are no further problems.
                fields.problem(format!("unknown kind `{kind}`; there are {KINDS}"));
                return None;
            }
        };
        fields.finish();
        fault
    }
}

fn delay(fields: &mut Fields<'_>) -> Option<Fault> {
    let least: Option<u64> = fields.demand("milliseconds");
    let jitter: u64 = fields.take("jitter_milliseconds").unwrap_or(0);
    let longest = least.map(|least| Duration::from_millis(least.saturating_add(jitter)));
    fields.check(
        longest.map(|longest| longest <= LONGEST_DELAY),
        format!("a delay is at most {} s, jitter included", LONGEST_DELAY.as_secs()),
    );
    Some(Fault::Delay { least: Duration::from_millis(least?), jitter: Duration::from_millis(jitter) })
}

/// Either sent away or slowed down: the fields tell which.
fn throttle(fields: &mut Fields<'_>) -> Option<Fault> {
    let status: Option<u16> = fields.take("status");
    let retry_after_seconds: Option<u64> = fields.take("retry_after_seconds");
    let bytes_per_second: Option<u64> = fields.take("bytes_per_second");
    let refuses = status.is_some() || retry_after_seconds.is_some();
    fields.check(
        Some(!(refuses && bytes_per_second.is_some())),
        "`bytes_per_second` goes with neither `status` nor `retry_after_seconds`: give two rules",
    );
    fields.check(status.map(|status| matches!(status, 429 | 503)), "`status` of a throttle is 429 or 503");
    fields.check(bytes_per_second.map(|rate| rate > 0), "`bytes_per_second` has to be at least 1");
    Some(match bytes_per_second {
        Some(bytes_per_second) => Fault::Slow { bytes_per_second },
        None => Fault::Refuse {
            status: status.unwrap_or(503),
            retry_after_seconds: retry_after_seconds.unwrap_or(1),
        },
    })
}

fn status(fields: &mut Fields<'_>) -> Option<Fault> {
    let status: Option<u16> = fields.demand("status");
    let body = fields.take("body").unwrap_or_default();
    let content_type: String = fields.take("content_type").unwrap_or_else(|| "text/plain".into());
    let upstream = fields.take("upstream").unwrap_or_default();
    // An informational status is no answer.
    fields.check(status.map(|status| (200..=599).contains(&status)), "`status` is between 200 and 599");
    fields.check(
        Some(axum::http::HeaderValue::from_str(&content_type).is_ok()),
        "`content_type` cannot be written into a header",
    );
    Some(Fault::Status { status: status?, body, content_type, upstream })
}

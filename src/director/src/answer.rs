//! What an answer means, by its status and its body.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::{Response, header};

use crate::{Error, Result};

/// No answer of a Director comes near this; more is not read.
const LONGEST_BODY: u64 = 256 << 20;
/// How much of a body an error message repeats.
const QUOTED_CHARACTERS: usize = 300;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub content_range: Option<String>,
    pub retry_after: Option<Duration>,
    pub body: String,
}

/// A peer that is too busy, and when it wants to be asked again (`Retry-After`, RFC 9110 section 10.2.3, in seconds).
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
pub(crate) struct Busy {
    told: String,
    pub retry_after: Option<Duration>,
}

/// The Director's own errors.
#[derive(Deserialize)]
struct Complaint {
    code: i64,
    #[serde(default)]
    description: String,
}

impl Answer {
    pub(crate) fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, content_range) = (text(header::LOCATION), text(header::CONTENT_RANGE));
        let seconds = text(header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST_BODY).lossy_utf8(true).read_to_string()?;
        Ok(Self { status, location, content_range, retry_after, body })
    }

    /// The beginning of the body in one line, for an error message.
    pub(crate) fn quote(&self) -> String {
        let words = self.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(QUOTED_CHARACTERS).collect();
        if short.is_empty() {
            format!("HTTP {}", self.status)
        } else {
            format!("HTTP {}: {short}", self.status)
        }
    }
}

/// What a status means.
pub(crate) fn check_status(action: &str, answer: Answer) -> Result<Answer> {
    let action = action.to_owned();
    let complaint: Option<Complaint> = serde_json::from_str(&answer.body).ok();
    let detail = || match &complaint {
        Some(Complaint { code, description }) => format!("code {code}: {description}"),
        None => answer.quote(),
    };
    match answer.status {
        200..=399 | 416 => Ok(answer),
        401 | 403 => Err(Error::Unauthorized { action, detail: detail() }),
        404 => Err(Error::NotFound { action, detail: detail() }),
        408 | 429 | 500.. => {
            let busy = Busy { told: answer.quote(), retry_after: answer.retry_after };
            Err(Error::Unanswered { action, source: Box::new(busy) })
        }
        _ => Err(match complaint {
            Some(Complaint { code, description }) => Error::Refused { action, code, detail: description },
            None => Error::Refused { action, code: 0, detail: answer.quote() },
        }),
    }
}

/// Reads a body. One that cannot be read may have been cut: it is worth another attempt.
pub(crate) fn parse<T: DeserializeOwned>(action: &str, answer: &Answer) -> Result<T> {
    serde_json::from_str(&answer.body)
        .map_err(|error| unusable(action, format!("the body cannot be read ({error}): {}", answer.quote())))
}

/// An answer came, and it says nothing.
pub(crate) fn unusable(action: &str, why: impl Display) -> Error {
    Error::Unanswered { action: action.to_owned(), source: why.to_string().into() }
}

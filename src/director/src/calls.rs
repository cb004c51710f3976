//! The Director's API, blocking: reads are repeated, changes never.
//!
//! | answer | of a read | of a change |
//! |---|---|---|
//! | none, cut short, 5xx, 408, 429 | asked again, then `Unanswered` | `Unanswered`, never asked again |
//! | 401 | once more with a new token, then `Unauthorized` | the same: it was not carried out |
//! | 403 | `Unauthorized` | `Unauthorized` |
//! | 404 | `NotFound` | `NotFound` |
//! | other 4xx | `Refused` with the Director's code | the same |
//! | 3xx | followed on the configured host | the task's number |

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use log::debug;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Uri};

use crate::http::{Answer, Call, Http};
use crate::login::Login;
use crate::{DirectorConfig, Error, Result, TaskId};

/// How often a read is asked in all.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; it triples each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Redirects in a row.
const REDIRECTS: u32 = 5;

/// The Director's API, blocking.
#[derive(Debug)]
pub(crate) struct Calls {
    http: Http,
    base: String,
    login: Login,
}

/// The Director's own errors.
#[derive(Deserialize)]
struct Complaint {
    code: i64,
    #[serde(default)]
    description: String,
}

impl Calls {
    pub(crate) fn new(config: &DirectorConfig) -> Result<Self> {
        let base = config.base().map_err(Error::Config)?;
        let credentials = config.credentials().map_err(Error::Config)?;
        let http = Http::new(config.ca_file.as_deref(), Duration::from_secs(config.request_timeout_seconds))?;
        Ok(Self { http, login: Login::new(base.clone(), credentials), base })
    }

    /// A read, with redirects followed; 204, 206 and 416 are answers too.
    pub(crate) fn get(&self, action: &str, path: &str, range: Option<&str>) -> Result<Answer> {
        repeat(|| self.get_once(action, path, range))
    }

    fn get_once(&self, action: &str, path: &str, range: Option<&str>) -> Result<Answer> {
        let mut path = path.to_owned();
        for _ in 0..REDIRECTS {
            let answer = self.read(action, &path, range)?;
            if !(300..400).contains(&answer.status) {
                return Ok(answer);
            }
            path = place(action, &answer)?;
        }
        Err(unusable(action, format!("more than {REDIRECTS} redirects in a row")))
    }

    /// A read of JSON, whatever its content type says.
    pub(crate) fn json<T: DeserializeOwned>(&self, action: &str, path: &str) -> Result<T> {
        repeat(|| {
            let answer = self.get_once(action, path, None)?;
            parse(action, &answer)
        })
    }

    /// `GET /info`: with the credentials where they are accepted, else without.
    pub(crate) fn info<T: DeserializeOwned>(&self) -> Result<T> {
        let action = "read the Director's /info";
        match self.json(action, "/info") {
            Err(Error::Unauthorized { .. }) => repeat(|| {
                let answer = self.http.send(action, &self.call(Method::GET, "/info"), None)?;
                parse(action, &verdict(action, answer)?)
            }),
            outcome => outcome,
        }
    }

    /// A read that is answered with a task: asking twice makes two of them and harms nothing.
    pub(crate) fn get_task(&self, action: &str, path: &str) -> Result<TaskId> {
        repeat(|| task_of(action, &self.read(action, path, None)?))
    }

    /// A change, sent once. The answer is the number of its task.
    ///
    /// # Errors
    /// [`Error::Unanswered`]: the task may exist.
    pub(crate) fn change(
        &self,
        action: &str,
        method: Method,
        path: &str,
        context: Option<&str>,
    ) -> Result<TaskId> {
        // Being nobody yet is no reason to give up; from here on nothing is repeated.
        repeat(|| self.login.header(&self.http))?;
        let mut call = self.call(method, path);
        call.headers.extend(context.map(|context| ("X-Bosh-Context-Id", context.to_owned())));
        let answer = verdict(action, self.authorized(action, &call)?)?;
        task_of(action, &answer)
    }

    /// A delete that may be sent twice. The answer has no meaning beyond its status.
    pub(crate) fn delete(&self, action: &str, path: &str) -> Result<()> {
        let call = self.call(Method::DELETE, path);
        repeat(|| verdict(action, self.authorized(action, &call)?)).map(drop)
    }

    fn read(&self, action: &str, path: &str, range: Option<&str>) -> Result<Answer> {
        let mut call = self.call(Method::GET, path);
        call.headers.extend(range.map(|range| ("Range", range.to_owned())));
        verdict(action, self.authorized(action, &call)?)
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call { method, url: format!("{}{path}", self.base), headers: Vec::new(), form: None }
    }

    /// Sends with credentials, and once more with new ones where they were not accepted: such a
    /// request was not carried out.
    fn authorized(&self, action: &str, call: &Call) -> Result<Answer> {
        let header = self.login.header(&self.http)?;
        let answer = self.http.send(action, call, Some(&header))?;
        debug!(method:% = call.method, url = call.url.as_str(), status = answer.status; "Director call");
        if answer.status != 401 || !self.login.forget(&header) {
            return Ok(answer);
        }
        let header = self.login.header(&self.http)?;
        self.http.send(action, call, Some(&header))
    }
}

/// Asks until there is an answer, up to [`ATTEMPTS`] times.
pub(crate) fn repeat<T>(ask: impl Fn() -> Result<T>) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match ask() {
            Err(Error::Unanswered { action, source }) => {
                debug!(action = action.as_str(), cause:% = source; "no answer, asking again");
                thread::sleep(pause);
                pause *= 3;
            }
            outcome => return outcome,
        }
    }
    ask()
}

/// What a status means.
pub(crate) fn verdict(action: &str, answer: Answer) -> Result<Answer> {
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
        408 | 429 | 500.. => Err(Error::Unanswered { action, source: answer.quote().into() }),
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

/// The path of a redirect. Its host is how the Director sees itself, behind whatever stands before
/// it: only the configured host is ever asked.
fn place(action: &str, answer: &Answer) -> Result<String> {
    let uri: Option<Uri> = answer.location.as_deref().and_then(|location| location.parse().ok());
    let path = uri.and_then(|uri| Some(uri.path_and_query()?.to_string()));
    path.ok_or_else(|| unusable(action, format!("HTTP {} without a place to go", answer.status)))
}

fn task_of(action: &str, answer: &Answer) -> Result<TaskId> {
    let number = || {
        let path = place(action, answer).ok()?;
        path.split('?').next()?.strip_prefix("/tasks/")?.trim_end_matches('/').parse().ok()
    };
    number().map(TaskId).ok_or_else(|| unusable(action, format!("no task's number in {}", answer.quote())))
}

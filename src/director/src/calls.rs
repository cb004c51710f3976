//! The Director's API, blocking. Every call is sent once; [`crate::RetryingDirector`] tries reads again.
//!
//! | answer | of a read | of a change |
//! |---|---|---|
//! | none, cut short, 5xx, 408, 429 | `Unanswered` | `Unanswered`: it may have been carried out |
//! | 401 | once more with a new token, then `Unauthorized` | the same: it was not carried out |
//! | 403 | `Unauthorized` | `Unauthorized` |
//! | 404 | `NotFound` | `NotFound` |
//! | other 4xx | `Refused` with the Director's code | the same |
//! | 3xx | followed on the configured host | the task's number |

use std::time::Duration;

use log::debug;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Uri};

use crate::answer::{Answer, check_status, parse, unusable};
use crate::http::{Call, Http};
use crate::login::Login;
use crate::{DirectorConfig, Error, Result, TaskId};

/// Redirects in a row.
const REDIRECTS: u32 = 5;

/// The Director's API, blocking.
#[derive(Debug)]
pub(crate) struct Calls {
    http: Http,
    base: String,
    login: Login,
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
        self.get_once(action, path, range)
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
        parse(action, &self.get_once(action, path, None)?)
    }

    /// `GET /info`: with the credentials where they are accepted, else without.
    pub(crate) fn info<T: DeserializeOwned>(&self) -> Result<T> {
        let action = "read the Director's /info";
        match self.json(action, "/info") {
            Err(Error::Unauthorized { .. }) => {
                let answer = self.http.send(action, &self.call(Method::GET, "/info"), None)?;
                parse(action, &check_status(action, answer)?)
            }
            outcome => outcome,
        }
    }

    /// A read that is answered with a task: asking twice makes two of them and harms nothing.
    pub(crate) fn get_task(&self, action: &str, path: &str) -> Result<TaskId> {
        task_of(action, &self.read(action, path, None)?)
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
        // Login may be tried again; the change itself is sent once.
        self.login.header(&self.http).map_err(|error| match error {
            Error::Unanswered { .. } => Error::NotSent { action: action.to_owned(), source: Box::new(error) },
            other => other,
        })?;
        let mut call = self.call(method, path);
        call.headers.extend(context.map(|context| ("X-Bosh-Context-Id", context.to_owned())));
        let answer = check_status(action, self.authorized(action, &call)?)?;
        task_of(action, &answer)
    }

    /// A delete that may be sent twice. The answer has no meaning beyond its status.
    pub(crate) fn delete(&self, action: &str, path: &str) -> Result<()> {
        let call = self.call(Method::DELETE, path);
        check_status(action, self.authorized(action, &call)?).map(drop)
    }

    fn read(&self, action: &str, path: &str, range: Option<&str>) -> Result<Answer> {
        let mut call = self.call(Method::GET, path);
        call.headers.extend(range.map(|range| ("Range", range.to_owned())));
        check_status(action, self.authorized(action, &call)?)
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

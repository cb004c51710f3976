//! One request through the proxy: the script's fault is chosen, carried out and noted.
//!
//! | what happened without the script | the client |
//! |---|---|
//! | the upstream was not reached | gets 502 with the reason: nothing was done |
//! | it gave no answer, or none in time | has its connection closed: an answer would be an invention |
//! | a request to be sent twice is too long | gets 413 with the reason: nothing was done |

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use tokio::time::sleep;

use crate::body::{Shape, drain, shaped};
use crate::choice::{Choice, Chosen};
use crate::config::ProxyConfig;
use crate::error::ProxyError;
use crate::fault::{AskedUpstream, Fault};
use crate::journal::{Journal, Served};
use crate::upstream::{Upstream, UpstreamError};

/// A request that is sent twice is held in memory; longer ones are refused. S3 parts are shorter.
const DUPLICATED_BODY_MAX_BYTES: usize = 64 << 20;

/// How long such a body may take to arrive.
const HELD_BODY_LIMIT: Duration = Duration::from_secs(60);

/// The content type of what the proxy itself says.
const PLAIN: &str = "text/plain";

/// The client is to get no answer: its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
pub(crate) struct Lost;

/// Everything one proxy's connections share.
#[derive(Debug)]
pub(crate) struct Exchange {
    upstream: Upstream,
    choice: Mutex<Choice>,
    pub(crate) journal: Journal,
}

/// What the client gets.
enum Answer {
    Given(Response<Body>),
    Lost,
}

/// What became of a request.
struct Outcome {
    answer: Answer,
    upstream_status: Option<u16>,
    error: Option<String>,
}

impl Exchange {
    pub(crate) fn new(config: ProxyConfig, seed: u64) -> Result<Self, ProxyError> {
        let journal = Journal::open(config.log.as_deref())?;
        let choice = Mutex::new(Choice::new(config.script, seed));
        Ok(Self { upstream: config.upstream, choice, journal })
    }

    /// Carries out a request. It is noted before the client gets the answer.
    pub(crate) async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let Chosen { request: number, act } =
            self.choice.lock().unwrap_or_else(PoisonError::into_inner).of(&method, &path);
        let (rule, fault) = act.unzip();
        let name = fault.as_ref().map(Fault::name);
        let outcome = self.act(fault, request.map(Body::new)).await;
        if let Some(error) = &outcome.error {
            log::warn!(number, method = method.as_str(), path = path.as_str(), error; "a request went wrong");
        }
        let Outcome { answer, upstream_status, error } = outcome;
        self.journal.note(Served { number, method, path, rule, fault: name, upstream_status, error });
        match answer {
            Answer::Given(response) => Ok(response),
            Answer::Lost => Err(Lost),
        }
    }

    async fn act(&self, fault: Option<Fault>, request: Request<Body>) -> Outcome {
        match fault {
            None => self.pass(request).await,
            Some(Fault::Delay { least, .. }) => {
                sleep(least).await;
                self.pass(request).await
            }
            Some(Fault::DropBefore) => instead(request, Answer::Lost).await,
            Some(Fault::DropAfter) => {
                self.ask(request).await.unwrap_or_else(|failed| failed).without_answer()
            }
            Some(Fault::Duplicate) => self.duplicate(request).await,
            Some(Fault::Refuse { status, retry_after_seconds }) => {
                instead(request, Answer::Given(refusal(status, retry_after_seconds))).await
            }
            Some(Fault::Slow { bytes_per_second }) => {
                self.pass(request).await.shaped(Shape::Slow { bytes_per_second })
            }
            Some(Fault::Cut { bytes }) => self.pass(request).await.shaped(Shape::Cut { bytes }),
            Some(Fault::Status { status, body, content_type, upstream }) => {
                let answer = Answer::Given(made_up(status, &content_type, body));
                match upstream {
                    AskedUpstream::Never => instead(request, answer).await,
                    AskedUpstream::First => match self.ask(request).await {
                        Ok(asked) => Outcome { answer, ..asked },
                        Err(failed) => failed,
                    },
                }
            }
        }
    }

    /// Passes the request on and the answer back, its body as it comes.
    async fn pass(&self, request: Request<Body>) -> Outcome {
        match self.upstream.send(request).await {
            Ok(response) => Outcome {
                upstream_status: Some(response.status().as_u16()),
                answer: Answer::Given(response.map(Body::new)),
                error: None,
            },
            Err(error) => Outcome::failed(&error),
        }
    }

    /// Lets the upstream act and answer, and drops the answer.
    async fn ask(&self, request: Request<Body>) -> Result<Outcome, Outcome> {
        let response = self.upstream.send(request).await.map_err(|error| Outcome::failed(&error))?;
        let upstream_status = Some(response.status().as_u16());
        let drained = drain(Body::new(response.into_body())).await;
        let error = drained.err().map(|error| format!("the upstream's answer broke off ({error})"));
        Ok(Outcome { answer: Answer::Lost, upstream_status, error })
    }

    async fn duplicate(&self, request: Request<Body>) -> Outcome {
        let (parts, body) = request.into_parts();
        let body = match whole(body).await {
            Ok(body) => body,
            Err(problem) => return Outcome::not_held(&problem),
        };
        let again = Request::from_parts(parts.clone(), Body::from(body.clone()));
        match self.ask(Request::from_parts(parts, Body::from(body))).await {
            Ok(_) => self.pass(again).await,
            Err(failed) => failed,
        }
    }
}

impl Outcome {
    fn failed(error: &UpstreamError) -> Self {
        let answer = match error {
            UpstreamError::Unreached(..) => Answer::Given(made_up(502, PLAIN, format!("{error}\n"))),
            UpstreamError::Unanswered(..) | UpstreamError::Silent(_) => Answer::Lost,
        };
        Self { answer, upstream_status: None, error: Some(error.to_string()) }
    }

    fn not_held(problem: &str) -> Self {
        let told = format!("the request cannot be sent twice: {problem}; give it another fault");
        let answer = Answer::Given(made_up(413, PLAIN, format!("{told}\n")));
        Self { answer, upstream_status: None, error: Some(told) }
    }

    fn without_answer(self) -> Self {
        Self { answer: Answer::Lost, ..self }
    }

    fn shaped(self, shape: Shape) -> Self {
        let answer = match self.answer {
            // What the proxy itself says is not the upstream's: it comes whole.
            Answer::Given(response) if self.upstream_status.is_some() => {
                Answer::Given(response.map(|body| shaped(body, shape)))
            }
            answer => answer,
        };
        Self { answer, ..self }
    }
}

/// A request's body, to be sent twice; why not where it is too long or broke off.
async fn whole(body: Body) -> Result<Bytes, String> {
    let promised = body.size_hint().lower();
    if promised > DUPLICATED_BODY_MAX_BYTES as u64 {
        // Read all the same: see [`instead`].
        let more = drain(body).await.err().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("{promised} bytes are more than {DUPLICATED_BODY_MAX_BYTES}{more}"));
    }
    let read = tokio::time::timeout(HELD_BODY_LIMIT, to_bytes(body, DUPLICATED_BODY_MAX_BYTES)).await;
    let read = read.map_err(|_| format!("its body took longer than {} s", HELD_BODY_LIMIT.as_secs()))?;
    read.map_err(|error| {
        format!("its body broke off or has more than {DUPLICATED_BODY_MAX_BYTES} bytes ({error})")
    })
}

/// The upstream is not asked. The request is read to its end all the same: a connection closed with unread
/// bytes is reset, and the client might miss an answer that was sent.
async fn instead(request: Request<Body>, answer: Answer) -> Outcome {
    let drained = drain(request.into_body()).await;
    let error = drained.err().map(|error| format!("the client's request broke off ({error})"));
    Outcome { answer, upstream_status: None, error }
}

fn refusal(status: u16, retry_after_seconds: u64) -> Response<Body> {
    let mut response = made_up(status, PLAIN, "slow down\n".to_owned());
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
    response
}

/// An answer of the proxy's own. Status and content type were checked when the script was read.
fn made_up(status: u16, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

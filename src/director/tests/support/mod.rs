//! A scripted HTTP(S) peer: it gives its answers in order, whatever is asked, and keeps what it received.
//! It can also cut the connection before or after reading a request, or in the middle of an answer.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use std::time::{Duration, Instant};

use remount_director::{
    Director, DirectorConfig, Error, Follow, RetryingDirector, TASK_PACE, Task, TaskId, follow,
};
use remount_host::RetryPolicy;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Reads are tried again for so long.
pub const RETRY: Duration = Duration::from_secs(3);

/// Follows a task as the flows do.
pub async fn wait(
    director: &dyn Director,
    task: TaskId,
    deadline: Instant,
    progress: &(dyn Fn(&Task) + Send + Sync),
) -> Result<Task, Error> {
    let cancellation = tokio_util::sync::CancellationToken::new();
    follow(director, task, Follow { deadline, pace: TASK_PACE, cancellation: &cancellation, progress }).await
}

pub const ID: &str = "0f5a3b52-9d3c-4b8e-8c11-2f2f3a4b5c6d";

/// What the peer does with the next request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Closes the connection without reading.
    CutBefore,
    /// Reads the request, then closes the connection.
    CutAfter,
    /// Reads the request and never answers.
    Silence,
    /// Sends these bytes, then closes the connection.
    Raw(String),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(same).map(|(_, value)| value.as_str())
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An answer that is served as the Director serves most: as HTML, whatever it is.
pub fn answer(status: u16, body: &str) -> Step {
    with(status, &[], body)
}

pub fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    let mut text = format!("HTTP/1.1 {status} X\r\nContent-Type: text/html;charset=utf-8\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    // 204 has no body and no length.
    if status != 204 {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str(&format!("Connection: close\r\n\r\n{body}"));
    Step::Raw(text)
}

/// A redirect to a task, on the host as the Director sees itself.
pub fn to_task(number: u64) -> Step {
    with(302, &[("Location", &format!("http://director.internal:25556/tasks/{number}"))], "")
}

pub fn task(number: u64, state: &str) -> Step {
    answer(
        200,
        &format!(
            r#"{{"id":{number},"state":"{state}","description":"start instance","timestamp":null,"started_at":1,"result":"cut...","user":"admin","deployment":"pg","context_id":""}}"#
        ),
    )
}

pub struct Peer {
    pub address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Step>>,
    received: Mutex<Vec<Received>>,
    closed: AtomicBool,
}

impl Peer {
    pub fn plain(script: impl IntoIterator<Item = Step>) -> Self {
        Self::start(script, None)
    }

    pub fn tls(script: impl IntoIterator<Item = Step>, authority: &Authority) -> Self {
        Self::start(script, Some(authority.server()))
    }

    fn start(script: impl IntoIterator<Item = Step>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() });
        let (for_thread, with_tls) = (shared.clone(), tls.is_some());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.closed.load(Ordering::Acquire) {
                    return;
                }
                let (stream, shared, tls) = (stream.unwrap(), for_thread.clone(), tls.clone());
                std::thread::spawn(move || serve(stream, &shared, tls));
            }
        });
        Self { address, tls: with_tls, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// More to do, after what is still to be done.
    pub fn then(&self, step: Step) {
        self.shared.script.lock().unwrap().push_back(step);
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.received().iter().map(Received::line).collect()
    }

    /// Every step was taken.
    pub fn is_done(&self) -> bool {
        self.shared.script.lock().unwrap().is_empty()
    }

    /// A client with a user and a password.
    pub fn director(&self) -> RetryingDirector {
        let json = format!(
            r#"{{"url":"{}","username":"admin","password":"secret","request_timeout_seconds":5}}"#,
            self.url()
        );
        serde_json::from_str::<DirectorConfig>(&json).unwrap().open(&RetryPolicy::within(RETRY)).unwrap()
    }

    /// A client of a UAA.
    pub fn director_of_client(&self) -> RetryingDirector {
        let json = format!(r#"{{"url":"{}","client_id":"remount","client_secret":"s3"}}"#, self.url());
        serde_json::from_str::<DirectorConfig>(&json).unwrap().open(&RetryPolicy::within(RETRY)).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared, tls: Option<Arc<ServerConfig>>) {
    match tls {
        None => converse(stream, shared),
        Some(config) => converse(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), shared),
    };
}

/// One request per connection; none where the client goes away before.
fn converse(stream: impl Read + Write, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    // A client that does not like our certificate says nothing, and takes no step.
    reader.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
    let step = shared.script.lock().unwrap().pop_front().unwrap_or(Step::CutBefore);
    if matches!(step, Step::CutBefore) {
        return None;
    }
    shared.received.lock().unwrap().push(read_request(&mut reader)?);
    match step {
        Step::Raw(text) => {
            reader.get_mut().write_all(text.as_bytes()).and_then(|()| reader.get_mut().flush()).ok()
        }
        // Until the client gives up.
        Step::Silence => reader.read_to_end(&mut Vec::new()).ok().map(drop),
        Step::CutBefore | Step::CutAfter => None,
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut received = Received { method, target, headers, body: String::new() };
    let length = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    received.body = String::from_utf8(body).ok()?;
    Some(received)
}

/// An authority of our own with one certificate for 127.0.0.1.
pub struct Authority {
    pub pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&leaf_key, &issuer)
            .unwrap();
        Self { pem: authority.pem(), certificate: leaf.der().clone(), key: leaf_key.serialize_der() }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

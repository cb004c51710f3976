//! The command line of the program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{Identity, Proxy, ProxyConfig, Script, Upstream, UpstreamTls};

/// Stands before an HTTP peer and lets requests go wrong by a script, for tests and exercises.
#[derive(Debug, Parser)]
#[command(name = "faultproxy", version, about, max_term_width = 100, after_long_help = SCRIPT_HELP)]
pub struct Arguments {
    /// The peer that it stands before, as http://host:port or https://host:port
    #[arg(long)]
    upstream: String,
    /// PEM file with the authority of an https upstream; no other is trusted
    #[arg(long)]
    upstream_ca: Option<PathBuf>,
    /// The name in the certificate of an https upstream, where it is not the host's: an agent's is `remount-agent`
    #[arg(long, requires = "upstream_ca")]
    upstream_name: Option<String>,
    /// PEM file with the certificate that an https upstream demands of its clients, as an agent does
    #[arg(long, requires = "upstream_private_key", requires = "upstream_ca")]
    upstream_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, requires = "upstream_certificate")]
    upstream_private_key: Option<PathBuf>,
    /// The address to listen on; port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// PEM file with the proxy's own certificate; clients then talk TLS to it
    #[arg(long, requires = "private_key")]
    certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, requires = "certificate")]
    private_key: Option<PathBuf>,
    /// What goes wrong: a JSON list of rules (see below)
    #[arg(long)]
    script: PathBuf,
    /// Where everything random comes from; a new one is made and printed without it
    #[arg(long)]
    seed: Option<u64>,
    /// Append a line of JSON per request: number, method, path, rule, fault, upstream's status
    #[arg(long)]
    log: Option<PathBuf>,
}

/// The script in short; `src/faultproxy/src/script.rs` has the table.
const SCRIPT_HELP: &str = r#"The script is a JSON list of rules; the first that is for a request and not used up acts:

  [{"method": "PUT", "path": "/deployments/*", "after": 1, "times": 2, "probability": 0.5,
    "fault": {"kind": "drop_after"}}]

Only `fault` must be there. `*` in a path is any text, slashes too; queries are not looked at. `after` lets
so many requests of the rule's kind pass (0), `times` is how often it acts (1), `probability` how likely (1).

  {"kind": "delay", "milliseconds": 500, "jitter_milliseconds": 200}   passed on later
  {"kind": "drop_before"}                                   never passed on, connection closed
  {"kind": "drop_after"}                                    carried out, connection closed
  {"kind": "duplicate"}                                     carried out twice, second answer
  {"kind": "throttle", "status": 503, "retry_after_seconds": 1}         sent away (429 or 503)
  {"kind": "throttle", "bytes_per_second": 1000}            slow body of the answer
  {"kind": "cut", "bytes": 100}                             connection closed after so much of the body
  {"kind": "status", "status": 500, "body": "", "content_type": "text/plain", "upstream": "never"}
                                                            an answer of your own; upstream `first`
                                                            lets the request be carried out before

Standard output gets one line, `listening: URL`; then it serves until it is killed. The seed goes to standard
error. The same seed and the same sequence of requests give the same faults."#;

impl Arguments {
    /// Serves until the process is killed.
    ///
    /// # Errors
    /// The proxy could not start.
    pub fn run(self) -> Result<()> {
        let identity = |certificate: Option<PathBuf>, key: Option<PathBuf>| {
            certificate
                .zip(key)
                .map(|(certificate_file, private_key_file)| Identity { certificate_file, private_key_file })
        };
        let shown = identity(self.upstream_certificate, self.upstream_private_key);
        let tls = self.upstream_ca.map(|ca_file| UpstreamTls {
            ca_file,
            name: self.upstream_name,
            identity: shown,
        });
        let proxy = Proxy::start(ProxyConfig {
            upstream: Upstream::new(&self.upstream, tls.as_ref())?,
            listen: self.listen,
            identity: identity(self.certificate, self.private_key),
            script: Script::read(&self.script)?,
            seed: self.seed,
            log: self.log,
        })?;
        eprintln!("seed: {}", proxy.seed());
        let mut output = std::io::stdout().lock();
        writeln!(output, "listening: {}", proxy.url()).context("print the proxy's address")?;
        output.flush().context("print the proxy's address")?;
        drop(output);
        proxy.wait();
        Ok(())
    }
}

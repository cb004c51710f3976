//! The fault proxy: it stands before any HTTP peer (Director, agent, cloud emulator, object store) and lets go
//! wrong on the way what no emulator lets go wrong, by a script and a seed.
//!
//! | fault | the upstream | the client |
//! |---|---|---|
//! | `delay` | is asked later | waits |
//! | `drop_before` | is never asked | has its connection closed without an answer |
//! | `drop_after` | has acted once | has its connection closed without an answer |
//! | `duplicate` | has acted twice | gets the second answer |
//! | `throttle` | is not asked, or acts once | is sent away with `Retry-After`, or gets a slow body |
//! | `cut` | has acted once | gets the first bytes of the body, then the connection is closed |
//! | `status` | is not asked, or has acted once | gets the script's answer |
//!
//! ```text
//! client ── connection ── exchange ── upstream ── peer
//!                │           │
//!             (serve)     choice: script + seed     journal: a line per request
//! ```
//!
//! What it never does: repeat a request by itself, keep or show a header, a query or a body, or change
//! what it passes on. The Host header goes on as it came: S3 signs it.

mod arguments;
mod body;
mod choice;
mod config;
mod error;
mod exchange;
mod fault;
mod fields;
mod journal;
mod rule;
mod script;
mod serve;
mod tls;
mod upstream;

pub use arguments::Arguments;
pub use config::{Identity, ProxyConfig, UpstreamTls};
pub use error::ProxyError;
pub use fault::{AskedUpstream, Fault};
pub use journal::Served;
pub use rule::Rule;
pub use script::{Script, ScriptError};
pub use serve::Proxy;
pub use upstream::Upstream;

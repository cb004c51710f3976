//! RSA pairs as the config server makes them: the private key in PKCS#1, the public one as `SubjectPublicKeyInfo`.
//!
//! `ring` makes no RSA keys, so `openssl` does.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::config::Secret;

/// A pair of keys, in PEM.
pub(crate) struct RsaPair {
    pub(crate) public_key: String,
    pub(crate) private_key: Secret,
}

/// As long as the config server's.
const BITS: &str = "2048";

/// Makes a pair.
///
/// # Errors
/// There is no program `openssl` of version 3.
pub(crate) fn make() -> io::Result<RsaPair> {
    let private = openssl(&["genrsa", "-traditional", BITS], "")?;
    let public = openssl(&["rsa", "-pubout"], &private)?;
    Ok(RsaPair { public_key: public, private_key: Secret::new(private) })
}

fn openssl(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut program = Command::new("openssl");
    program.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = program.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("openssl cannot be run: {error}; install it"))
    })?;
    if let Some(mut stdin) = running.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let ended = running.wait_with_output()?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(io::Error::other(format!("openssl {}: {}", arguments[0], said.trim())));
    }
    String::from_utf8(ended.stdout).map_err(io::Error::other)
}

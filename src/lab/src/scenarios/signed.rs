//! Documents of the store, which are signed: what a program of ours has written, read without its keys.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The content of a signed document. The signature is not looked at.
///
/// # Errors
/// The file cannot be read, or is no signed document.
pub fn signed_document(path: &Path) -> Result<Value> {
    let read = || -> Result<Value> {
        let signed: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        Ok(serde_json::from_str(signed["document"].as_str().context("it has no `document`")?)?)
    };
    read().with_context(|| format!("read {}", path.display()))
}

//! The errors of files, in the trait's terms.

use std::io;

use remount_core::RequestKey;

use crate::Error;

pub(super) fn refused(action: &str, detail: String) -> Error {
    Error::Refused { action: action.to_owned(), detail }
}

pub(super) fn key_taken(action: &str, key: &RequestKey, cid: &str) -> Error {
    refused(action, format!("the request key {key} made {cid} of something else"))
}

/// What the file system says, in the trait's terms.
pub(super) fn broken(action: &str, error: io::Error) -> Error {
    let action = action.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull => Error::QuotaExceeded { action, detail: error.to_string() },
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied => {
            Error::Refused { action, detail: error.to_string() }
        }
        _ => Error::Unanswered { action, source: Box::new(error) },
    }
}

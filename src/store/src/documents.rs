//! How documents lie in the store: JSON with a format number, some of them signed.
//!
//! A signed document is stored as text within JSON, so that what is verified is, byte for byte,
//! what was signed, whatever a reader makes of it. Its place is signed with it: a document that was copied to
//! another place (another cluster, another restore, another number of a journal) says nothing there.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::keyring::{Keyring, Mismatch, Signature};
use crate::{Created, Error, Metadata, Object, Objects, Result};

#[derive(Serialize, Deserialize)]
struct Signed {
    document: String,
    /// The id of the key that fits.
    key: String,
    /// Hexadecimal.
    signature: String,
}

/// The bytes of an unsigned document.
pub(crate) fn encode<T: Serialize>(path: &str, document: &T) -> Result<Bytes> {
    Ok(text_of(path, document)?.into())
}

/// The bytes of a document that is signed for the place it goes to.
pub(crate) fn encode_signed<T: Serialize>(path: &str, document: &T, keys: &Keyring) -> Result<Bytes> {
    let document = text_of(path, document)?;
    let unable = || Error::CannotSign { path: path.to_owned() };
    let Signature { key, text } = keys.sign(&signed_text(path, &document)).ok_or_else(unable)?;
    encode(path, &Signed { document, key, signature: text })
}

/// Reads an unsigned document. Unknown fields are passed over, a larger format is refused.
pub(crate) fn decode<T: DeserializeOwned>(path: &str, content: &[u8]) -> Result<T> {
    remount_core::documents::decode(content).map_err(|error| fault(path, error.to_string()))
}

/// Verifies and reads a signed document.
pub(crate) fn decode_signed<T: DeserializeOwned>(path: &str, content: &[u8], keys: &Keyring) -> Result<T> {
    let signed: Signed = serde_json::from_slice(content)
        .map_err(|error| fault(path, format!("it is not a signed document: {error}")))?;
    let signature = Signature { key: signed.key, text: signed.signature };
    keys.verify(&signed_text(path, &signed.document), &signature).map_err(|mismatch| {
        fault(
            path,
            match mismatch {
                Mismatch::UnknownKey(id) => format!("it is signed with key {id}, which is not among ours"),
                Mismatch::Wrong => {
                    "its signature is wrong: it was changed, or signed for another place".into()
                }
            },
        )
    })?;
    decode(path, signed.document.as_bytes())
}

/// Whether this has the form of a signed document, and names a key that is not among ours.
pub(crate) fn is_strangers(content: &[u8], keys: &Keyring) -> bool {
    let signed: Option<Signed> = serde_json::from_slice(content).ok();
    signed.is_some_and(|signed| keys.ids().all(|id| id != signed.key))
}

/// What is signed: no path holds a line break, so that none can pass for the beginning of a document.
fn signed_text(path: &str, document: &str) -> String {
    format!("remount\n{path}\n{document}")
}

/// No document is longer.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// The object of a document.
pub(crate) async fn read(objects: &dyn Objects, path: &str) -> Result<Option<Object>> {
    objects.read_within(path, MOST_BYTES).await
}

/// Writes a document once. The same bytes again are success: a lost answer is asked for again.
pub(crate) async fn write_once(objects: &dyn Objects, path: &str, content: Bytes) -> Result<()> {
    if objects.create(path, content.clone(), &Metadata::new()).await? == Created::New {
        return Ok(());
    }
    match read(objects, path).await? {
        Some(object) if object.content == content => Ok(()),
        _ => Err(Error::Conflict { path: path.to_owned() }),
    }
}

/// A document that cannot be used.
pub(crate) fn fault(path: &str, detail: String) -> Error {
    Error::Document { path: path.to_owned(), detail }
}

fn text_of<T: Serialize>(path: &str, document: &T) -> Result<String> {
    remount_core::documents::encode(document).map_err(|error| fault(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        format: u32,
        text: String,
    }

    fn note(format: u32) -> Note {
        Note { format, text: "x".into() }
    }

    fn keys() -> Keyring {
        Keyring::new(Some(include_str!("../../sim/src/keys/one.pem")), &[]).ok().unwrap()
    }

    #[test]
    fn a_changed_or_copied_signed_document_is_refused() {
        let content = encode_signed("p", &note(1), &keys()).unwrap();
        assert_eq!(decode_signed::<Note>("p", &content, &keys()).unwrap(), note(1));
        let changed = String::from_utf8(content.to_vec()).unwrap().replace(r#"\"x\""#, r#"\"y\""#);
        let error = decode_signed::<Note>("p", changed.as_bytes(), &keys()).unwrap_err();
        assert!(error.to_string().contains("signature"), "{error}");
        assert!(decode_signed::<Note>("q", &content, &keys()).is_err(), "it was signed for another place");
        assert!(decode_signed::<Note>("p", br#"{"format":1,"text":"x"}"#, &keys()).is_err());
    }

    #[test]
    fn a_database_vm_can_sign_nothing() {
        let public = include_str!("../../sim/src/keys/one.pub.pem").to_owned();
        let agent = Keyring::new(None, &[public]).ok().unwrap();
        let error = encode_signed("p", &note(1), &agent).unwrap_err();
        assert!(matches!(error, Error::CannotSign { .. }), "{error}");
    }
}

//! How documents lie in the store: JSON with a format number, some of them signed.
//!
//! A signed document is stored as text within JSON, so that what is verified is, byte for byte,
//! what was signed, whatever a reader makes of it.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Created, Error, Metadata, Objects, Result, SigningKey};

#[derive(Serialize, Deserialize)]
struct Signed {
    document: String,
    hmac: String,
}

/// The bytes of an unsigned document.
pub(crate) fn encode<T: Serialize>(path: &str, document: &T) -> Result<Bytes> {
    Ok(text_of(path, document)?.into())
}

/// The bytes of a signed document.
pub(crate) fn encode_signed<T: Serialize>(path: &str, document: &T, key: &SigningKey) -> Result<Bytes> {
    let document = text_of(path, document)?;
    let hmac = key.sign(&document);
    encode(path, &Signed { document, hmac })
}

/// Reads an unsigned document. Unknown fields are passed over, a larger format is refused.
pub(crate) fn decode<T: DeserializeOwned>(path: &str, content: &[u8]) -> Result<T> {
    remount_core::documents::decode(content).map_err(|error| fault(path, error.to_string()))
}

/// Verifies and reads a signed document.
pub(crate) fn decode_signed<T: DeserializeOwned>(path: &str, content: &[u8], key: &SigningKey) -> Result<T> {
    let signed: Signed = parse(path, content)?;
    if !key.verifies(&signed.document, &signed.hmac) {
        return Err(fault(path, "its HMAC is wrong: it was changed, or signed with another key".into()));
    }
    decode(path, signed.document.as_bytes())
}

/// Writes a document once. The same bytes again are success: a lost answer is asked for again.
pub(crate) async fn write_once(objects: &dyn Objects, path: &str, content: Bytes) -> Result<()> {
    if objects.create(path, content.clone(), &Metadata::new()).await? == Created::New {
        return Ok(());
    }
    match objects.read(path).await? {
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

fn parse<T: DeserializeOwned>(path: &str, content: &[u8]) -> Result<T> {
    serde_json::from_slice(content).map_err(|error| fault(path, format!("it cannot be read: {error}")))
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

    fn key() -> SigningKey {
        SigningKey::from_hex(&"11".repeat(32)).unwrap()
    }

    #[test]
    fn a_changed_signed_document_is_refused() {
        let content = encode_signed("p", &note(1), &key()).unwrap();
        assert_eq!(decode_signed::<Note>("p", &content, &key()).unwrap(), note(1));
        let changed = String::from_utf8(content.to_vec()).unwrap().replace(r#"\"x\""#, r#"\"y\""#);
        let error = decode_signed::<Note>("p", changed.as_bytes(), &key()).unwrap_err();
        assert!(error.to_string().contains("HMAC"), "{error}");
        assert!(decode_signed::<Note>("p", br#"{"format":1,"text":"x"}"#, &key()).is_err());
    }
}

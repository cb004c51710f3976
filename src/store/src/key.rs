//! The key that signs manifests, plans and forks.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The key of the HMAC of signed documents. Its `Debug` does not show it: it never reaches a log.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct SigningKey([u8; 32]);

/// The text is not a signing key. It is not repeated here: it may be a secret with a slip of the pen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("`signing_key` has to be 64 hexadecimal digits (32 bytes)")]
pub struct KeyError;

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl SigningKey {
    /// The key written as 64 hexadecimal digits.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| KeyError)?;
        Ok(Self(key))
    }

    /// The HMAC-SHA-256 of `text`, in hexadecimal.
    pub(crate) fn sign(&self, text: &str) -> String {
        hex::encode(self.mac(text).finalize().into_bytes())
    }

    /// Whether `hmac` (hexadecimal) is that of `text`, compared in constant time.
    pub(crate) fn verifies(&self, text: &str, hmac: &str) -> bool {
        hex::decode(hmac).is_ok_and(|bytes| self.mac(text).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }
}

impl TryFrom<String> for SigningKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::from_hex(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_text_or_another_key_does_not_verify() {
        let key = SigningKey::from_hex(&"07".repeat(32)).unwrap();
        let other = SigningKey::from_hex(&"08".repeat(32)).unwrap();
        let hmac = key.sign("text");
        assert!(key.verifies("text", &hmac));
        assert!(!key.verifies("texu", &hmac) && !other.verifies("text", &hmac));
        assert!(!key.verifies("text", "") && !key.verifies("text", "zz"));
    }

    #[test]
    fn a_key_is_32_bytes_and_its_error_does_not_tell_it() {
        for text in ["", "07", &"07".repeat(33), &"xy".repeat(32)] {
            let error = SigningKey::from_hex(text).err().unwrap();
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }
}

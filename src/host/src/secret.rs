//! A secret of a configuration.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A password or a key: it is never printed. Whoever sends it takes it out by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one who sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none: templates render what is not set as an empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// serde's own message would hold the value: a password that is all digits, and not in quotes, is a number.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("the secret is not a text"))
    }
}

impl AsRef<str> for Secret {
    fn as_ref(&self) -> &str {
        self.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "(secret)");
    }

    #[test]
    fn a_secret_that_is_no_text_is_refused_without_its_value() {
        for value in ["12345678", "true", "[\"hush\"]", "{\"hush\": 1}"] {
            let error = serde_json::from_str::<Secret>(value).unwrap_err().to_string();
            assert!(error.starts_with("the secret is not a text"), "{error}");
            assert!(!error.contains("1234") && !error.contains("hush"), "{error}");
        }
        assert_eq!(serde_json::from_str::<Secret>("\"hush\"").unwrap().expose(), "hush");
    }
}

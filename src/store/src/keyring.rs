//! The keys of signed documents: RSA pairs, as BOSH's config server makes them (`variables:` of type `rsa`).
//!
//! The control plane has a private key and signs with it. Everyone has a list of public keys and accepts what any of
//! them fits: for the time in which a key is replaced there are two. A database's VM has public keys alone.

use std::fmt::Write as _;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// The keys that a process has. It has no `Debug`: a private key never reaches a log.
#[derive(Clone)]
pub struct Keyring {
    signing: Option<Signing>,
    public: Arc<[PublicKey]>,
}

#[derive(Clone)]
struct Signing {
    pair: Arc<RsaPair>,
    id: String,
}

/// A key that documents are verified with.
#[derive(Clone)]
struct PublicKey {
    /// `RSAPublicKey` of PKCS#1.
    der: Vec<u8>,
    id: String,
}

/// A signature, and the key that fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key: String,
    /// Hexadecimal.
    pub(crate) text: String,
}

/// Why a document's signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// None of our public keys has this id.
    UnknownKey(String),
    /// The key is ours, the signature is not its own.
    Wrong,
}

/// A text is not a key that documents can be signed or verified with. The text itself is not repeated here: it may
/// be a secret with a slip of the pen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The private key cannot be used.
    #[error("the private key of signatures cannot be used: {0}")]
    Private(String),
    /// A public key cannot be used.
    #[error("public key {number} of signatures cannot be used: {problem}")]
    Public {
        /// Which one, from 1.
        number: usize,
        /// Why not.
        problem: String,
    },
    /// There is none.
    #[error("there is no public key to verify signatures with")]
    None,
}

/// So much of a key's SHA-256 names it, in hexadecimal digits.
const ID_DIGITS: usize = 16;

impl Keyring {
    /// The keys in these PEM texts: an RSA private key of 2048 to 4096 bits (PKCS#1 or PKCS#8), whose own public key
    /// need not be named, and any number of public keys.
    ///
    /// # Errors
    /// A text is no such key, or there is none at all.
    pub fn new(private: Option<&str>, public: &[String]) -> Result<Self, KeyError> {
        let signing = private.map(read_private).transpose()?;
        let mut keys: Vec<PublicKey> = Vec::new();
        if let Some(signing) = &signing {
            keys.push(PublicKey::of(signing.pair.public_key().as_ref().to_vec()));
        }
        for (text, number) in public.iter().zip(1..) {
            let key = read_public(text).map_err(|problem| KeyError::Public { number, problem })?;
            if !keys.iter().any(|known| known.id == key.id) {
                keys.push(key);
            }
        }
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self { signing, public: keys.into() }) }
    }

    /// Whether documents can be signed with it.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.signing.is_some()
    }

    /// The ids of the keys that are accepted, the own one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.public.iter().map(|key| key.id.as_str())
    }

    /// Signs a text; none without a private key. The same text and key give the same signature.
    pub(crate) fn sign(&self, text: &str) -> Option<Signature> {
        let signing = self.signing.as_ref()?;
        let mut bytes = vec![0; signing.pair.public().modulus_len()];
        let signed = signing.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut bytes);
        signed.expect("a key that was read signs, and the buffer has its length");
        Some(Signature { key: signing.id.clone(), text: hex::encode(bytes) })
    }

    pub(crate) fn verify(&self, text: &str, signature: &Signature) -> Result<(), Mismatch> {
        let Some(key) = self.public.iter().find(|key| key.id == signature.key) else {
            return Err(Mismatch::UnknownKey(signature.key.chars().take(ID_DIGITS).collect()));
        };
        let bytes = hex::decode(&signature.text).map_err(|_| Mismatch::Wrong)?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.der);
        key.verify(text.as_bytes(), &bytes).map_err(|_| Mismatch::Wrong)
    }
}

impl PublicKey {
    fn of(der: Vec<u8>) -> Self {
        let mut id = String::new();
        for byte in &Sha256::digest(&der)[..ID_DIGITS / 2] {
            write!(id, "{byte:02x}").expect("a String takes everything");
        }
        Self { der, id }
    }
}

fn read_private(text: &str) -> Result<Signing, KeyError> {
    let wrong = |problem: String| KeyError::Private(problem);
    let pem = text.as_bytes();
    let pair = if let Ok(key) = PrivatePkcs1KeyDer::from_pem_slice(pem) {
        RsaPair::from_der(key.secret_pkcs1_der())
    } else if let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
        RsaPair::from_pkcs8(key.secret_pkcs8_der())
    } else {
        return Err(wrong("it is no RSA private key in PEM".into()));
    };
    let pair =
        pair.map_err(|rejected| wrong(format!("{rejected} (it has to be RSA, of 2048 to 4096 bits)")))?;
    let id = PublicKey::of(pair.public_key().as_ref().to_vec()).id;
    Ok(Signing { pair: Arc::new(pair), id })
}

fn read_public(text: &str) -> Result<PublicKey, String> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = sections.ok().filter(|found| found.len() == 1).and_then(|mut found| found.pop());
    let Some((SectionKind::PublicKey, spki)) = found else {
        return Err("it is not one public key in PEM (`BEGIN PUBLIC KEY`)".into());
    };
    let der = pkcs1_of(&spki).ok_or("it is no RSA key")?;
    Ok(PublicKey::of(der.to_vec()))
}

/// `SEQUENCE { OID rsaEncryption, NULL }`
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The `RSAPublicKey` within a `SubjectPublicKeyInfo`: `SEQUENCE { algorithm, BIT STRING { RSAPublicKey } }`.
fn pkcs1_of(spki: &[u8]) -> Option<&[u8]> {
    let (body, rest) = element(spki, 0x30)?;
    let bits = body.strip_prefix(RSA_ENCRYPTION)?;
    let (bits, after) = element(bits, 0x03)?;
    let whole = rest.is_empty() && after.is_empty();
    bits.strip_prefix(&[0]).filter(|_| whole) // No bits unused.
}

/// The content of the DER element with this tag at the beginning of `bytes`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = include_str!("../../sim/src/keys/one.pem");
    const ONE_PUBLIC: &str = include_str!("../../sim/src/keys/one.pub.pem");
    const TWO: &str = include_str!("../../sim/src/keys/two.pem");
    const TWO_PUBLIC: &str = include_str!("../../sim/src/keys/two.pub.pem");

    fn ring(private: Option<&str>, public: &[&str]) -> Keyring {
        let public: Vec<String> = public.iter().map(|text| (*text).to_owned()).collect();
        Keyring::new(private, &public).ok().unwrap()
    }

    #[test]
    fn what_one_key_signs_its_public_key_verifies_and_no_other() {
        let signature = ring(Some(ONE), &[]).sign("text").unwrap();
        let agent = ring(None, &[ONE_PUBLIC]);
        assert_eq!(agent.verify("text", &signature), Ok(()));
        assert_eq!(agent.verify("texu", &signature), Err(Mismatch::Wrong));
        let unknown = ring(None, &[TWO_PUBLIC]).verify("text", &signature);
        assert_eq!(unknown, Err(Mismatch::UnknownKey(signature.key.clone())));
        let renamed = Signature { key: ring(Some(TWO), &[]).sign("text").unwrap().key, ..signature };
        assert_eq!(ring(None, &[TWO_PUBLIC]).verify("text", &renamed), Err(Mismatch::Wrong));
    }

    #[test]
    fn while_a_key_is_replaced_both_are_accepted() {
        let old = ring(Some(ONE), &[]).sign("old").unwrap();
        let new = ring(Some(TWO), &[ONE_PUBLIC]);
        assert_eq!(new.verify("old", &old), Ok(()), "the control plane, with its new key");
        let agent = ring(None, &[ONE_PUBLIC, TWO_PUBLIC, ONE_PUBLIC]);
        assert_eq!(agent.ids().count(), 2);
        assert_eq!(agent.verify("new", &new.sign("new").unwrap()), Ok(()));
        assert!(agent.sign("text").is_none() && !agent.can_sign(), "public keys sign nothing");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_told() {
        let hush = "hush".to_owned();
        let private = Keyring::new(Some("hush"), &[]).err().unwrap();
        let public = Keyring::new(Some(ONE), &[hush]).err().unwrap();
        let swapped = Keyring::new(None, &[ONE.to_owned()]).err().unwrap();
        assert!(Keyring::new(None, &[]).is_err());
        for error in [private, public, swapped] {
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}

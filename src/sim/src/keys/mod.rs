//! Two pairs of keys that sign documents in tests. They are in the source: they guard nothing.

use remount_store::Keyring;

/// The control plane's private key.
pub const PRIVATE: &str = include_str!("one.pem");
/// Its public key.
pub const PUBLIC: &str = include_str!("one.pub.pem");
/// A private key that the landscape does not know.
pub const OTHER_PRIVATE: &str = include_str!("two.pem");
/// Its public key.
pub const OTHER_PUBLIC: &str = include_str!("two.pub.pem");

/// The control plane's keys.
#[must_use]
pub fn control_plane() -> Keyring {
    ring(Some(PRIVATE), &[])
}

/// The keys of a database's VM: it can sign nothing.
#[must_use]
pub fn agent() -> Keyring {
    ring(None, &[PUBLIC])
}

/// The keys of somebody else.
#[must_use]
pub fn stranger() -> Keyring {
    ring(Some(OTHER_PRIVATE), &[])
}

fn ring(private: Option<&str>, public: &[&str]) -> Keyring {
    let public: Vec<String> = public.iter().map(|text| (*text).to_owned()).collect();
    Keyring::new(private, &public).expect("the keys of the tests are keys")
}

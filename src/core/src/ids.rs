//! Names and ids. Each is a type of its own, so that no function can take one for another.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The text cannot be an id of the kind that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} ({rule})")]
pub struct IdError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

/// Declares a checked text type: every id needs the same seven impls and differs in its rule alone.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id with this text.
            ///
            /// # Errors
            /// The text breaks the rule of this kind of id.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(&text) { Ok(Self(text)) } else { Err(IdError { kind: $kind, text, rule: $rule }) }
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

/// Letters, digits, `-`, `_` and `.`, not beginning with a dot: safe as one path element in every store.
fn is_path_element(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(safe) && !text.starts_with('.')
}

/// A deployment's name, or `deployment@group`.
fn is_cluster_name(text: &str) -> bool {
    let parts = text.split_once('@').map_or((text, None), |(deployment, group)| (deployment, Some(group)));
    text.len() <= 128 && is_path_element(parts.0) && parts.1.is_none_or(is_path_element)
}

/// A CID is the CPI's word: anything printable without blanks (Azure's hold `:` and `;`).
fn is_cid(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// `20261123T004500Z-k3f9`: a UTC time and four characters.
fn is_run_id(text: &str) -> bool {
    let shape = b"dddddddd-dddddd--xxxx";
    let fits = |(b, s): (u8, &u8)| match s {
        b'd' => b.is_ascii_digit(),
        b'x' => b.is_ascii_digit() || b.is_ascii_lowercase(),
        _ => matches!(b, b'T' | b'Z' | b'-'),
    };
    text.len() == shape.len() && text.bytes().zip(shape).all(fits)
}

/// 128 random bits.
fn is_store_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

text_id!(
    /// The name of a BOSH deployment.
    DeploymentName, "deployment name", "letters, digits, `-`, `_` and `.`, up to 128", is_path_element
);
text_id!(
    /// The name of an instance group of a deployment.
    GroupName, "instance group name", "letters, digits, `-`, `_` and `.`, up to 128", is_path_element
);
text_id!(
    /// The id (uuid) of a BOSH instance. It stays when the VM is replaced.
    InstanceId, "instance id", "letters, digits, `-`, `_` and `.`, up to 128", is_path_element
);
text_id!(
    /// A primary with its standbys: one PostgreSQL group of one deployment. See [`ClusterName::of`].
    ClusterName, "cluster name", "DEPLOYMENT or DEPLOYMENT@GROUP, up to 128 characters", is_cluster_name
);
text_id!(
    /// The cloud's id of a disk, in the form of the CPI.
    DiskCid, "disk CID", "printable, without blanks, up to 512 characters", is_cid
);
text_id!(
    /// The cloud's id of a snapshot, in the form of the CPI.
    SnapshotCid, "snapshot CID", "printable, without blanks, up to 512 characters", is_cid
);
text_id!(
    /// The cloud's id of a VM, in the form of the CPI.
    VmCid, "VM CID", "printable, without blanks, up to 512 characters", is_cid
);
text_id!(
    /// A word of a cloud that is kept and given back, never understood: a key, a level, a group.
    CloudText, "word of a cloud", "printable, without blanks, up to 512 characters", is_cid
);
text_id!(
    /// Decided by us before a create call and kept with the object, so that asking twice makes one.
    RequestKey, "request key", "letters, digits, `-`, `_` and `.`, up to 128", is_path_element
);
text_id!(
    /// The id of a backup: when it began and four random characters. Sorts by time.
    BackupId, "backup id", "as 20261123T004500Z-k3f9", is_run_id
);
text_id!(
    /// The id of a restore: when it was asked for and four random characters. Sorts by time.
    RestoreId, "restore id", "as 20261123T004500Z-k3f9", is_run_id
);

text_id!(
    /// The id of an object store: 32 random hex digits, drawn once. A changed bucket or prefix is another store.
    StoreId, "store id", "32 lower-case hexadecimal digits", is_store_id
);

text_id!(
    /// The id of any run: a backup's or a restore's.
    RunId, "run id", "as 20261123T004500Z-k3f9", is_run_id
);

impl From<BackupId> for RunId {
    fn from(id: BackupId) -> Self {
        Self(id.0)
    }
}

impl From<RestoreId> for RunId {
    fn from(id: RestoreId) -> Self {
        Self(id.0)
    }
}

impl ClusterName {
    /// The name of a deployment's PostgreSQL group: the deployment's where it has only that one, else both with `@`
    /// between them. No name of a deployment or group holds an `@`, so that no two groups ever have one name.
    ///
    /// # Errors
    /// The two names together are too long.
    pub fn of(deployment: &DeploymentName, group: Option<&GroupName>) -> Result<Self, IdError> {
        match group {
            None => Self::new(deployment.as_str()),
            Some(group) => Self::new(format!("{deployment}@{group}")),
        }
    }
}

/// The 36 characters that end a run id.
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Writes a run id. Time and randomness are the caller's: the core has neither.
fn run_id(at: Timestamp, random: u32) -> String {
    let mut rest = random;
    let tail: String = (0..4)
        .map(|_| {
            let character = ALPHABET[(rest % 36) as usize];
            rest /= 36;
            char::from(character)
        })
        .collect();
    format!("{}-{tail}", at.strftime("%Y%m%dT%H%M%SZ"))
}

impl BackupId {
    /// The id of a backup begun at `at`; any `random` will do.
    #[must_use]
    pub fn at(at: Timestamp, random: u32) -> Self {
        Self(run_id(at, random))
    }
}

impl StoreId {
    /// The id made of these random bits.
    #[must_use]
    pub fn of(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }
}

impl RestoreId {
    /// The id of a restore asked for at `at`; any `random` will do.
    #[must_use]
    pub fn at(at: Timestamp, random: u32) -> Self {
        Self(run_id(at, random))
    }
}

/// PostgreSQL's system identifier: chosen by `initdb`, shared by a primary and all its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SystemIdentifier(pub u64);

impl fmt::Display for SystemIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SystemIdentifier {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError { kind: "system identifier", text: text.to_owned(), rule: "a whole number" };
        text.parse().map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for SystemIdentifier {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<SystemIdentifier> for String {
    fn from(id: SystemIdentifier) -> Self {
        id.to_string()
    }
}

/// An instance of a deployment: `group/uuid`, as BOSH shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceSlug {
    /// Its instance group.
    pub group: GroupName,
    /// Its id.
    pub id: InstanceId,
}

impl fmt::Display for InstanceSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.id)
    }
}

/// What a server is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows a primary.
    Standby,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_says_when_and_sorts_by_it() {
        let early: Timestamp = "2026-11-23T00:45:00Z".parse().unwrap();
        let late: Timestamp = "2026-11-23T00:45:01Z".parse().unwrap();
        let id = BackupId::at(early, u32::MAX);
        assert!(id.as_str().starts_with("20261123T004500Z-"), "{id}");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id < BackupId::at(late, 0));
    }

    #[test]
    fn no_two_groups_have_one_cluster_name() {
        let of = |deployment: &str, group: Option<&str>| {
            let group = group.map(|group| group.parse().unwrap());
            ClusterName::of(&deployment.parse().unwrap(), group.as_ref()).unwrap().to_string()
        };
        assert_eq!(of("pg-0001", None), "pg-0001");
        assert_eq!(of("pg", Some("a")), "pg@a");
        assert_ne!(of("pg-a", None), of("pg", Some("a")));
        assert_ne!(of("pg-a", Some("b")), of("pg", Some("a-b")));
        for wrong in ["pg@", "@a", "pg@a@b", "pg@../x"] {
            assert!(ClusterName::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_could_leave_the_clusters_folder_is_no_name() {
        for text in ["", "..", ".hidden", "a/b", "a b", "a\nb", "ä"] {
            assert!(ClusterName::new(text).is_err(), "{text:?} was accepted");
        }
    }
}

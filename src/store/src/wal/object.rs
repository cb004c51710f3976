//! One archived file as an object: its facts, compressed on the way in, verified on the way out.

use std::io::{self, Read, Write};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::wal::Codec;
use crate::{Damage, Metadata, Object};

/// The facts that travel with an archived file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Length of the raw content.
    pub(crate) raw_bytes: u64,
    /// SHA-256 of the raw content, hexadecimal.
    pub(crate) raw_sha256: String,
    /// Of segments: the last commit in it.
    pub(crate) last_commit: Option<Timestamp>,
}

const RAW_BYTES: &str = "raw-bytes";
const RAW_SHA256: &str = "raw-sha256";
const LAST_COMMIT: &str = "last-commit";

/// No file that PostgreSQL archives is longer than the largest segment.
const LONGEST_FILE: u64 = 1 << 30;

impl Facts {
    pub(crate) fn of(content: &[u8], last_commit: Option<Timestamp>) -> Self {
        let raw_sha256 = hex::encode(Sha256::digest(content));
        Self { raw_bytes: content.len() as u64, raw_sha256, last_commit }
    }

    pub(crate) fn to_metadata(&self) -> Metadata {
        let mut metadata = Metadata::from([
            (RAW_BYTES.to_owned(), self.raw_bytes.to_string()),
            (RAW_SHA256.to_owned(), self.raw_sha256.clone()),
        ]);
        if let Some(time) = self.last_commit {
            metadata.insert(LAST_COMMIT.to_owned(), time.to_string());
        }
        metadata
    }

    pub(crate) fn from_metadata(metadata: &Metadata) -> Result<Self, Damage> {
        let raw_bytes = metadata.get(RAW_BYTES).and_then(|text| text.parse().ok());
        let raw_bytes =
            raw_bytes.filter(|bytes| *bytes <= LONGEST_FILE).ok_or(Damage::Metadata(RAW_BYTES))?;
        let raw_sha256 = metadata.get(RAW_SHA256).cloned().ok_or(Damage::Metadata(RAW_SHA256))?;
        let last_commit = metadata.get(LAST_COMMIT).and_then(|text| text.parse().ok());
        Ok(Self { raw_bytes, raw_sha256, last_commit })
    }

    /// Whether both are of the same content.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.raw_bytes == other.raw_bytes && self.raw_sha256 == other.raw_sha256
    }
}

/// Bytes that are decompressed, hashed and handed on at a time: a segment never lies in memory as a whole, whose
/// pages the kernel would have to clear for every call.
const CHUNK_BYTES: usize = 256 << 10;

/// What is known of a file that was handed on.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Its first bytes, as many as were asked for.
    pub(crate) first: Vec<u8>,
    /// Its length.
    pub(crate) raw_bytes: u64,
}

/// Hands the raw content of an archived file on to `target`.
///
/// # Errors
/// Whatever `target` has got by then must not be used.
pub(crate) fn unpack(
    object: &Object,
    codec: Codec,
    first_bytes: usize,
    target: &mut (dyn Write + Send),
) -> Result<Unpacked, UnpackError> {
    let facts = Facts::from_metadata(&object.metadata)?;
    let undecodable =
        |error: io::Error| Damage::Codec { codec: codec.suffix().to_owned(), detail: error.to_string() };
    let mut reader = codec.reader(&object.content).map_err(undecodable)?.take(facts.raw_bytes + 1);
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut first, mut raw_bytes, mut sha256) = (Vec::new(), 0, Sha256::new());
    loop {
        let read = reader.read(&mut chunk).map_err(undecodable)?;
        if read == 0 {
            break;
        }
        let part = &chunk[..read];
        raw_bytes += read as u64;
        sha256.update(part);
        first.extend_from_slice(&part[..read.min(first_bytes - first.len())]);
        target.write_all(part).map_err(UnpackError::Target)?;
    }
    if raw_bytes != facts.raw_bytes {
        return Err(Damage::Length { actual_bytes: raw_bytes, expected_bytes: facts.raw_bytes }.into());
    }
    if hex::encode(sha256.finalize()) != facts.raw_sha256 {
        return Err(Damage::Checksum.into());
    }
    Ok(Unpacked { first, raw_bytes })
}

/// Why an archived file was not handed on.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// It is not what was pushed.
    Damage(Damage),
    /// Where it was to go did not take it.
    Target(io::Error),
}

impl From<Damage> for UnpackError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

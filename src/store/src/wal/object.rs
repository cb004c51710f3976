//! One archived file as an object: a header with its facts, then the content, compressed on the way in, verified on
//! the way out.
//!
//! | bytes | hold |
//! |---|---|
//! | 0 to 7 | `RMNTWAL` and a line feed |
//! | 8 | the format, 1 |
//! | 9 | the codec: 0 none, 1 lz4, 2 zst |
//! | 10, 11 | zeros |
//! | 12 to 19 | the length of the raw content |
//! | 20 to 51 | the SHA-256 of the raw content |
//! | 52 to 59 | the last commit in the segment, in microseconds since 1970; the smallest number: none |
//! | 60 to 63 | the first four bytes of the SHA-256 of bytes 0 to 59 |
//!
//! Numbers are little-endian. What proves the content lies in the object itself, so that no copy between stores or
//! shares (`cp -r`, `tar`, bucket to bucket) can lose it. The codec is there too and not in the name: so one conditional
//! create decides about a file, whatever codec it is pushed with.

use std::io::{self, Read, Write};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::Damage;
use crate::wal::Codec;
use crate::wal::header::u64_at;

/// The facts that travel with an archived file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How the content is stored.
    pub(crate) codec: Codec,
    /// Length of the raw content.
    pub(crate) raw_bytes: u64,
    /// SHA-256 of the raw content.
    pub(crate) raw_sha256: [u8; 32],
    /// Of segments: the last commit in it.
    pub(crate) last_commit: Option<Timestamp>,
}

/// Length of the header.
pub(crate) const HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 8] = b"RMNTWAL\n";
const FORMAT: u8 = 1;
/// Where the header's own checksum begins.
const CHECKED: usize = 60;
const NO_COMMIT: i64 = i64::MIN;

/// No file that PostgreSQL archives is longer than the largest segment.
pub(crate) const LONGEST_FILE: u64 = 1 << 30;

impl Facts {
    pub(crate) fn of(content: &[u8], codec: Codec, last_commit: Option<Timestamp>) -> Self {
        let raw_sha256 = Sha256::digest(content).into();
        Self { codec, raw_bytes: content.len() as u64, raw_sha256, last_commit }
    }

    /// The object: header and compressed content.
    pub(crate) fn pack(&self, content: &Bytes) -> io::Result<Bytes> {
        let packed = self.codec.compress(content)?;
        let mut object = Vec::with_capacity(HEADER_BYTES + packed.len());
        object.extend_from_slice(&self.header());
        object.extend_from_slice(&packed);
        Ok(object.into())
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let commit = self.last_commit.map_or(NO_COMMIT, Timestamp::as_microsecond);
        header[..8].copy_from_slice(MAGIC);
        header[8] = FORMAT;
        header[9] = self.codec.number();
        header[12..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        header[20..52].copy_from_slice(&self.raw_sha256);
        header[52..CHECKED].copy_from_slice(&commit.to_le_bytes());
        let check = Sha256::digest(&header[..CHECKED]);
        header[CHECKED..].copy_from_slice(&check[..HEADER_BYTES - CHECKED]);
        header
    }

    /// Reads the header at the beginning of an object.
    pub(crate) fn parse(object: &[u8]) -> Result<Self, Damage> {
        let wrong = |detail: &str| Damage::Header(detail.to_owned());
        let header = object.get(..HEADER_BYTES).ok_or_else(|| wrong("the object is too short for one"))?;
        if !header.starts_with(MAGIC) {
            return Err(wrong("the object does not begin with one: Remount did not write it"));
        }
        if Sha256::digest(&header[..CHECKED])[..HEADER_BYTES - CHECKED] != header[CHECKED..] {
            return Err(wrong("its checksum is not its own"));
        }
        if header[8] != FORMAT {
            return Err(wrong("a newer version of Remount wrote it: use that one"));
        }
        let codec = Codec::numbered(header[9]).ok_or_else(|| wrong("its codec is unknown"))?;
        let raw_bytes = u64_at(header, 12).filter(|bytes| *bytes <= LONGEST_FILE);
        let raw_bytes = raw_bytes.ok_or_else(|| wrong("its length is impossible"))?;
        let raw_sha256 = header[20..52].try_into().map_err(|_| wrong("it is cut"))?;
        let commit = u64_at(header, 52).map_or(NO_COMMIT, u64::cast_signed);
        let last_commit = if commit == NO_COMMIT { None } else { Timestamp::from_microsecond(commit).ok() };
        Ok(Self { codec, raw_bytes, raw_sha256, last_commit })
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

/// What an archived file of a certain name can be: what its header says is not believed beyond that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long its raw content can be.
    pub(crate) raw_bytes: u64,
    /// Whether it can be compressed.
    pub(crate) may_be_compressed: bool,
}

/// Hands the raw content of an archived file on to `target`.
///
/// # Errors
/// Whatever `target` has got by then must not be used.
pub(crate) fn unpack(
    object: &[u8],
    first_bytes: usize,
    limits: Limits,
    target: &mut (dyn Write + Send),
) -> Result<Unpacked, UnpackError> {
    let facts = Facts::parse(object)?;
    let codec = facts.codec;
    if facts.raw_bytes > limits.raw_bytes {
        return Err(Damage::TooLong { most_bytes: limits.raw_bytes }.into());
    }
    if codec != Codec::Raw && !limits.may_be_compressed {
        let detail = "a text file is never compressed".to_owned();
        return Err(Damage::Codec { codec: codec.to_string(), detail }.into());
    }
    let undecodable =
        |error: io::Error| Damage::Codec { codec: codec.to_string(), detail: error.to_string() };
    let mut reader = codec.reader(&object[HEADER_BYTES..]).map_err(undecodable)?.take(facts.raw_bytes + 1);
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
    if sha256.finalize()[..] != facts.raw_sha256 {
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

//! The records of a journal: length (u32), type (u8), payload, checksum (8 bytes of BLAKE3 over type and
//! payload). Integers are little-endian.
//!
//! Records only add knowledge. No record takes anything back, because the end of a file is the part that gets
//! lost. To take something back, the journal is replaced ([`Journal::replace`](super::Journal::replace)).

use super::{DriveRecord, Header};
use crate::chunk::AckedChunk;
use crate::digest::Digest;
use crate::disk::{Evidence, PartRecord};
use crate::error::{Error, Kind, Result};
use serde::Serialize;

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The description of the transfer, as JSON; always the first record and the only one of its type.
    Header(Box<Header>),
    /// The drive, as JSON.
    Drive(DriveRecord),
    /// A run began with the destination at this generation.
    Claim(String),
    /// All records before this byte of the journal describe data that is safe.
    Synced(u64),
    /// The destination acknowledged a chunk.
    Chunk(AckedChunk),
    /// The temporary file of a download, as JSON.
    Part(PartRecord),
    /// The evidence of the destination at the end of the run, as JSON.
    Evidence(Evidence),
    /// The evidence of the source drive at the start of the transfer, as JSON.
    Source(Evidence),
}

/// The longest payload in bytes. A header with long paths is far shorter.
const MAX_PAYLOAD: usize = 1 << 20;
const CHECKSUM: usize = 8;

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Header(_) => 0,
            Record::Drive(_) => 1,
            Record::Claim(_) => 2,
            Record::Synced(_) => 3,
            Record::Chunk(_) => 4,
            Record::Part(_) => 5,
            Record::Evidence(_) => 6,
            Record::Source(_) => 7,
        }
    }

    /// Returns the bytes of the record.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let payload = match self {
            Record::Header(header) => json(header)?,
            Record::Drive(drive) => json(drive)?,
            Record::Part(part) => json(part)?,
            Record::Evidence(evidence) | Record::Source(evidence) => json(evidence)?,
            Record::Claim(generation) => generation.clone().into_bytes(),
            Record::Synced(position) => position.to_le_bytes().to_vec(),
            Record::Chunk(chunk) => {
                let mut payload = Vec::with_capacity(49);
                payload.extend(chunk.index.to_le_bytes());
                payload.extend(chunk.len.to_le_bytes());
                payload.push(u8::from(chunk.zero));
                payload.extend(chunk.digest.0);
                payload
            }
        };
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::new(
                Kind::Journal,
                "cannot record the transfer in its journal: the record is longer than 1 MiB",
            ));
        }
        let mut bytes = Vec::with_capacity(payload.len() + 13);
        bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.push(self.kind());
        bytes.extend(payload);
        let sum = checksum(&bytes[4..]);
        bytes.extend(sum);
        Ok(bytes)
    }

    /// Parses the first record of `bytes` and returns it with its length. Returns `None` if it is incomplete
    /// or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<(Record, usize)> {
        let len = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        if len > MAX_PAYLOAD {
            return None;
        }
        let checked = bytes.get(4..5 + len)?;
        if bytes.get(5 + len..5 + len + CHECKSUM)? != checksum(checked) {
            return None;
        }
        let (kind, payload) = checked.split_first()?;
        let record = match kind {
            0 => Record::Header(serde_json::from_slice(payload).ok()?),
            1 => Record::Drive(serde_json::from_slice(payload).ok()?),
            2 => Record::Claim(String::from_utf8(payload.to_vec()).ok()?),
            3 => Record::Synced(u64::from_le_bytes(payload.try_into().ok()?)),
            4 => {
                let (index, rest) = payload.split_first_chunk()?;
                let (len, rest) = rest.split_first_chunk()?;
                let (zero, digest) = rest.split_first()?;
                Record::Chunk(AckedChunk {
                    index: u64::from_le_bytes(*index),
                    len: u64::from_le_bytes(*len),
                    digest: Digest(digest.try_into().ok()?),
                    zero: *zero != 0,
                })
            }
            5 => Record::Part(serde_json::from_slice(payload).ok()?),
            6 => Record::Evidence(serde_json::from_slice(payload).ok()?),
            7 => Record::Source(serde_json::from_slice(payload).ok()?),
            _ => return None,
        };
        Some((record, 5 + len + CHECKSUM))
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Error::new(Kind::Journal, "cannot record the transfer in its journal").source(e))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM]);
    sum
}

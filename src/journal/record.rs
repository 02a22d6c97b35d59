//! The records of a journal and their bytes: length (u32), type (u8), payload, checksum (8 bytes of BLAKE3 over type
//! and payload); integers little-endian.

use super::{DriveRecord, Header};
use crate::chunk::AckedChunk;
use crate::encode::digest::Digest;
use crate::error::{Error, Kind, Result};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// What the transfer is, as JSON.
    Header(Box<Header>),
    /// The drive, as JSON.
    Drive(DriveRecord),
    /// A run began on this boot of the kernel.
    Boot(String),
    /// All records before this byte of the journal speak of bytes that are safe on disk.
    Synced(u64),
    /// The far end has taken a chunk.
    Chunk(AckedChunk),
    /// A chunk has to be moved again.
    Revoked(u64),
}

/// The longest payload: a header with long paths is far below.
const MAX_PAYLOAD: usize = 1 << 20;
const CHECKSUM: usize = 8;

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Header(_) => 0,
            Record::Drive(_) => 1,
            Record::Boot(_) => 2,
            Record::Synced(_) => 3,
            Record::Chunk(_) => 4,
            Record::Revoked(_) => 5,
        }
    }

    /// The record as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let unwritable = |e| Error::new(Kind::Journal, "the journal cannot describe this transfer").source(e);
        let payload = match self {
            Record::Header(header) => serde_json::to_vec(header).map_err(unwritable)?,
            Record::Drive(drive) => serde_json::to_vec(drive).map_err(unwritable)?,
            Record::Boot(id) => id.clone().into_bytes(),
            Record::Synced(number) | Record::Revoked(number) => number.to_le_bytes().to_vec(),
            Record::Chunk(chunk) => {
                let mut payload = Vec::with_capacity(49);
                payload.extend(chunk.index.to_le_bytes());
                payload.extend(chunk.len.to_le_bytes());
                payload.push(u8::from(chunk.zero));
                payload.extend(chunk.digest.0);
                payload
            }
        };
        let mut bytes = Vec::with_capacity(payload.len() + 13);
        bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.push(self.kind());
        bytes.extend(payload);
        let sum = checksum(&bytes[4..]);
        bytes.extend(sum);
        Ok(bytes)
    }

    /// Whether some bytes are the beginning of a record and no more: what is left when its writing was interrupted.
    pub fn is_torn(bytes: &[u8]) -> bool {
        match bytes.first_chunk() {
            None => true,
            Some(len) => {
                let len = u32::from_le_bytes(*len) as usize;
                len <= MAX_PAYLOAD && bytes.len() < 5 + len + CHECKSUM
            }
        }
    }

    /// The first record of some bytes and how many it takes; `None` if there is no whole, undamaged one.
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
            2 => Record::Boot(String::from_utf8(payload.to_vec()).ok()?),
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
            5 => Record::Revoked(u64::from_le_bytes(payload.try_into().ok()?)),
            _ => return None,
        };
        Some((record, 5 + len + CHECKSUM))
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM]);
    sum
}

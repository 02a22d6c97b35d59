//! Reading a journal back: what of it is whole, and what of that counts.

use super::record::Record;
use super::{DriveRecord, Header, MAGIC, boot_id};
use crate::chunk::AckedChunk;
use crate::error::{Error, Kind, Result};
use crate::transfer::ledger::Ledger;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What a journal said when it was opened.
#[derive(Debug)]
pub struct Replay {
    /// What the transfer is.
    pub header: Header,
    /// Its drive, if that was known.
    pub drive: Option<DriveRecord>,
    /// The chunks that count as acknowledged.
    pub acked: Vec<AckedChunk>,
    /// Bytes at the end that were not whole and do not count.
    pub torn_bytes: u64,
    /// Chunks that do not count because the machine went down before they were safe.
    pub unsafe_chunks: Vec<u64>,
}

/// Reads a journal without opening it for writing: for lists.
///
/// A journal whose very beginning is torn has nothing to tell, and is as good as none.
pub fn peek(path: &Path) -> Result<Option<Replay>> {
    let mut file = File::open(path).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    read(&mut file, path)
}

/// Reads all whole records and leaves the position at the end of the last.
pub(super) fn read(file: &mut File, path: &Path) -> Result<Option<Replay>> {
    let damaged = |why: &str| {
        Error::new(Kind::Journal, format!("the journal {} is damaged: {why}", path.display()))
            .hint("start over with --restart; nothing at the far end is lost by that")
    };
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    if MAGIC.starts_with(&bytes) {
        return Ok(None);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err(damaged("it does not begin as one"));
    };
    if Record::is_torn(rest) {
        return Ok(None);
    }
    let mut at = MAGIC.len() as u64;
    let mut header = None;
    let mut drive = None;
    let mut boots = Vec::new();
    let mut synced = 0;
    let mut chunks = Vec::new();
    while let Some((record, len)) = Record::from_bytes(rest) {
        match record {
            Record::Header(h) if header.is_none() => header = Some(*h),
            Record::Header(_) => return Err(damaged("it has two headers")),
            Record::Drive(d) => drive = Some(d),
            Record::Boot(id) => boots.push((at, id)),
            Record::Synced(upto) => synced = synced.max(upto),
            Record::Chunk(chunk) => chunks.push((at, Ok(chunk))),
            Record::Revoked(index) => chunks.push((at, Err(index))),
        }
        rest = &rest[len..];
        at += len as u64;
    }
    file.seek(SeekFrom::Start(at)).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    let header = header.ok_or_else(|| damaged("it has no header"))?;

    // Of a download only what was synced counts, unless the machine has been up ever since it was written.
    let now = boot_id();
    let up_since = boots
        .iter()
        .rev()
        .take_while(|(_, id)| !id.is_empty() && *id == now)
        .last()
        .map_or(u64::MAX, |(at, _)| *at);
    let counts = |at: u64| header.action != "download" || at < synced || at >= up_since;
    let mut acked: Vec<AckedChunk> = Vec::new();
    let mut unsafe_chunks = std::collections::BTreeSet::new();
    let mut places = std::collections::HashMap::new();
    for (at, what) in chunks {
        match what {
            Ok(chunk) if !counts(at) => drop(unsafe_chunks.insert(chunk.index)),
            Ok(chunk) => {
                unsafe_chunks.remove(&chunk.index);
                places.insert(chunk.index, acked.len());
                acked.push(chunk);
            }
            Err(index) => {
                unsafe_chunks.remove(&index);
                if let Some(place) = places.remove(&index) {
                    acked[place].len = 0;
                }
            }
        }
    }
    acked.retain(|chunk| chunk.len > 0);
    let unsafe_chunks = unsafe_chunks.into_iter().collect();
    Ok(Some(Replay { header, drive, acked, torn_bytes: rest.len() as u64, unsafe_chunks }))
}

impl Replay {
    /// Notes the acknowledged chunks in a ledger; records that do not fit its geometry are left out.
    pub fn fill(&self, ledger: &mut Ledger) {
        let geometry = ledger.geometry();
        for chunk in &self.acked {
            if chunk.index < geometry.chunks() && chunk.len == geometry.len(chunk.index) {
                ledger.settle(chunk);
            }
        }
    }
}

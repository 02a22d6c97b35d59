//! Reads a journal: finds the complete records and collects what they say.

use super::record::Record;
use super::{DriveRecord, Header, MAGIC, MAGIC_PREFIX};
use crate::chunk::AckedChunk;
use crate::disk::{Evidence, PartRecord};
use crate::error::{Error, Kind, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The longest journal that is read, in bytes: several records for each chunk of the largest image.
const LONGEST: u64 = 4 << 30;

/// The contents of a journal when it was opened.
#[derive(Debug)]
pub struct Replay {
    /// The description of the transfer.
    pub header: Header,
    /// The drive, once it was known.
    pub drive: Option<DriveRecord>,
    /// The acknowledged chunks, each once, in the order of their last acknowledgement.
    pub acked: Vec<AckedChunk>,
    /// How many of `acked`, from the front, were followed by a sync of the file. The others may not be on
    /// disk. Only meaningful for a download.
    pub synced: usize,
    /// The generation of the destination in the last run.
    pub generation: Option<String>,
    /// The temporary file of a download.
    pub part: Option<PartRecord>,
    /// The evidence of the destination at the end of the last run, or `None` if the run could not record it.
    pub evidence: Option<Evidence>,
    /// The evidence of the source drive at the start of the transfer.
    pub source: Option<Evidence>,
    /// The number of bytes at the end that are not a complete record.
    pub torn_bytes: u64,
}

/// Reads a journal without opening it for writing.
///
/// # Errors
/// [`Kind::Journal`] if it cannot be read, has another version, or is damaged before the end of its header.
pub fn peek(path: &Path) -> Result<Replay> {
    let mut file = File::open(path).map_err(|e| unreadable(path, e))?;
    read(&mut file, path)
}

/// Reads all complete records and leaves the file position at the end of the last.
pub(super) fn read(file: &mut File, path: &Path) -> Result<Replay> {
    if file.metadata().map_err(|e| unreadable(path, e))?.len() > LONGEST {
        return Err(damaged(path, "it is larger than the 4 GiB limit"));
    }
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|e| unreadable(path, e))?;
    let (replay, end) = parse(&bytes, path)?;
    file.seek(SeekFrom::Start(end)).map_err(|e| unreadable(path, e))?;
    Ok(replay)
}

/// Parses a journal. Also returns the end of the last complete record. `path` is used in messages.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<(Replay, u64)> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err(foreign(bytes, path));
    };
    let mut at = MAGIC.len() as u64;
    let mut found = Found::default();
    while let Some((record, len)) = Record::from_bytes(rest) {
        found.take(at, record).map_err(|why| damaged(path, why))?;
        rest = &rest[len..];
        at += len as u64;
    }
    let replay = found.replay(rest.len() as u64).ok_or_else(|| damaged(path, "its header is incomplete"))?;
    Ok((replay, at))
}

/// The state collected from the records so far.
#[derive(Default)]
struct Found {
    header: Option<Header>,
    drive: Option<DriveRecord>,
    generation: Option<String>,
    part: Option<PartRecord>,
    evidence: Option<Evidence>,
    source: Option<Evidence>,
    /// The byte up to which everything was synced.
    synced: u64,
    /// The chunks by index, each with the position of its last record.
    chunks: HashMap<u64, (u64, AckedChunk)>,
}

impl Found {
    fn take(&mut self, at: u64, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Header(header) if self.header.is_none() => self.header = Some(*header),
            Record::Header(_) => return Err("it has two headers"),
            // The header is written first, in the same step that creates the file.
            _ if self.header.is_none() => return Err("its header is missing"),
            Record::Drive(drive) => self.drive = Some(drive),
            Record::Part(part) => self.part = Some(part),
            Record::Source(source) => self.source = Some(source),
            Record::Claim(generation) => {
                self.generation = Some(generation);
                // The evidence from the end of an earlier run says nothing about the end of this one.
                self.evidence = None;
            }
            Record::Evidence(evidence) => self.evidence = Some(evidence),
            // A mark can only cover records before it.
            Record::Synced(upto) => self.synced = self.synced.max(upto.min(at)),
            Record::Chunk(chunk) => drop(self.chunks.insert(chunk.index, (at, chunk))),
        }
        Ok(())
    }

    fn replay(self, torn_bytes: u64) -> Option<Replay> {
        let header = self.header?;
        let mut chunks: Vec<(u64, AckedChunk)> = self.chunks.into_values().collect();
        chunks.sort_unstable_by_key(|(at, _)| *at);
        let synced = chunks.iter().take_while(|(at, _)| *at < self.synced).count();
        Some(Replay {
            header,
            drive: self.drive,
            acked: chunks.into_iter().map(|(_, chunk)| chunk).collect(),
            synced,
            generation: self.generation,
            part: self.part,
            evidence: self.evidence,
            source: self.source,
            torn_bytes,
        })
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Journal, format!("cannot read the journal {}", path.display())).source(error)
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(Kind::Journal, format!("the journal {} is damaged: {why}", path.display())).hint(
        "start over with `--restart`; check `diskferry drive list` first for a drive that the earlier run created",
    )
}

/// Returns the version of a journal that another version of diskferry wrote; `None` if it is of this one, or no journal.
pub(super) fn other_version(path: &Path) -> Option<u32> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(64).read_to_end(&mut start).ok()?;
    if start.starts_with(MAGIC) { None } else { version(&start) }
}

/// The version in the first line of a journal.
fn version(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(MAGIC_PREFIX)?;
    let line = &rest[..rest.iter().position(|b| *b == b'\n')?];
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// The error for a file that does not begin as a journal of this version does.
fn foreign(bytes: &[u8], path: &Path) -> Error {
    match version(bytes) {
        Some(version) => Error::new(
            Kind::Journal,
            format!(
                "the journal {} has version {version}: another version of diskferry wrote it",
                path.display()
            ),
        )
        .hint("resume with the diskferry that wrote it, or start over with `--restart`"),
        None => damaged(path, "it does not begin as a journal does"),
    }
}

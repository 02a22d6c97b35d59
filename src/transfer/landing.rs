//! A stream whose length is known only at its end, into a file or onto standard output.

use super::Context;
use super::ledger::Ledger;
use super::threads;
use crate::chunk::{AckedChunk, Geometry};
use crate::encode::digest::{Algorithm, hex};
use crate::encode::zero::is_zero;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::meters::Meters;
use crate::sink::PartFile;
use crate::source::pipe::PipeReader;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

/// Where a stream lands.
pub enum Ground {
    /// A file; its zeros become holes, and its length is set at the end.
    File(PartFile),
    /// Anything that takes bytes.
    Stream(Box<dyn Write + Send>),
}

/// What has landed.
#[derive(Debug)]
pub struct Landed {
    /// Every chunk, with its digest.
    pub ledger: Ledger,
    /// Chunks that hold data.
    pub data: u64,
    /// Chunks of zeros.
    pub zero: u64,
    /// The SHA-256 of it all, if it was asked for.
    pub sha256: Option<String>,
}

/// How the stream is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looking {
    /// Bytes a chunk.
    pub chunk_size: u64,
    /// The algorithm of chunk digests.
    pub digest: Algorithm,
    /// Whether the SHA-256 of it all is wanted.
    pub sha256: bool,
}

/// Reads the stream to its end, on a thread of its own. One without any bytes is an error. A stop ends the wait at once:
/// what a stream has left cannot be resumed.
pub async fn land(reader: PipeReader, ground: Ground, looking: Looking, context: &Context) -> Result<Landed> {
    (context.observer)(&Event::Stage(Stage::Transfer));
    let meters = Arc::clone(&context.meters);
    let mut landing = threads::spawn("writing", move || run(reader, ground, looking, &meters))?;
    context.stop.unless_asked(landing.wait()).await
}

fn run(mut reader: PipeReader, mut ground: Ground, looking: Looking, meters: &Meters) -> Result<Landed> {
    let failure = reader.failure();
    let mut sha = looking.sha256.then(Sha256::new);
    let mut chunks: Vec<AckedChunk> = Vec::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    loop {
        buffer.clear();
        (&mut reader)
            .take(looking.chunk_size)
            .read_to_end(&mut buffer)
            .map_err(|e| failure.behind(e, "reading the stream failed").offset(at))?;
        if buffer.is_empty() {
            break;
        }
        let start = Instant::now();
        if let Some(sha) = &mut sha {
            sha.update(&buffer);
        }
        let zero = match &mut ground {
            Ground::File(part) => part.write(at, &buffer)?,
            Ground::Stream(out) => {
                out.write_all(&buffer).map_err(|e| Error::io("writing to standard output", e).offset(at))?;
                is_zero(&buffer)
            }
        };
        Meters::since(&meters.landing_ns, start);
        let (index, len) = (chunks.len() as u64, buffer.len() as u64);
        chunks.push(AckedChunk { index, len, digest: looking.digest.digest(&buffer), zero });
        at += len;
    }
    if at == 0 {
        return Err(Error::new(Kind::Source, "the image is empty"));
    }
    match &mut ground {
        Ground::File(part) => part.set_len(at)?,
        Ground::Stream(out) => out.flush().map_err(|e| Error::io("writing to standard output", e))?,
    }
    let mut ledger = Ledger::new(Geometry::checked(at, looking.chunk_size)?, looking.digest);
    for chunk in &chunks {
        ledger.settle(chunk);
    }
    let zero = chunks.iter().filter(|chunk| chunk.zero).count() as u64;
    let sha256 = sha.map(|sha| hex(&sha.finalize()));
    Ok(Landed { ledger, data: chunks.len() as u64 - zero, zero, sha256 })
}

//! What the workers of a copy do with a chunk: digest it, decide whether it is needed, and write or encode
//! it.

use super::Context;
use super::copy::Held;
use super::encode::codec::{Compression, Rung};
use super::encode::{Encoder, Form};
use super::ledger::Bits;
use super::pipeline::{Content, Loaded, Origin, Pipeline, Source, WorkFn, Worked};
use super::tap::Tap;
use crate::chunk::{AckedChunk, DigestedChunk, Geometry};
use crate::digest::{Algorithm, ZeroDigests};
use crate::disk::{Buffers, ReadAt, Wire, WriteAt};
use crate::error::Result;
use crate::meters::Meters;
use std::sync::Arc;
use std::time::Instant;

/// Spare buffers for bodies.
const BODIES_KEPT: usize = 4;

/// Returns the number of threads that write a local disk. With BLAKE3 one thread is as fast as any disk and
/// costs half as much as several; SHA-256 needs them all.
fn writing_threads(algorithm: Algorithm, width: usize) -> usize {
    match algorithm {
        Algorithm::Blake3 => 1,
        Algorithm::Sha256 => width,
    }
}

/// What a worker decided about a chunk.
pub(super) enum Step {
    /// The chunk was read again only to compare it with what an earlier run moved.
    Reread(DigestedChunk, Origin),
    /// Zeros, where the destination reports that it reads as zero.
    Blank(AckedChunk),
    /// The destination is known to hold it.
    Unchanged(AckedChunk),
    /// Zeros, where the destination is assumed to read as zero.
    Skipped(AckedChunk),
    /// The worker wrote it; the flag tells whether as a hole.
    Wrote(AckedChunk, bool),
    /// The pipeline writes it.
    Sent(DigestedChunk),
}

/// The settings of a copy's workers.
pub(super) struct CopyWork<'a> {
    pub(super) to: Arc<dyn WriteAt>,
    pub(super) compression: Compression,
    pub(super) settled: &'a Arc<Bits>,
    /// Chunks for which the destination reports that it reads as zero.
    pub(super) blank: Arc<Bits>,
    /// Knowledge of the destination's contents.
    pub(super) held: Option<Arc<dyn Held>>,
    pub(super) skip_holes: bool,
    pub(super) skip_zeros: bool,
}

impl CopyWork<'_> {
    /// Returns the pipeline with these workers.
    pub(super) fn pipeline(
        self,
        source: Source,
        kept: Option<Arc<dyn ReadAt>>,
        algorithm: Algorithm,
        geometry: Geometry,
        tap: Option<Arc<Tap>>,
        context: &Context,
    ) -> Result<Pipeline<Step>> {
        let (is_local, compresses) = match self.to.local() {
            Some(local) => (true, local.compresses()),
            None => (false, false),
        };
        let form = match (self.to.info().wire, self.compression) {
            (Wire::Plain, _) | (Wire::Gzip, Compression::None) => Form::Plain,
            (Wire::Gzip, compression) => Form::Gzip(compression),
            (Wire::Chunks, _) => Form::Chunks,
        };
        let zeros = Arc::new(ZeroDigests::new(algorithm));
        let (buffers, rung) = (Buffers::new(context.kept(BODIES_KEPT)), Rung::default());
        let room = if form == Form::Plain { 1 } else { 2 };
        let width = context.width(geometry.chunk_size().saturating_mul(room));
        let width = if is_local && !compresses { writing_threads(algorithm, width) } else { width };
        let work_fns = (0..width)
            .map(|_| {
                let encoder = Encoder::new(form, &rung, algorithm, Arc::clone(&zeros), buffers.clone())?;
                let work_fn = CopyWorker {
                    encoder,
                    settled: Arc::clone(self.settled),
                    blank: Arc::clone(&self.blank),
                    held: self.held.clone(),
                    to: Arc::clone(&self.to),
                    skip_holes: self.skip_holes,
                    skip_zeros: self.skip_zeros,
                    meters: Arc::clone(&context.meters),
                };
                Ok(work_fn.into_work_fn())
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Pipeline {
            geometry,
            source,
            kept,
            work_fns,
            tap,
            to: (!is_local).then_some(self.to),
            room,
            rung: Some(rung).filter(|_| form == Form::Gzip(Compression::Auto)),
        })
    }
}

struct CopyWorker {
    encoder: Encoder,
    /// Chunks that an earlier run moved, or that need not be moved.
    settled: Arc<Bits>,
    blank: Arc<Bits>,
    held: Option<Arc<dyn Held>>,
    to: Arc<dyn WriteAt>,
    skip_holes: bool,
    skip_zeros: bool,
    meters: Arc<Meters>,
}

impl CopyWorker {
    fn into_work_fn(mut self) -> WorkFn<Step> {
        Box::new(move |chunk| self.work(chunk))
    }

    fn work(&mut self, chunk: Loaded) -> Result<Worked<Step>> {
        let Loaded { index, offset, from, content } = chunk;
        let (len, (digest, zero)) = match &content {
            Content::Zeros(len) => (*len, (self.encoder.digest_of_zeros(*len), true)),
            Content::Bytes(bytes) => (bytes.len() as u64, self.encoder.digest(bytes)),
        };
        let chunk = DigestedChunk { index, len, digest, zero };
        if self.settled.get(index) {
            return Ok(Worked::Done(Step::Reread(chunk, from)));
        }
        if zero && self.blank.get(index) {
            return Ok(Worked::Done(Step::Blank(chunk.known())));
        }
        if self.held.as_ref().is_some_and(|held| held.holds(index, &chunk.digest)) {
            return Ok(Worked::Done(Step::Unchanged(chunk.known())));
        }
        if zero && (self.skip_zeros || (from == Origin::Hole && self.skip_holes)) {
            return Ok(Worked::Done(Step::Skipped(chunk.known())));
        }
        let range = offset..offset + len;
        if let Some(local) = self.to.local() {
            let start = Instant::now();
            let receipt = match &content {
                Content::Bytes(bytes) if !zero => local.write(offset, bytes)?,
                _ => local.zero(range)?,
            };
            Meters::since(&self.meters.writing_ns, start);
            return Ok(Worked::Done(Step::Wrote(chunk.acknowledged(receipt), zero)));
        }
        let body = match content {
            Content::Bytes(bytes) if !zero => Some(self.encoder.encode(bytes, chunk.digest)?),
            _ => None,
        };
        Ok(Worked::Write(Step::Sent(chunk), range, body))
    }
}

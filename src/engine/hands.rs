//! What the workers of a copy do with a chunk: digest it, see whether it is needed, and write or encode it.

use super::Context;
use super::copy::Held;
use super::encode::codec::{Compression, Rung};
use super::encode::{Encoder, Form};
use super::ledger::Bits;
use super::pipeline::{Content, Hand, Loaded, Origin, Pipeline, Source, Worked};
use super::tap::Tap;
use crate::chunk::{AckedChunk, DigestedChunk, Geometry};
use crate::digest::{Algorithm, ZeroDigests};
use crate::disk::{Buffers, ReadAt, Wire, WriteAt};
use crate::error::Result;
use crate::meters::Meters;
use std::sync::Arc;
use std::time::Instant;

/// Buffers of bodies that are kept for the next.
const BODIES_KEPT: usize = 4;

/// One thread writes as fast as any disk takes it, and costs half of what several do; SHA-256 needs them all.
fn landing_threads(algorithm: Algorithm, width: usize) -> usize {
    match algorithm {
        Algorithm::Blake3 => 1,
        Algorithm::Sha256 => width,
    }
}

/// What has become of a chunk.
pub(super) enum Step {
    /// It was read again only to be compared with what an earlier run has moved.
    Again(DigestedChunk, Origin),
    /// Zeros, where the destination says that it reads as zero.
    Blank(AckedChunk),
    /// The destination is known to hold it.
    Unchanged(AckedChunk),
    /// Zeros, where it is taken to do so.
    Skipped(AckedChunk),
    /// The worker has written it; whether as a hole.
    Wrote(AckedChunk, bool),
    /// It is written by the pipeline.
    Sent(DigestedChunk),
}

/// What the workers of a copy are told.
pub(super) struct CopyHands<'a> {
    pub(super) to: Arc<dyn WriteAt>,
    pub(super) compression: Compression,
    pub(super) settled: &'a Arc<Bits>,
    /// Chunks at whose place the destination says that it reads as zero.
    pub(super) blank: Arc<Bits>,
    /// What is there already.
    pub(super) held: Option<Arc<dyn Held>>,
    pub(super) skip_holes: bool,
    pub(super) skip_zeros: bool,
}

impl CopyHands<'_> {
    /// The pipeline that they work in.
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
        let width = if is_local && !compresses { landing_threads(algorithm, width) } else { width };
        let hands = (0..width)
            .map(|_| {
                let encoder = Encoder::new(form, &rung, algorithm, Arc::clone(&zeros), buffers.clone())?;
                let hand = CopyHand {
                    encoder,
                    settled: Arc::clone(self.settled),
                    blank: Arc::clone(&self.blank),
                    held: self.held.clone(),
                    to: Arc::clone(&self.to),
                    skip_holes: self.skip_holes,
                    skip_zeros: self.skip_zeros,
                    meters: Arc::clone(&context.meters),
                };
                Ok(hand.into_hand())
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Pipeline {
            geometry,
            source,
            kept,
            hands,
            tap,
            to: (!is_local).then_some(self.to),
            room,
            rung: Some(rung).filter(|_| form == Form::Gzip(Compression::Auto)),
        })
    }
}

struct CopyHand {
    encoder: Encoder,
    /// Chunks that an earlier run has moved, or that need not be.
    settled: Arc<Bits>,
    blank: Arc<Bits>,
    held: Option<Arc<dyn Held>>,
    to: Arc<dyn WriteAt>,
    skip_holes: bool,
    skip_zeros: bool,
    meters: Arc<Meters>,
}

impl CopyHand {
    fn into_hand(mut self) -> Hand<Step> {
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
            return Ok(Worked::Done(Step::Again(chunk, from)));
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
            Meters::since(&self.meters.landing_ns, start);
            return Ok(Worked::Done(Step::Wrote(chunk.acknowledged(receipt), zero)));
        }
        let body = match content {
            Content::Bytes(bytes) if !zero => Some(self.encoder.encode(bytes, chunk.digest)?),
            _ => None,
        };
        Ok(Worked::Write(Step::Sent(chunk), range, body))
    }
}

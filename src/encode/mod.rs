//! From chunks to what goes over the wire: zero detection, digest, compression, on plain threads.
//!
//! A fixed number of workers take chunks from a bounded channel and put them, encoded, into another. A worker never
//! waits for anything but these two, and ends when either closes.

pub mod buffer;
pub mod codec;
pub mod digest;
pub mod zero;

use crate::chunk::{Body, Chunk, ChunkData, EncodedChunk};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use buffer::Buffers;
use bytes::Bytes;
use codec::{Codec, Compression};
use crossbeam_channel::Receiver;
use digest::{Algorithm, ZeroDigests};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc::Sender;

/// How chunks are encoded.
#[derive(Clone)]
pub struct Encoding {
    /// The compression; `None` where the far end takes no gzip.
    pub compression: Compression,
    /// The algorithm of chunk digests.
    pub digest: Algorithm,
    /// Whether a chunk will be sent; one that will not only needs its digest.
    pub sent: Arc<dyn Fn(u64) -> bool + Send + Sync>,
}

impl Encoding {
    /// Every chunk is sent.
    pub fn new(compression: Compression, digest: Algorithm) -> Self {
        Self { compression, digest, sent: Arc::new(|_| true) }
    }
}

/// Starts `workers` threads between two channels. An error of the source is handed on in its place.
pub fn spawn(
    workers: usize,
    encoding: &Encoding,
    input: &Receiver<Result<Chunk>>,
    output: &Sender<Result<EncodedChunk>>,
    meters: &Arc<Meters>,
) -> Result<Vec<JoinHandle<()>>> {
    let zeros = Arc::new(ZeroDigests::new(encoding.digest));
    let buffers = Buffers::new();
    (0..workers.max(1))
        .map(|i| {
            let mut encoder =
                Encoder::new(encoding, Arc::clone(&zeros), buffers.clone(), Arc::clone(meters))?;
            let (input, output) = (input.clone(), output.clone());
            std::thread::Builder::new()
                .name(format!("encode-{i}"))
                .spawn(move || {
                    loop {
                        let idle = Instant::now();
                        let Ok(chunk) = input.recv() else { return };
                        Meters::since(&encoder.meters.reading_ns, idle);
                        let done = chunk.and_then(|chunk| encoder.encode(chunk));
                        if output.blocking_send(done).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|e| Error::io("starting a thread", e))
        })
        .collect()
}

/// Encodes chunks, one after the other.
pub struct Encoder {
    codec: Option<Box<dyn Codec>>,
    encoding: Encoding,
    zeros: Arc<ZeroDigests>,
    buffers: Buffers,
    scratch: Vec<u8>,
    meters: Arc<Meters>,
}

impl Encoder {
    /// An encoder; a compression level that does not exist is a usage error.
    pub fn new(
        encoding: &Encoding,
        zeros: Arc<ZeroDigests>,
        buffers: Buffers,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let codec = encoding.compression.codec()?;
        Ok(Self { codec, encoding: encoding.clone(), zeros, buffers, scratch: Vec::new(), meters })
    }

    /// Digests a chunk and puts it into its wire form.
    pub fn encode(&mut self, chunk: Chunk) -> Result<EncodedChunk> {
        let (index, offset, len) = (chunk.index, chunk.offset, chunk.len());
        let done = |digest, body| EncodedChunk { index, offset, len, digest, body };
        let bytes = match chunk.data {
            ChunkData::Hole(_) => return Ok(done(self.zeros.of(len), Body::Zeros(len))),
            ChunkData::Mapped(range) => {
                let encoded = self.encode_bytes(range.as_ref(), index)?;
                // Only now is it known that these were the file's bytes.
                range.check().map_err(|e| e.offset(offset))?;
                match encoded {
                    (digest, Some(body)) => return Ok(done(digest, body)),
                    // Sent from the mapping itself: what goes raw is mostly what cannot be compressed, and copying
                    // it would cost as much as sending it.
                    (digest, None) => return Ok(done(digest, Body::Raw(Bytes::from_owner(range)))),
                }
            }
            ChunkData::Read(bytes) => bytes,
        };
        let (digest, body) = self.encode_bytes(&bytes, index)?;
        Ok(done(digest, body.unwrap_or(Body::Raw(bytes))))
    }

    /// The digest, and the wire form unless that is the bytes themselves.
    fn encode_bytes(&mut self, bytes: &[u8], index: u64) -> Result<(digest::Digest, Option<Body>)> {
        // The first touch of mapped pages: what it takes is the disk's time.
        let start = Instant::now();
        let zero = zero::is_zero(bytes);
        if zero {
            Meters::since(&self.meters.reading_ns, start);
            return Ok((self.zeros.of(bytes.len() as u64), Some(Body::Zeros(bytes.len() as u64))));
        }
        let digest = self.encoding.digest.digest(bytes);
        let read = Instant::now();
        Meters::time(&self.meters.reading_ns, read - start);
        let body = match &mut self.codec {
            Some(codec) if (self.encoding.sent)(index) => {
                gzip(codec.as_mut(), bytes, &mut self.scratch, &self.buffers)?
            }
            _ => None,
        };
        Meters::since(&self.meters.encoding_ns, read);
        Ok((digest, body))
    }
}

fn gzip(
    codec: &mut dyn Codec,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
    buffers: &Buffers,
) -> Result<Option<Body>> {
    if !codec::is_worth(codec, bytes, scratch)? {
        return Ok(None);
    }
    let mut out = buffers.take(bytes.len() / 2);
    codec.gzip(bytes, &mut out)?;
    Ok(codec::pays(bytes.len(), out.len()).then(|| Body::Gzip(out.freeze())))
}

/// One gzip member that holds `len` zeros: 4 MiB of them are about 4 KiB.
pub fn gzip_zeros(len: u64) -> Result<Bytes> {
    let len = usize::try_from(len).map_err(|_| Error::new(Kind::Usage, "the chunk size is too large"))?;
    let mut out = Vec::new();
    codec::Libdeflate::new(6)?.gzip(&vec![0; len], &mut out)?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(bytes: Vec<u8>, compression: Compression) -> EncodedChunk {
        let encoding = Encoding::new(compression, Algorithm::Blake3);
        let zeros = Arc::new(ZeroDigests::new(Algorithm::Blake3));
        let mut encoder = Encoder::new(&encoding, zeros, Buffers::new(), Arc::default()).unwrap();
        encoder.encode(Chunk { index: 0, offset: 0, data: ChunkData::Read(bytes.into()) }).unwrap()
    }

    #[test]
    fn zeros_text_and_noise_go_their_own_ways() {
        assert!(matches!(encode(vec![0; 1000], Compression::Auto).body, Body::Zeros(1000)));
        assert!(matches!(encode(vec![65; 1000], Compression::Auto).body, Body::Gzip(_)));
        assert!(matches!(encode(vec![65; 1000], Compression::None).body, Body::Raw(_)));
        // Fifty bytes that never repeat: too short to shrink.
        let short = (0..50u8).map(|i| i.wrapping_mul(151).wrapping_add(i << 3) ^ 0xA5).collect();
        assert!(matches!(encode(short, Compression::Auto).body, Body::Raw(_)));
    }

    #[test]
    fn a_chunk_of_zeros_is_small_on_the_wire() {
        assert!(gzip_zeros(4 << 20).unwrap().len() < 8 << 10);
    }
}

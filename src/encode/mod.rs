//! From chunks to what goes over the wire: zero detection, digest, compression, on plain threads.
//!
//! A fixed number of workers take chunks from a bounded channel and put them, encoded, into another. A worker never
//! waits for anything but these two (and its turn, where the whole image is digested), and ends when either closes. Nobody
//! joins them: what they have to say, a panic too, comes out of the channel.

pub mod buffer;
pub mod codec;
pub mod digest;
pub mod ordered;
pub mod zero;

use crate::chunk::{Body, Chunk, ChunkData, EncodedChunk};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use buffer::Buffers;
use bytes::Bytes;
use codec::{Codec, Compression, Rung};
use crossbeam_channel::Receiver;
use digest::{Algorithm, ZeroDigests};
use ordered::ImageDigest;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
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
    /// Takes every chunk in order, where the digest of the whole image is wanted. All chunks must come then, in order.
    pub whole: Option<Arc<ImageDigest>>,
}

impl Encoding {
    /// Every chunk is sent.
    pub fn new(compression: Compression, digest: Algorithm) -> Self {
        Self { compression, digest, sent: Arc::new(|_| true), whole: None }
    }
}

/// Starts `workers` threads between two channels. An error of the source is handed on in its place, and so is the death of
/// a worker.
pub fn spawn(
    workers: usize,
    encoding: &Encoding,
    input: &Receiver<Result<Chunk>>,
    output: &Sender<Result<EncodedChunk>>,
    meters: &Arc<Meters>,
) -> Result<()> {
    let zeros = Arc::new(ZeroDigests::new(encoding.digest));
    let stocks = (Buffers::new(), Buffers::new());
    for i in 0..workers.max(1) {
        let (read, buffers) = stocks.clone();
        let encoder = Encoder::new(encoding, Arc::clone(&zeros), buffers, Arc::clone(meters))?;
        let encoder = Encoder { read, ..encoder };
        let (input, output) = (input.clone(), output.clone());
        let whole = encoding.whole.clone();
        std::thread::Builder::new()
            .name(format!("encode-{i}"))
            .spawn(move || {
                let worked = catch_unwind(AssertUnwindSafe(|| work(encoder, &input, &output)));
                if worked.is_err() {
                    if let Some(whole) = whole {
                        whole.give_up();
                    }
                    let died =
                        Error::new(Kind::Io, "the encoding thread has died; this is a bug in diskferry");
                    // Nobody listens any more only if the transfer is over.
                    let _ = output.blocking_send(Err(died));
                }
            })
            .map_err(|e| Error::io("starting a thread", e))?;
    }
    Ok(())
}

fn work(mut encoder: Encoder, input: &Receiver<Result<Chunk>>, output: &Sender<Result<EncodedChunk>>) {
    loop {
        let idle = Instant::now();
        let Ok(chunk) = input.recv() else { return };
        Meters::since(&encoder.meters.reading_ns, idle);
        let done = chunk.and_then(|chunk| encoder.encode(chunk));
        if done.is_err()
            && let Some(whole) = &encoder.encoding.whole
        {
            whole.give_up();
        }
        if output.blocking_send(done).is_err() {
            return;
        }
    }
}

/// Encodes chunks, one after the other.
pub struct Encoder {
    codec: Option<Box<dyn Codec>>,
    encoding: Encoding,
    zeros: Arc<ZeroDigests>,
    /// What files are read into.
    read: Buffers,
    /// What compressed chunks come out in.
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
        let codec = encoding.compression.codec(&Rung::default())?;
        let (encoding, read) = (encoding.clone(), Buffers::new());
        Ok(Self { codec, encoding, zeros, read, buffers, scratch: Vec::new(), meters })
    }

    /// Reads a chunk where that is still to be done, digests it and puts it into its wire form. All three are of the same
    /// bytes, which nobody else can change.
    pub fn encode(&mut self, chunk: Chunk) -> Result<EncodedChunk> {
        let (index, offset, len) = (chunk.index, chunk.offset, chunk.len());
        let done = |digest, body| EncodedChunk { index, offset, len, digest, body };
        let bytes = match chunk.data {
            ChunkData::Hole(_) => {
                if let Some(whole) = &self.encoding.whole {
                    whole.update_zeros(index, len);
                }
                return Ok(done(self.zeros.of(len), Body::Zeros(len)));
            }
            ChunkData::File(range) => {
                let start = Instant::now();
                let bytes = range.file.read(offset, len, &self.read)?;
                Meters::since(&self.meters.reading_ns, start);
                bytes.freeze()
            }
            ChunkData::Read(bytes) => bytes,
        };
        if let Some(whole) = &self.encoding.whole {
            whole.update(index, &bytes);
        }
        let (digest, body) = self.encode_bytes(&bytes, index)?;
        Ok(done(digest, body.unwrap_or(Body::Raw(bytes))))
    }

    /// The digest, and the wire form unless that is the bytes themselves.
    fn encode_bytes(&mut self, bytes: &[u8], index: u64) -> Result<(digest::Digest, Option<Body>)> {
        let start = Instant::now();
        if zero::is_zero(bytes) {
            Meters::since(&self.meters.encoding_ns, start);
            return Ok((self.zeros.of(bytes.len() as u64), Some(Body::Zeros(bytes.len() as u64))));
        }
        let digest = self.encoding.digest.digest(bytes);
        let body = match &mut self.codec {
            Some(codec) if (self.encoding.sent)(index) => {
                gzip(codec.as_mut(), bytes, &mut self.scratch, &self.buffers)?
            }
            _ => None,
        };
        Meters::since(&self.meters.encoding_ns, start);
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

    /// Somebody writes to the file all the time: the digest, the body and the SHA-256 are still of the same bytes.
    #[test]
    fn digest_body_and_whole_are_of_the_same_bytes() {
        use std::io::Read;
        use std::os::unix::fs::FileExt;
        use std::sync::atomic::{AtomicBool, Ordering};
        /// Also set when an assertion fails, or the writer would go on for ever.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let len = 1_u64 << 20;
        file.as_file().set_len(len).unwrap();
        file.as_file().write_all_at(&vec![1; 1 << 20], 0).unwrap();
        let source = crate::source::FileSource::open(file.path()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _done = Done(&done);
            scope.spawn(|| {
                let mut bytes = vec![0; 1 << 20];
                for round in 1_u64.. {
                    bytes.fill(round.to_le_bytes()[0] | 1);
                    file.as_file().write_all_at(&bytes, 0).unwrap();
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
            for round in 0..200 {
                let compression = if round % 2 == 0 { Compression::Auto } else { Compression::None };
                let mut encoding = Encoding::new(compression, Algorithm::Blake3);
                encoding.whole = Some(Arc::default());
                let zeros = Arc::new(ZeroDigests::new(Algorithm::Blake3));
                let mut encoder = Encoder::new(&encoding, zeros, Buffers::new(), Arc::default()).unwrap();
                let data = ChunkData::File(crate::source::FileRange { file: source.clone(), len });
                let chunk = encoder.encode(Chunk { index: 0, offset: 0, data }).unwrap();
                let sent = match chunk.body {
                    Body::Raw(bytes) => bytes.to_vec(),
                    Body::Gzip(bytes) => {
                        let mut all = Vec::new();
                        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut all).unwrap();
                        all
                    }
                    Body::Zeros(_) => panic!("there are no zeros"),
                };
                assert_eq!(Algorithm::Blake3.digest(&sent), chunk.digest);
                let whole = encoding.whole.unwrap().finish(1).unwrap();
                assert_eq!(whole, Algorithm::Sha256.digest(&sent).to_string());
            }
        });
    }

    /// A panic of a worker is an error that comes out of the channel, and ends nobody's wait but its own.
    #[test]
    fn a_worker_that_dies_says_so() {
        let mut encoding = Encoding::new(Compression::Auto, Algorithm::Blake3);
        encoding.sent = Arc::new(|index| if index == 1 { panic!("a bug for the test") } else { true });
        encoding.whole = Some(Arc::default());
        let (chunks, input) = crossbeam_channel::unbounded();
        let (output, mut encoded) = tokio::sync::mpsc::channel(16);
        spawn(2, &encoding, &input, &output, &Arc::default()).unwrap();
        drop((input, output));
        for index in 0..4 {
            let data = ChunkData::Read(vec![65; 1000].into());
            chunks.send(Ok(Chunk { index, offset: index * 1000, data })).unwrap();
        }
        drop(chunks);
        let mut died = 0;
        while let Some(chunk) = encoded.blocking_recv() {
            died += usize::from(chunk.is_err_and(|e| e.to_string().contains("encoding thread has died")));
        }
        assert_eq!(died, 1);
        assert_eq!(encoding.whole.unwrap().finish(4), None);
    }

    #[test]
    fn a_chunk_of_zeros_is_small_on_the_wire() {
        assert!(gzip_zeros(4 << 20).unwrap().len() < 8 << 10);
    }
}

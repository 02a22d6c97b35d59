//! From the bytes of a chunk to what goes over the wire.

pub mod codec;

use crate::digest::{Algorithm, Digest, ZeroDigests};
use crate::disk::zero::is_zero;
use crate::disk::{Body, Buffer, Buffers};
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use codec::{Codec, Compression, Rung};
use std::sync::Arc;

/// What chunks become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What they are.
    Plain,
    /// A gzip member, where that is shorter.
    Gzip(Compression),
    /// A zstd frame beside the digest.
    Chunks,
}

/// The level of the frames in a store. Chunks of 4 MiB of programs, of two images, beside level 3, which casync takes: 2 and 6 % larger in
/// 0.7 of its time; at level 1, 6 and 16 % larger in 0.63.
const ZSTD_LEVEL: i32 = 2;

/// Digests and encodes chunks, one after the other, for one thread.
pub(super) struct Encoder {
    codec: Option<Box<dyn Codec>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    digest: Algorithm,
    zeros: Arc<ZeroDigests>,
    /// What compressed chunks are handed on in: as large as they are, since that is what the window counts.
    buffers: Buffers,
    /// What they are compressed into.
    out: Vec<u8>,
}

impl Encoder {
    /// An encoder; a compression level that does not exist is a usage error. `auto` compresses at `rung`.
    pub(super) fn new(
        form: Form,
        rung: &Rung,
        digest: Algorithm,
        zeros: Arc<ZeroDigests>,
        buffers: Buffers,
    ) -> Result<Self> {
        let (mut codec, mut zstd) = (None, None);
        match form {
            Form::Plain => {}
            Form::Gzip(compression) => codec = compression.codec(rung)?,
            Form::Chunks => zstd = Some(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(no_zstd)?),
        }
        Ok(Self { codec, zstd, digest, zeros, buffers, out: Vec::new() })
    }

    /// The digest of a chunk, and whether it holds nothing but zeros.
    pub(super) fn digest(&self, bytes: &[u8]) -> (Digest, bool) {
        if is_zero(bytes) {
            (self.zeros.of(bytes.len() as u64), true)
        } else {
            (self.digest.digest(bytes), false)
        }
    }

    /// The digest of so many zeros.
    pub(super) fn digest_of_zeros(&self, len: u64) -> Digest {
        self.zeros.of(len)
    }

    /// The wire form of a chunk, under the permit of its bytes, of which it keeps what it needs.
    pub(super) fn encode(&mut self, mut bytes: Buffer, digest: Digest) -> Result<Body> {
        let len = bytes.len();
        if let Some(zstd) = &mut self.zstd {
            self.out.resize(zstd::zstd_safe::compress_bound(len), 0);
            let frame = zstd.compress_to_buffer(bytes.as_slice(), &mut self.out[..]).map_err(no_zstd)?;
            let mut permit = bytes.take_permit();
            permit.shrink(frame as u64);
            let mut body = self.buffers.take(frame);
            body.extend_from_slice(&self.out[..frame]);
            return Ok(Body::Chunk(digest, body.under(permit).freeze()));
        }
        if let Some(codec) = &mut self.codec
            && codec::is_worth(codec.as_mut(), &bytes, &mut self.out)?
        {
            let member = codec.gzip(&bytes, &mut self.out)?;
            if codec::pays(len, member.len()) {
                let mut permit = bytes.take_permit();
                permit.shrink(member.len() as u64);
                let mut body = self.buffers.take(member.len());
                body.extend_from_slice(member);
                return Ok(Body::Gzip(body.under(permit).freeze()));
            }
        }
        let mut permit = bytes.take_permit();
        permit.shrink(len as u64);
        Ok(Body::Raw(bytes.under(permit).freeze()))
    }
}

fn no_zstd(error: std::io::Error) -> Error {
    Error::new(Kind::Io, "compressing a chunk by zstd").source(error)
}

/// A body of `len` zeros: 4 MiB of them are about 4 KiB as one gzip member.
pub(super) fn zeros(len: u64, gzip: bool) -> Result<Body> {
    let len = usize::try_from(len).map_err(|_| Error::new(Kind::Usage, "the chunk size is too large"))?;
    let zeros = vec![0; len];
    if !gzip {
        return Ok(Body::Raw(Bytes::from(zeros)));
    }
    let mut room = Vec::new();
    let member = codec::Libdeflate::new(6)?.gzip(&zeros, &mut room)?;
    Ok(Body::Gzip(Bytes::copy_from_slice(member)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn encode(bytes: &[u8], compression: Compression) -> Body {
        let zeros = Arc::new(ZeroDigests::new(Algorithm::Blake3));
        let mut encoder = Encoder::new(
            Form::Gzip(compression),
            &Rung::default(),
            Algorithm::Blake3,
            zeros,
            Buffers::new(1),
        )
        .unwrap();
        let mut buffer = Buffers::new(1).take(bytes.len());
        buffer.extend_from_slice(bytes);
        encoder.encode(buffer, Algorithm::Blake3.digest(bytes)).unwrap()
    }

    #[test]
    fn text_and_noise_go_their_own_ways() {
        assert!(matches!(encode(&[65; 1000], Compression::Auto), Body::Gzip(_)));
        assert!(matches!(encode(&[65; 1000], Compression::None), Body::Raw(_)));
        // Fifty bytes that never repeat: too short to shrink.
        let short: Vec<u8> = (0..50u8).map(|i| i.wrapping_mul(151).wrapping_add(i << 3) ^ 0xA5).collect();
        assert!(matches!(encode(&short, Compression::Auto), Body::Raw(_)));
    }

    #[test]
    fn zeros_are_told_and_small() {
        let zeros = Arc::new(ZeroDigests::new(Algorithm::Blake3));
        let encoder =
            Encoder::new(Form::Plain, &Rung::default(), Algorithm::Blake3, zeros, Buffers::new(1)).unwrap();
        assert_eq!(encoder.digest(&[0; 1000]), (Algorithm::Blake3.digest(&[0; 1000]), true));
        assert_eq!(encoder.digest_of_zeros(1000), encoder.digest(&[0; 1000]).0);
        let Body::Gzip(body) = super::zeros(4 << 20, true).unwrap() else { panic!("it was to be gzip") };
        assert!(body.len() < 8 << 10);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut back).unwrap();
        assert!(back == vec![0; 4 << 20]);
    }
}

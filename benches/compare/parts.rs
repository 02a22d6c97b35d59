//! Measures the parts of an upload one after the other on one thread: reading, digests, compression,
//! requests. The program's time beyond their sum is its overhead.

#![allow(unsafe_code)] // The standard library cannot ask for the processor time of this process.

use diskferry::digest::Algorithm;
use diskferry::disk::file::FileDisk;
use diskferry::disk::zero::is_zero;
use diskferry::disk::{LocalRead, ReadAt};
use diskferry::engine::encode::codec::{Codec, Compression, Rung, is_worth, pays};
use diskferry::remote::{Auth, Client, Options as Connection, Provider};
use std::io;
use std::mem::MaybeUninit;
use std::path::PathBuf;

/// The program's default chunk size.
const CHUNK: u64 = 4 << 20;

#[derive(clap::Args)]
pub struct Options {
    /// The URL of a sink
    url: String,
    /// The image
    image: PathBuf,
    /// How chunks are compressed, as `--compress` of the program
    #[arg(long, default_value = "auto")]
    compress: Compression,
}

/// Processor seconds.
#[derive(Default)]
struct Parts {
    read: f64,
    digest: f64,
    compress: f64,
    send: f64,
}

/// Prints the seconds of each part and their sum.
pub fn run(options: &Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let disk = FileDisk::open(&options.image).map_err(io::Error::other)?;
    let parts = runtime.block_on(measure(options, &disk)).map_err(io::Error::other)?;
    let Parts { read, digest, compress, send } = parts;
    println!("{read:.3} {digest:.3} {compress:.3} {send:.3} {:.3}", read + digest + compress + send);
    Ok(())
}

async fn measure(options: &Options, disk: &FileDisk) -> diskferry::Result<Parts> {
    let base = options.url.parse().map_err(|e| diskferry::Error::usage(format!("the URL: {e}")))?;
    let auth = Auth::basic("user", &"secret".to_owned().into())?;
    let client =
        Client::new(Provider::OpenHosting, base, auth, &Connection::default(), std::sync::Arc::default())?;
    let mut codec = options.compress.codec(&Rung::default())?;
    let (mut bytes, mut room, mut parts, mut done) = (Vec::new(), Vec::new(), Parts::default(), 0);
    for extent in disk.extents(0..disk.size()).await?.into_iter().filter(|extent| !extent.zero) {
        // Extents may share a chunk.
        let mut at = (extent.range.start / CHUNK * CHUNK).max(done);
        while at < extent.range.end {
            let len = CHUNK.min(disk.size() - at);
            let start = seconds();
            disk.read_into(at, len, &mut bytes)?;
            let read = seconds();
            let zero = is_zero(&bytes);
            if !zero {
                std::hint::black_box(Algorithm::Blake3.digest(&bytes));
            }
            let digested = seconds();
            (parts.read, parts.digest) = (parts.read + read - start, parts.digest + digested - read);
            if !zero {
                let body = compressed(codec.as_deref_mut(), &bytes, &mut room)?;
                let gzip = body.is_some();
                let body = bytes::Bytes::copy_from_slice(body.unwrap_or(&bytes));
                let encoded = seconds();
                client.write(&format!("/drives/{}/write/{at}", uuid::Uuid::nil()), body, gzip).await?;
                parts.compress += encoded - digested;
                parts.send += seconds() - encoded;
            }
            at += len;
        }
        done = done.max(at);
    }
    Ok(parts)
}

fn compressed<'a>(
    codec: Option<&mut (dyn Codec + 'static)>,
    bytes: &[u8],
    room: &'a mut Vec<u8>,
) -> diskferry::Result<Option<&'a [u8]>> {
    let Some(codec) = codec else { return Ok(None) };
    if !is_worth(codec, bytes, room)? {
        return Ok(None);
    }
    let member = codec.gzip(bytes, room)?;
    Ok(Some(member).filter(|member| pays(bytes.len(), member.len())))
}

/// Processor seconds of this process so far.
fn seconds() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for writing for the length of the call, and all zeros is a valid `rusage`.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let of = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    of(usage.ru_utime) + of(usage.ru_stime)
}

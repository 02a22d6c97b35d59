//! Decompresses an image inside gzip, xz, zstd, bzip2 or tar, or several of them, detected by the first
//! bytes.
//!
//! Of a tar archive the selected member is taken, or the first one that is not a description. The result of
//! [`unpack`] is a raw image: known other formats are refused by name, since a drive with their bytes would
//! not boot.

use super::pipe::Failure;
use super::pipe::{PipeReader, PipeWriter, pipe};
use super::unpack_guard::{Breach, Guard, Guarded, IN_FRONT, RECORDS, xz_memory};
use super::unpack_tar::{first_image, is_tar};
use crate::disk::format::{HEAD, check_raw};
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

/// The most layers: a tar in gzip with a compressed image in it has three.
const DEEPEST: usize = 4;

/// How much is passed on at a time.
const PIECE: usize = 256 << 10;

/// A compression or archive format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// The .xz format.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2, one stream or several.
    Bzip2,
    /// A tar archive, POSIX or GNU, including sparse files.
    Tar,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zstd => "zstd",
            Packing::Bzip2 => "bzip2",
            Packing::Tar => "tar",
        })
    }
}

/// The contents of a compressed file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The layers, outermost first; empty for a raw image.
    pub layers: Vec<Packing>,
    /// The size of the image in bytes, if a header has it.
    pub size: Option<u64>,
    /// The name of the archive member.
    pub member: Option<String>,
    /// The names of the images in the archive, as far as it was read and up to a limit.
    pub images: Vec<String>,
}

/// What to take from a compressed file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The member of an archive; the first image if `None`.
    pub member: Option<String>,
    /// Whether to pass on an image in a disk format too.
    pub any_format: bool,
}

impl Contents {
    /// Returns the layers as text, such as `tar in gzip`.
    pub fn describe(&self) -> String {
        let names: Vec<String> = self.layers.iter().rev().map(ToString::to_string).collect();
        names.join(" in ")
    }
}

/// Examines the first bytes of a file, as far as they reach. One megabyte is enough for the size of an image
/// in a tar archive. CPU-bound for up to a second, so not for a thread that others wait for.
pub fn look(head: &[u8]) -> Result<Contents> {
    let guard = Guard::new(&|| false);
    let mut walk = Walk { guard: &guard, wanted: &Wanted::default(), contents: Contents::default() };
    // Running out of bytes is expected; only what was found before counts.
    let looked = walk.each(Box::new(head), 0, &mut |reader| {
        // Everything that is not raw is refused here.
        first_bytes(reader).map_err(Stop::Io).and_then(|head| check_raw(&head).map_err(Stop::Refused))?;
        Err(Stop::Enough)
    });
    let contents = walk.contents;
    match looked {
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Io(error)) => limit(&guard, &error).map_or(Ok(contents), Err),
        Ok(()) | Err(Stop::Enough) => Ok(contents),
    }
}

/// Returns the error if a limit ended the work.
fn limit(guard: &Guard<'_>, error: &io::Error) -> Option<Error> {
    let refused = |message: String| Error::new(Kind::Source, message);
    let hint = "fetch it with `diskferry download`, decompress it, then upload the image";
    match guard.breach() {
        Some(Breach::InFront) => Some(
            refused(format!("the archive has more than {} MiB before the image", IN_FRONT >> 20)).hint(hint),
        ),
        Some(Breach::Record) => Some(
            refused(format!("a record of the archive is larger than the {} MiB limit", RECORDS >> 20))
                .hint(hint),
        ),
        None if asks_for_memory(error) => {
            Some(refused("decompressing it needs more memory than the limit of 64 MiB".to_owned()).hint(hint))
        }
        Some(Breach::Unwanted) | None => None,
    }
}

/// Returns whether a decoder refused a window or dictionary.
fn asks_for_memory(error: &io::Error) -> bool {
    // zstd reports a window that is too large only by this text.
    error.kind() == io::ErrorKind::OutOfMemory || {
        let text = error.to_string();
        text.contains("requires too much memory") || text.contains("memory limit")
    }
}

/// Decompresses on a thread of its own.
pub fn unpack(input: PipeReader) -> Result<PipeReader> {
    let failure = input.failure();
    unpack_from(input, failure)
}

/// Like [`unpack`], for any input. `failure` has the reason if reading it failed.
pub(super) fn unpack_from(input: impl Read + Send + 'static, failure: Failure) -> Result<PipeReader> {
    let (writer, reader) = pipe();
    std::thread::Builder::new()
        .name("unpack".into())
        .spawn(move || {
            let outcome = run(input, &failure, &writer);
            writer.end_blocking(outcome);
        })
        .map_err(|e| Error::io("cannot start a thread", e))?;
    Ok(reader)
}

fn run(input: impl Read, failure: &Failure, out: &PipeWriter) -> Result<()> {
    let unwanted = || out.is_closed();
    let wanted = Wanted::default();
    unpack_into(input, failure, &wanted, &unwanted, &mut |piece| {
        Ok(out.send_blocking(Bytes::copy_from_slice(piece)))
    })
    .map(drop)
}

/// Decompresses to the end and passes every piece of the image to `take`, beginning with the first bytes, up
/// to [`HEAD`] of them. Ends early, without an error, if `take` returns false or `unwanted` returns true.
/// `failure` has the reason if reading the input failed.
pub fn unpack_into(
    input: impl Read,
    failure: &Failure,
    wanted: &Wanted,
    unwanted: &dyn Fn() -> bool,
    take: &mut dyn FnMut(&[u8]) -> Result<bool>,
) -> Result<Contents> {
    let guard = Guard::new(unwanted);
    let mut walk = Walk { guard: &guard, wanted, contents: Contents::default() };
    let mut hand_on = |piece: &[u8]| match take(piece) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::Enough),
        Err(error) => Err(Stop::Refused(error)),
    };
    let done = walk.each(Box::new(input), 0, &mut |reader| {
        let head = first_bytes(reader).map_err(Stop::Io)?;
        if !wanted.any_format {
            check_raw(&head).map_err(Stop::Refused)?;
        }
        hand_on(&head)?;
        let mut piece = vec![0; PIECE];
        loop {
            match fill(reader, &mut piece).map_err(Stop::Io)? {
                0 => return Ok(()),
                got => hand_on(&piece[..got])?,
            }
        }
    });
    let contents = walk.contents;
    match done {
        Ok(()) | Err(Stop::Enough) => Ok(contents),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Io(_)) if guard.breach() == Some(Breach::Unwanted) => Ok(contents),
        Err(Stop::Io(error)) => {
            if let Some(limit) = limit(&guard, &error) {
                return Err(limit);
            }
            let what = format!("cannot decompress: the {} data is damaged or truncated", contents.describe());
            Err(failure.behind(error, &what))
        }
    }
}

/// Why the work ends.
pub(super) enum Stop {
    /// Reading or decoding failed.
    Io(io::Error),
    /// The contents are refused.
    Refused(Error),
    /// No more is wanted.
    Enough,
}

/// What to do with the image.
pub(super) type Take<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<(), Stop>;

/// The descent through the layers.
pub(super) struct Walk<'w, 'g> {
    pub(super) guard: &'w Rc<Guard<'g>>,
    pub(super) wanted: &'w Wanted,
    pub(super) contents: Contents,
}

impl Walk<'_, '_> {
    /// Removes one layer and continues inside.
    pub(super) fn each(
        &mut self,
        input: Box<dyn Read + '_>,
        depth: usize,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        let guard = self.guard;
        let mut input = Guarded::new(input, guard);
        let allowance = input.allowance();
        let head = first_bytes(&mut input).map_err(Stop::Io)?;
        let packing = packing_of(&head);
        let whole = io::Cursor::new(head).chain(input);
        let Some(packing) = packing else {
            let mut whole = whole;
            guard.reached();
            take(&mut whole)?;
            // Read to the end, where checksums are verified.
            return io::copy(&mut whole, &mut io::sink()).map(drop).map_err(Stop::Io);
        };
        if depth == DEEPEST {
            return Err(Stop::Refused(Error::new(
                Kind::Source,
                "the image is compressed in too many layers",
            )));
        }
        self.contents.layers.push(packing);
        if packing == Packing::Zstd {
            // The size of the first frame; there is usually only one. The actual length is compared with it.
            let first = zstd::zstd_safe::get_frame_content_size(whole.get_ref().0.get_ref());
            self.contents.size = first.ok().flatten();
        }
        let inside: Box<dyn Read> = match packing {
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(whole)),
            Packing::Xz => {
                Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, xz_memory(guard.window_log())))
            }
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(whole).map_err(Stop::Io)?;
                decoder.window_log_max(guard.window_log()).map_err(Stop::Io)?;
                Box::new(decoder)
            }
            Packing::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(whole)),
            Packing::Tar => return first_image(self, whole, &allowance, depth, take),
        };
        self.each(inside, depth + 1, take)
    }
}

/// Detects a compression or archive format by the first bytes.
pub fn packing_of(head: &[u8]) -> Option<Packing> {
    let skippable = |head: &[u8]| head.len() >= 4 && head[1..4] == [0x2a, 0x4d, 0x18] && head[0] >> 4 == 5;
    if head.starts_with(&[0x1f, 0x8b, 8]) {
        Some(Packing::Gzip)
    } else if head.starts_with(b"\xfd7zXZ\0") {
        Some(Packing::Xz)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable(head) {
        Some(Packing::Zstd)
    } else if is_bzip2(head) {
        Some(Packing::Bzip2)
    } else if is_tar(head) {
        Some(Packing::Tar)
    } else {
        None
    }
}

/// Checks the signature, the level, and the first block or the end marker, because the signature alone is
/// ambiguous.
fn is_bzip2(head: &[u8]) -> bool {
    let block = |head: &[u8]| head[4..].starts_with(b"1AY&SY") || head[4..].starts_with(b"\x17rE8P\x90");
    head.starts_with(b"BZh") && head.len() >= 10 && matches!(head[3], b'1'..=b'9') && block(head)
}

/// Reads up to [`HEAD`] bytes; fewer only at the end.
fn first_bytes(input: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let got = fill(input, &mut head)?;
    head.truncate(got);
    Ok(head)
}

/// Fills a buffer as far as the stream goes.
fn fill(input: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

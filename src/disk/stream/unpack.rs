//! An image inside gzip, xz, zstd, bzip2 or tar, or several of them: found by its first bytes, and unpacked
//! as it passes.
//!
//! Of a tar archive the file is taken that was named, or the first that is not a description of one. What
//! comes out of [`unpack`] is a raw image: anything that is known to be something else is refused by name,
//! since a drive that holds it would not boot.

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

/// How many layers are looked through: a tar in gzip with a compressed image in it has three.
const DEEPEST: usize = 4;

/// How much is handed on at a time.
const PIECE: usize = 256 << 10;

/// What an image may be packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952, one member or several.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// The format of bzip2, one stream or several.
    Bzip2,
    /// An archive, POSIX or GNU, sparse files included.
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

/// What lies inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The layers, from the outside in; none for a raw image.
    pub layers: Vec<Packing>,
    /// The image's bytes, where a header says so.
    pub size: Option<u64>,
    /// The file's name in the archive.
    pub member: Option<String>,
    /// The names of the images in the archive, as far as it was read, and not of more than some.
    pub images: Vec<String>,
}

/// What is wanted of something that is packed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The file of an archive; the first image without it.
    pub member: Option<String>,
    /// Whether an image in a format of its own is handed on too.
    pub any_format: bool,
}

impl Contents {
    /// The layers in words: `tar in gzip`.
    pub fn describe(&self) -> String {
        let names: Vec<String> = self.layers.iter().rev().map(ToString::to_string).collect();
        names.join(" in ")
    }
}

/// Looks into the first bytes of something, as far as they reach. A megabyte tells the size of an image in a
/// tar archive. It is work for the processor, up to a second of it: not for a thread that others wait for.
pub fn look(head: &[u8]) -> Result<Contents> {
    let guard = Guard::new(&|| false);
    let mut walk = Walk { guard: &guard, wanted: &Wanted::default(), contents: Contents::default() };
    // It ends where the bytes end; only what came before counts.
    let looked = walk.each(Box::new(head), 0, &mut |reader| {
        // Anything that is not raw is refused here.
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

/// The error of what was ended by a limit.
fn limit(guard: &Guard<'_>, error: &io::Error) -> Option<Error> {
    let refused = |message: String| Error::new(Kind::Source, message);
    let hint = "fetch it as it is with `diskferry download`, unpack it, then upload the image";
    match guard.breach() {
        Some(Breach::InFront) => Some(
            refused(format!("the archive has more than {} MiB in front of the image", IN_FRONT >> 20))
                .hint(hint),
        ),
        Some(Breach::Record) => Some(
            refused(format!("a record of the archive is larger than the {} MiB limit", RECORDS >> 20))
                .hint(hint),
        ),
        None if asks_for_memory(error) => {
            Some(refused("unpacking it takes more memory than the limit of 64 MiB".to_owned()).hint(hint))
        }
        Some(Breach::Unwanted) | None => None,
    }
}

/// Whether a decoder was refused its window or dictionary.
fn asks_for_memory(error: &io::Error) -> bool {
    // Of a window that is too large zstd has but this text.
    error.kind() == io::ErrorKind::OutOfMemory || {
        let text = error.to_string();
        text.contains("requires too much memory") || text.contains("memory limit")
    }
}

/// Unpacks on a thread of its own.
pub fn unpack(input: PipeReader) -> Result<PipeReader> {
    let failure = input.failure();
    unpack_from(input, failure)
}

/// The same with any input; `failure`: why reading it failed, where that is known.
pub(super) fn unpack_from(input: impl Read + Send + 'static, failure: Failure) -> Result<PipeReader> {
    let (writer, reader) = pipe();
    std::thread::Builder::new()
        .name("unpack".into())
        .spawn(move || {
            let outcome = run(input, &failure, &writer);
            writer.end_blocking(outcome);
        })
        .map_err(|e| Error::io("starting a thread", e))?;
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

/// Unpacks to the very end and hands every piece of the image to `take`, the first bytes alone, [`HEAD`] of
/// them if there are so many. It ends early, and without an error, where `take` answers false or `unwanted`
/// is true. `failure`: why reading the input failed, where that is known.
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
            let what = format!("unpacking failed: the {} data is damaged or cut short", contents.describe());
            Err(failure.behind(error, &what))
        }
    }
}

/// Why the looking or unpacking ends.
pub(super) enum Stop {
    /// Reading or decoding failed.
    Io(io::Error),
    /// It is nothing that can be taken.
    Refused(Error),
    /// Nobody wants more.
    Enough,
}

/// What is done with the image once it is reached.
pub(super) type Take<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<(), Stop>;

/// The way from the outside in.
pub(super) struct Walk<'w, 'g> {
    pub(super) guard: &'w Rc<Guard<'g>>,
    pub(super) wanted: &'w Wanted,
    pub(super) contents: Contents,
}

impl Walk<'_, '_> {
    /// Peels one layer off, and goes on inside.
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
            // To the very end: only there a checksum is compared.
            return io::copy(&mut whole, &mut io::sink()).map(drop).map_err(Stop::Io);
        };
        if depth == DEEPEST {
            return Err(Stop::Refused(Error::new(Kind::Source, "the image is packed too many times over")));
        }
        self.contents.layers.push(packing);
        if packing == Packing::Zstd {
            // Of the first frame, and there is mostly but one. What follows is compared with it.
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

/// Tells how something is packed, by its first bytes.
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

/// The letters, the level, and the first block (or the end) behind them: the letters alone may begin
/// anything.
fn is_bzip2(head: &[u8]) -> bool {
    let block = |head: &[u8]| head[4..].starts_with(b"1AY&SY") || head[4..].starts_with(b"\x17rE8P\x90");
    head.starts_with(b"BZh") && head.len() >= 10 && matches!(head[3], b'1'..=b'9') && block(head)
}

/// Up to [`HEAD`] bytes; fewer only at the end.
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

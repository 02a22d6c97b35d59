//! An image inside gzip, xz, zstd or tar, or several of them: found by its first bytes, and unpacked as it passes.
//!
//! Of a tar archive the first file is taken that is not a description of one. What comes out is a raw image: anything that
//! is known to be something else is refused by name, since a drive that holds it would not boot.

use super::pipe::{PipeReader, PipeWriter, pipe};
use super::unpack_guard::{Breach, Guard, Guarded, IN_FRONT, RECORDS, xz_memory};
use crate::disk::format::{Container, HEAD, unreadable};
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use std::cell::Cell;
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
    /// An archive, POSIX or GNU, sparse files included.
    Tar,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zstd => "zstd",
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
}

impl Contents {
    /// The layers in words: `tar in gzip`.
    pub fn describe(&self) -> String {
        let names: Vec<String> = self.layers.iter().rev().map(ToString::to_string).collect();
        names.join(" in ")
    }
}

/// Looks into the first bytes of something, as far as they reach. A megabyte tells the size of an image in a tar archive.
/// It is work for the processor, up to a second of it: not for a thread that others wait for.
pub fn look(head: &[u8]) -> Result<Contents> {
    let mut contents = Contents::default();
    let guard = Guard::new(&|| false);
    // It ends where the bytes end; only what came before counts.
    let looked = each(Box::new(head), 0, &guard, &mut contents, &mut |reader, _| {
        // Anything that is not raw is refused here.
        first_bytes(reader).map_err(Stop::Io).and_then(|head| check_raw(&head).map_err(Stop::Refused))?;
        Err(Stop::Enough)
    });
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
    let (writer, reader) = pipe();
    std::thread::Builder::new()
        .name("unpack".into())
        .spawn(move || {
            let outcome = run(input, &writer);
            writer.end_blocking(outcome);
        })
        .map_err(|e| Error::io("starting a thread", e))?;
    Ok(reader)
}

fn run(input: PipeReader, out: &PipeWriter) -> Result<()> {
    let failure = input.failure();
    let mut contents = Contents::default();
    let unwanted = || out.is_closed();
    let guard = Guard::new(&unwanted);
    let done = each(Box::new(input), 0, &guard, &mut contents, &mut |reader, _| {
        let head = first_bytes(reader).map_err(Stop::Io)?;
        check_raw(&head).map_err(Stop::Refused)?;
        if !out.send_blocking(head.into()) {
            return Err(Stop::Enough);
        }
        loop {
            let mut piece = vec![0; PIECE];
            let got = fill(reader, &mut piece).map_err(Stop::Io)?;
            piece.truncate(got);
            if got == 0 {
                return Ok(());
            }
            if !out.send_blocking(Bytes::from(piece)) {
                return Err(Stop::Enough);
            }
        }
    });
    match done {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Io(_)) if guard.breach() == Some(Breach::Unwanted) => Ok(()),
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
enum Stop {
    /// Reading or decoding failed.
    Io(io::Error),
    /// It is nothing that can be taken.
    Refused(Error),
    /// Nobody wants more.
    Enough,
}

/// What is done with the image once it is reached.
type Take<'a> = &'a mut dyn FnMut(&mut dyn Read, &Contents) -> Result<(), Stop>;

/// Peels one layer off, and goes on inside.
fn each(
    input: Box<dyn Read + '_>,
    depth: usize,
    guard: &Rc<Guard<'_>>,
    contents: &mut Contents,
    take: Take<'_>,
) -> Result<(), Stop> {
    let mut input = Guarded::new(input, guard);
    let allowance = input.allowance();
    let head = first_bytes(&mut input).map_err(Stop::Io)?;
    let packing = packing_of(&head);
    let whole = io::Cursor::new(head).chain(input);
    let Some(packing) = packing else {
        let mut whole = whole;
        guard.reached();
        take(&mut whole, contents)?;
        // To the very end: only there a checksum is compared.
        return io::copy(&mut whole, &mut io::sink()).map(drop).map_err(Stop::Io);
    };
    if depth == DEEPEST {
        return Err(Stop::Refused(Error::new(Kind::Source, "the image is packed too many times over")));
    }
    contents.layers.push(packing);
    if packing == Packing::Zstd {
        // Of the first frame, and there is mostly but one. What follows is compared with it.
        contents.size = zstd::zstd_safe::get_frame_content_size(whole.get_ref().0.get_ref()).ok().flatten();
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
        Packing::Tar => return first_image(whole, &allowance, depth, guard, contents, take),
    };
    each(inside, depth + 1, guard, contents, take)
}

/// The first image of an archive. What comes after it is read too, so that a damaged end is noticed. `allowance` is that
/// of the input: the archive's reader takes records into memory as long as they are.
fn first_image(
    input: impl Read,
    allowance: &Cell<u64>,
    depth: usize,
    guard: &Rc<Guard<'_>>,
    contents: &mut Contents,
    take: Take<'_>,
) -> Result<(), Stop> {
    let mut archive = tar::Archive::new(input);
    let mut taken = false;
    let mut entries = archive.entries().map_err(Stop::Io)?;
    // What the next step passes over before it comes to a header.
    let mut rest = 0_u64;
    loop {
        allowance.set(rest.saturating_add(RECORDS).min(u64::MAX - 1));
        let entry = entries.next();
        allowance.set(u64::MAX);
        let Some(entry) = entry else { break };
        let mut entry = entry.map_err(Stop::Io)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if taken || !(kind.is_file() || kind.is_gnu_sparse()) || is_description(&name) {
            // A sparse file is as long in the archive as its header says, others may have it in their records.
            let kept = if kind.is_gnu_sparse() { entry.header().entry_size() } else { Ok(entry.size()) };
            rest = kept.map_err(Stop::Io)?;
            continue;
        }
        let extensions = entry.pax_extensions().map_err(Stop::Io)?;
        let mut sparse = extensions.into_iter().flatten().flatten();
        if sparse.any(|extension| extension.key_bytes().starts_with(b"GNU.sparse.")) {
            // A name can be as long as a record.
            let shown: String = name.chars().take(200).collect();
            let why = format!("{shown:?} is a sparse file in a form that cannot be unpacked");
            let error = Error::new(Kind::Source, why).hint("pack it again with tar --format=gnu -S");
            return Err(Stop::Refused(error));
        }
        (contents.size, contents.member) = (Some(entry.size()), Some(name));
        let inner = contents.layers.len();
        let done = each(Box::new(&mut entry), depth + 1, guard, contents, take);
        if contents.layers.len() > inner {
            // The size of what is packed in the archive says nothing of the image.
            contents.size = None;
        }
        done?;
        // A decoder may leave something behind its end.
        io::copy(&mut entry, &mut io::sink()).map_err(Stop::Io)?;
        (rest, taken) = (0, true);
    }
    // The padding at the end, and with it the checksum of what the archive is packed in.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Stop::Io)?;
    if taken {
        return Ok(());
    }
    Err(Stop::Refused(Error::new(Kind::Source, "the archive holds no image")))
}

/// Files that come with an image in an archive and are none.
fn is_description(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    name.starts_with('.')
        || name.starts_with("readme")
        || name.ends_with("sums")
        || matches!(
            extension,
            "ovf"
                | "mf"
                | "cert"
                | "xml"
                | "json"
                | "yaml"
                | "yml"
                | "txt"
                | "md"
                | "md5"
                | "sha1"
                | "sha256"
                | "sha512"
                | "asc"
                | "sig"
                | "nvram"
                | "conf"
                | "cfg"
                | "log"
        )
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
    } else if is_tar(head) {
        Some(Packing::Tar)
    } else {
        None
    }
}

/// The header of an archive has a checksum over itself, which settles it where an image has the same five letters.
fn is_tar(head: &[u8]) -> bool {
    if head.len() < HEAD || &head[257..262] != b"ustar" {
        return false;
    }
    let header = tar::Header::from_byte_slice(&head[..HEAD]);
    let sum: u32 = head[..HEAD]
        .iter()
        .enumerate()
        .map(|(i, byte)| if (148..156).contains(&i) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    header.cksum().is_ok_and(|told| told == sum)
}

/// Refuses what is known not to be a raw image.
pub fn check_raw(head: &[u8]) -> Result<()> {
    let Some(container) = unreadable(head) else { return Ok(()) };
    let (what, then) = match container {
        Container::Image(what) => (what, "convert it with `qemu-img convert -O raw`, then upload that"),
        Container::Packed(what) => (what, "unpack it, then upload the image"),
    };
    let hint = format!("fetch it as it is with `diskferry download`, {then}");
    Err(Error::new(Kind::Source, format!("this is no raw image: it is {what}")).hint(hint))
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

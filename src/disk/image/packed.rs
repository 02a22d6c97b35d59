//! Compressed images. A raw image becomes a stream; an image in a disk format is decompressed into a
//! temporary file.

use super::archive::several;
use super::open::{OpenContext, OpenOptions};
use super::part::Part;
use super::vhd;
use crate::disk::file::FileDisk;
use crate::disk::format::HEAD;
use crate::disk::stream::pipe::{Failure, pipe};
use crate::disk::stream::unpack::{Contents, Packing, Wanted, unpack_into};
use crate::disk::stream::{Stream, xz_index, zstd_frames};
use crate::disk::zero::data_runs;
use crate::disk::{Identity, LocalRead};
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::FutureExt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The limit for a decompressed image if the user gave none: 64 GiB, or 2000 times the compressed size. A
/// layer of deflate gains at most a factor of 1032; mostly empty disks gain more with xz and zstd.
const MOST_UNPACKED: u64 = 64 << 30;
const MOST_GAINED: u64 = 2000;

/// Only a raw image whose size is not a multiple of this is checked for a VHD footer. Disk sizes are
/// multiples of 1 MiB, and with a footer, also one of a disk sized by its geometry, they are not.
const WHOLE: u64 = 1 << 20;

/// How much free space is left to others: a twentieth, and at least this, in bytes.
const ROOM_LEFT: u64 = 64 << 20;

/// The smallest hole in the temporary file.
const HOLE: usize = 64 << 10;

/// A compressed file, and how to read it.
pub(super) struct PackedFile<'p> {
    pub(super) part: &'p Part,
    pub(super) options: &'p OpenOptions,
    pub(super) asked: &'p OpenContext,
}

/// The result of decompressing everything once.
struct Counted {
    size: u64,
    /// Whether the last sector is the footer of a fixed VHD, and the rest is the disk.
    fixed: bool,
    images: Vec<String>,
}

impl PackedFile<'_> {
    fn wanted(&self) -> Wanted {
        Wanted { member: self.options.member.clone(), any_format: true }
    }

    /// Decompresses as long as `take` returns true and no stop is requested.
    fn unpack(&self, take: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<Contents> {
        let failure = Failure::default();
        let input = FileReader { part: self.part.clone(), at: 0, failure: failure.clone() };
        let stop = &self.asked.stop;
        let contents = unpack_into(input, &failure, &self.wanted(), &|| stop.is_asked(), take);
        let contents = contents.map_err(|e| e.context(self.part));
        self.asked.check_stop()?;
        contents
    }

    /// Returns the layers and the first bytes of the image.
    pub(super) fn look(&self) -> Result<(Contents, Vec<u8>)> {
        let mut head = Vec::new();
        let contents = self.unpack(&mut |piece| {
            head = piece.to_vec();
            Ok(false)
        })?;
        debug_assert!(head.len() <= HEAD);
        Ok((contents, head))
    }

    /// Returns the limit for the decompressed size.
    fn most(&self) -> u64 {
        let gained = self.part.len().saturating_mul(MOST_GAINED).max(MOST_UNPACKED);
        self.options.size_at_most.unwrap_or(gained.max(self.options.size.unwrap_or(0)))
    }

    fn too_large(&self, most: u64) -> Error {
        let text = format!("{} decompresses to more than {most} bytes", self.part);
        let hint = "to allow a larger size, add `--size-at-most SIZE`";
        Error::new(Kind::Source, text).hint(hint)
    }

    /// Opens a raw image as a stream. `fixed` tells whether it must be a fixed VHD.
    pub(super) fn stream(&self, contents: &Contents, fixed: bool, reading: &str) -> Result<(Stream, bool)> {
        let options = self.options;
        let told = if fixed { None } else { self.declared_size(contents)? };
        let (size, cut, padded) = match (told, options.size, options.size_at_most) {
            (Some(told), ..) => (told, false, false),
            (None, Some(given), _) if !fixed => (given, false, false),
            (None, _, Some(most)) if !fixed => (most, false, true),
            _ => {
                let counted = self.count(contents)?;
                if fixed && !counted.fixed {
                    return Err(self
                        .part
                        .refused("it is not a VHD image: it does not end with a VHD footer"));
                }
                if options.member.is_none() && counted.images.len() > 1 {
                    return Err(several(&counted.images, self.part));
                }
                (counted.size - if counted.fixed { vhd::FOOTER } else { 0 }, counted.fixed, false)
            }
        };
        if size == 0 {
            return Err(Error::new(Kind::Source, format!("the image in {} is empty", self.part)));
        }
        if size > self.most() {
            return Err(self.too_large(self.most()));
        }
        let reading = if cut { reading.replacen("raw", "vhd", 1) } else { reading.to_owned() };
        let disk = self.part.disk();
        let identity = Identity::Image {
            path: disk.path().to_owned(),
            reading,
            member: options.member.clone(),
            size,
            files: vec![disk.identity().clone()],
        };
        let stream = Stream::piped(self.start(cut.then_some(size))?, &self.part.to_string(), size, identity)?;
        Ok((if padded { stream.padded() } else { stream }, cut))
    }

    /// Starts the thread that decompresses. It passes on the first `cut` bytes and reads the rest to its end.
    fn start(&self, cut: Option<u64>) -> Result<crate::disk::stream::pipe::PipeReader> {
        let (writer, reader) = pipe();
        let failure = Failure::default();
        let input = FileReader { part: self.part.clone(), at: 0, failure: failure.clone() };
        let (wanted, name) = (self.wanted(), self.part.to_string());
        let unpacking = move || {
            let mut left = cut.unwrap_or(u64::MAX);
            let closed = || writer.is_closed();
            let done = unpack_into(input, &failure, &wanted, &closed, &mut |piece| {
                let len = piece.len().min(super::place(left));
                left -= len as u64;
                Ok(writer.send_blocking(Bytes::copy_from_slice(&piece[..len])))
            });
            writer.end_blocking(done.map(drop).map_err(|e| e.context(name)));
        };
        let thread = std::thread::Builder::new().name("unpack".to_owned()).spawn(unpacking);
        thread.map_err(|e| Error::io("cannot start a thread", e))?;
        Ok(reader)
    }

    /// Returns the decompressed size according to the compressed format, if it can be trusted. A wrong size
    /// would fail the transfer later.
    fn declared_size(&self, contents: &Contents) -> Result<Option<u64>> {
        let part = self.part;
        let told = match &contents.layers[..] {
            [Packing::Xz] => {
                let read = async |at: u64, len: u64| part.up_to(at, len);
                xz_index::raw_size(part.len(), read).now_or_never().transpose()?.flatten()
            }
            [Packing::Zstd] => {
                let input = FileReader { part: part.clone(), at: 0, failure: Failure::default() };
                zstd_frames::raw_size(input, &|| self.asked.stop.is_asked())
            }
            // For a member that was named the header is right, or the archive is damaged.
            [.., Packing::Tar] if self.options.member.is_some() || contents.layers.len() == 1 => {
                contents.size
            }
            _ => None,
        };
        self.asked.check_stop()?;
        Ok(told.filter(|size| size.is_multiple_of(WHOLE)))
    }

    /// Decompresses everything once to determine the size.
    fn count(&self, contents: &Contents) -> Result<Counted> {
        self.asked.note(format!(
            "reading {} once to determine the size of the image in it ({}); `--size` avoids this",
            self.part,
            contents.describe()
        ));
        let most = self.most();
        let (mut size, mut tail) = (0_u64, Vec::new());
        let contents = self.unpack(&mut |piece| {
            size += piece.len() as u64;
            if size > most.saturating_add(vhd::FOOTER) {
                return Err(self.too_large(most));
            }
            tail.extend_from_slice(&piece[piece.len().saturating_sub(HEAD)..]);
            tail.drain(..tail.len().saturating_sub(HEAD));
            Ok(true)
        })?;
        let fixed = <&[u8; 512]>::try_from(&tail[..]).is_ok_and(|tail| vhd::ends_fixed(tail, size));
        Ok(Counted { size, fixed, images: contents.images })
    }

    /// Decompresses into an unnamed file, so that nothing is left however the process ends.
    pub(super) fn to_file(&self) -> Result<FileDisk> {
        let dir = std::env::temp_dir();
        let what = |e| Error::io(format!("cannot decompress into a temporary file in {}", dir.display()), e);
        let file = tempfile::tempfile_in(&dir).map_err(what)?;
        let room = room(&dir)?;
        let limit = self.options.size_at_most.unwrap_or(room);
        let mut size = 0_u64;
        let contents = self.unpack(&mut |piece| {
            let end = size + piece.len() as u64;
            if end > limit {
                return Err(if self.options.size_at_most.is_some() {
                    self.too_large(limit)
                } else {
                    self.no_room(&dir, room)
                });
            }
            write(&file, size, piece).map_err(what)?;
            size = end;
            Ok(true)
        })?;
        if self.options.member.is_none() && contents.images.len() > 1 {
            return Err(several(&contents.images, self.part));
        }
        file.set_len(size).map_err(what)?;
        // Errors name the file that the user knows.
        FileDisk::of(file, self.part.disk().path().to_owned())
    }

    fn no_room(&self, dir: &Path, room: u64) -> Error {
        let text = format!(
            "{} decompresses to more than the {room} bytes available for a temporary file in {}",
            self.part,
            dir.display()
        );
        Error::new(Kind::Full, text)
            .hint("decompress it where there is space, or set TMPDIR to a directory with space; `--size-at-most` changes the limit")
    }
}

/// Returns how many bytes a temporary file in `dir` may have.
fn room(dir: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(dir)
        .map_err(|e| Error::io(format!("cannot determine the free space of {}", dir.display()), e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok((free - free / 20).saturating_sub(ROOM_LEFT))
}

/// Writes the parts that are not zero.
fn write(file: &File, at: u64, piece: &[u8]) -> io::Result<()> {
    data_runs(piece, HOLE)
        .into_iter()
        .try_for_each(|run| file.write_all_at(&piece[run.clone()], at + run.start as u64))
}

/// Reads a file from start to end and fails if it changes meanwhile.
pub(super) struct FileReader {
    part: Part,
    at: u64,
    failure: Failure,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.part.len() - self.at;
        let len = buffer.len().min(super::place(left)).min(256 << 10);
        let read =
            self.part.fill(self.at, &mut buffer[..len]).and_then(|()| self.part.disk().check_unchanged());
        read.map_err(|error| self.failure.set(error))?;
        self.at += len as u64;
        Ok(len)
    }
}

impl io::Seek for FileReader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let to = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
            io::SeekFrom::End(by) => self.part.len().checked_add_signed(by),
        };
        self.at = to.filter(|at| *at <= self.part.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.at)
    }
}

//! Opens an image: determines its format by content or by the user's choice, and the files it may refer to.

use super::archive;
use super::linear::Linear;
use super::packed::PackedFile;
use super::part::{Part, shown};
use super::qcow2::Qcow2;
use super::vhdx::Vhdx;
use super::{ImageDisk, Layout, vhd, vmdk};
use crate::disk::ReadAt;
use crate::disk::file::FileDisk;
use crate::disk::format::{Container, Format, HEAD, SourceFormat, container_of, unread};
use crate::disk::stream::Stream;
use crate::disk::stream::unpack::Packing;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::stop::{Stop, stopped};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The longest backing chain, in files.
const LONGEST_CHAIN: usize = 64;

/// How to read an image.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The format.
    pub format: SourceFormat,
    /// Whether it may refer to other files: backing files, data files, and extents in other directories.
    pub follow_backing: bool,
    /// The member of an archive.
    pub member: Option<String>,
    /// The size of a stream in bytes, if the user gave it.
    pub size: Option<u64>,
    /// The largest size of a stream, which is padded with zeros if it ends early, and of a decompressed
    /// image.
    pub size_at_most: Option<u64>,
}

/// The caller's observer and stop, for operations that take long.
#[derive(Clone)]
pub struct OpenContext {
    /// Receives notes.
    pub observer: Observer,
    /// Ends the operation.
    pub stop: Stop,
}

impl OpenContext {
    pub(super) fn note(&self, text: String) {
        (self.observer)(&Event::Note(text));
    }

    pub(super) fn check_stop(&self) -> Result<()> {
        if self.stop.is_asked() { Err(stopped()) } else { Ok(()) }
    }
}

/// An image that can be read.
pub enum Opened {
    /// With random access.
    Disk(Arc<dyn ReadAt>),
    /// Sequentially.
    Stream(Box<Stream>),
}

/// Opens the image in a file or on a block device. Returns it with a description such as `raw` or `qcow2 in
/// xz`. May have to decompress the whole image.
pub fn open(path: &Path, options: &OpenOptions, asked: &OpenContext) -> Result<(Opened, String)> {
    let named = FileDisk::open(path)?;
    let opened = Opening { options, asked, named: &named }.part(Part::whole(named.clone()), &[]);
    opened.map_err(|error| {
        // A disk may happen to begin like a disk format.
        let mended = error.hint_text().is_some_and(|hint| hint.contains("--source-format"));
        if options.format != SourceFormat::Auto || error.kind() != Kind::Source || mended {
            return error;
        }
        let as_it_is = "to upload the bytes unchanged, add `--source-format raw`";
        let hint = error.hint_text().map_or(as_it_is.to_owned(), |hint| format!("{hint}; {as_it_is}"));
        error.hint(hint)
    })
}

/// The state of opening an image.
struct Opening<'o> {
    options: &'o OpenOptions,
    asked: &'o OpenContext,
    /// The file that the user gave.
    named: &'o FileDisk,
}

impl Opening<'_> {
    /// Opens the contents of `part`. `around` are the containers it was found in, innermost first.
    fn part(&self, part: Part, around: &[String]) -> Result<(Opened, String)> {
        let seen = container_of(&part.up_to(0, HEAD as u64)?);
        let (options, inside) = (self.options, !around.is_empty());
        let format = match (options.format, seen) {
            (SourceFormat::Exactly(Format::Raw), _) if options.member.is_none() || inside => Format::Raw,
            (_, Some(Container::Packed(Packing::Tar))) if !inside => return self.archive(&part),
            (_, Some(Container::Packed(_))) => return self.packed(&part, around),
            _ if options.member.is_some() && !inside => {
                let text = format!(
                    "`--member` is for archives, and {} is not an archive",
                    self.named.path().display()
                );
                return Err(Error::usage(text));
            }
            (SourceFormat::Exactly(format), _) | (SourceFormat::Auto, Some(Container::Image(format))) => {
                format
            }
            (SourceFormat::Auto, Some(Container::Unread(what))) => return Err(unread(what, &part)),
            (SourceFormat::Auto, None) if vhd::is_fixed(&part)? => Format::Vhd,
            (SourceFormat::Auto, None) => Format::Raw,
        };
        if options.size_at_most.is_some() && !inside {
            return Err(Error::usage("`--size-at-most` is for standard input and for compressed images"));
        }
        let reading = reading(&format.to_string(), around);
        if format == Format::Raw && part.is_whole() && !inside {
            return Ok((Opened::Disk(Arc::new(self.named.clone())), reading));
        }
        let mut opener = Opener::new(options.follow_backing, self.named.clone());
        let layout = opener.layout(format, part)?;
        if layout.size() == 0 {
            let text = format!("the image {} is empty", self.named.path().display());
            return Err(Error::new(Kind::Source, text));
        }
        if i64::try_from(layout.size()).is_err() {
            let text = format!(
                "the header of the image {} has a size of {} bytes",
                self.named.path().display(),
                layout.size()
            );
            return Err(Error::new(Kind::Source, text));
        }
        let disk = ImageDisk::new(layout, opener.files, reading.clone(), options.member.clone());
        Ok((Opened::Disk(Arc::new(disk)), reading))
    }

    /// Opens a member of an archive.
    fn archive(&self, part: &Part) -> Result<(Opened, String)> {
        let member = archive::find(part, self.options.member.as_deref(), self.asked)?;
        if member.sparse {
            // The bytes of the member are not contiguous.
            return self.packed(part, &[]);
        }
        if member.range.is_empty() {
            return Err(part.refused(format_args!("its member {} is empty", shown(&member.name))));
        }
        self.part(part.member(member.range, member.name), &["tar".to_owned()])
    }

    /// Opens a compressed file.
    fn packed(&self, part: &Part, around: &[String]) -> Result<(Opened, String)> {
        let packed = PackedFile { part, options: self.options, asked: self.asked };
        let (contents, head) = packed.look()?;
        let layers = contents.layers.iter().rev().map(ToString::to_string);
        let around: Vec<String> = layers.chain(around.iter().cloned()).collect();
        let seen = container_of(&head);
        let format = match (self.options.format, seen) {
            (SourceFormat::Exactly(format), _) | (SourceFormat::Auto, Some(Container::Image(format))) => {
                format
            }
            (SourceFormat::Auto, Some(Container::Unread(what))) => return Err(unread(what, part)),
            (SourceFormat::Auto, Some(Container::Packed(packing))) => {
                return Err(unread(&format!("compressed with {packing} in too many layers"), part));
            }
            (SourceFormat::Auto, None) => Format::Raw,
        };
        let fixed = format == Format::Vhd && seen != Some(Container::Image(Format::Vhd));
        if format == Format::Raw || fixed {
            let (stream, cut) = packed.stream(&contents, fixed, &reading("raw", &around))?;
            let format = if cut { Format::Vhd } else { Format::Raw };
            return Ok((Opened::Stream(Box::new(stream)), reading(&format.to_string(), &around)));
        }
        self.asked.note(format!(
            "decompressing {part} into a temporary file in {}, because {format} cannot be read sequentially",
            std::env::temp_dir().display()
        ));
        self.part(Part::whole(packed.to_file()?), &around)
    }
}

/// Returns the description of an image, such as `qcow2 in xz`.
fn reading(format: &str, around: &[String]) -> String {
    std::iter::once(format).chain(around.iter().map(String::as_str)).collect::<Vec<_>>().join(" in ")
}

/// Opens disk formats and the files they refer to.
pub(super) struct Opener {
    follow: bool,
    /// All files that the image depends on, beginning with the one that was given.
    files: Vec<FileDisk>,
    /// The device and inode of each file in the chain.
    chain: Vec<(u64, u64)>,
}

impl Opener {
    fn new(follow: bool, named: FileDisk) -> Self {
        Self { follow, files: vec![named], chain: Vec::new() }
    }

    /// Returns whether the image may refer to other files.
    pub(super) fn follows(&self) -> bool {
        self.follow
    }

    fn layout(&mut self, format: Format, part: Part) -> Result<Box<dyn Layout>> {
        let inode = part.disk().inode()?;
        if self.chain.contains(&inode) {
            return Err(part.damaged("its backing chain is a loop"));
        }
        if self.chain.len() == LONGEST_CHAIN {
            let why = format!("its backing chain has more than {LONGEST_CHAIN} files");
            return Err(part.refused(why).hint("shorten it with `qemu-img convert -O qcow2`"));
        }
        self.chain.push(inode);
        Ok(match format {
            Format::Raw => {
                let size = part.len();
                Box::new(Linear::of(part, size))
            }
            Format::Qcow2 => Box::new(Qcow2::open(part, self)?),
            Format::Vmdk => vmdk::open(part, self)?,
            Format::Vhd => vhd::open(part)?,
            Format::Vhdx => Box::new(Vhdx::open(part)?),
        })
    }

    /// Opens the external data file of `of`.
    pub(super) fn data_file(&mut self, of: &Part, name: &str) -> Result<Part> {
        if name.is_empty() {
            return Err(of.damaged("it does not name its data file"));
        }
        self.other(of, name)
    }

    /// Opens the backing image of `of`.
    pub(super) fn backing(&mut self, of: &Part, name: &str, format: &str) -> Result<Box<dyn Layout>> {
        // QEMU's name for VHD is that of Virtual PC.
        let format = if format == "vpc" { "vhd" } else { format };
        let format: Format = format.parse().map_err(|_: Error| {
            of.refused(format_args!("its backing file is in the unsupported format {}", shown(format)))
        })?;
        let part = self.other(of, name)?;
        self.layout(format, part)
    }

    /// Opens a file that `of` refers to, wherever it is.
    fn other(&mut self, of: &Part, name: &str) -> Result<Part> {
        let scheme = name.split('/').next().is_some_and(|first| first.contains(':'));
        if scheme {
            return Err(of.refused(format_args!("it refers to {}, which is not a file", shown(name))));
        }
        let path = Self::directory(of)?.join(name);
        self.take(of, name, &path, 0)
    }

    /// Opens an extent of a VMDK. Both its name and its real path must be in or below the directory of the
    /// descriptor.
    pub(super) fn extent(&mut self, of: &Part, name: &str) -> Result<Part> {
        let directory = Self::directory(of)?;
        let path = directory.join(name);
        if self.follow {
            return self.take(of, name, &path, 0);
        }
        let outside = || {
            of.refused(format_args!("its extent {} is outside its directory", shown(name)))
                .hint("if you trust the image, add `--follow-backing`")
        };
        if name.contains('\0')
            || !Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(outside());
        }
        let real = path.canonicalize().map_err(|e| unreadable(of, name).source(e))?;
        if !real.starts_with(&directory) {
            return Err(outside());
        }
        self.take(of, name, &real, OFlags::NOFOLLOW.bits())
    }

    /// Opens a regular file, unless it is open already.
    fn take(&mut self, of: &Part, name: &str, path: &Path, flags: u32) -> Result<Part> {
        // Opening a pipe or another device could block or have side effects.
        let flags = i32::try_from(flags | OFlags::NONBLOCK.bits()).unwrap_or_default();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let file = opened.map_err(|e| unreadable(of, name).source(e))?;
        let meta = file.metadata().map_err(|e| unreadable(of, name).source(e))?;
        if !meta.is_file() {
            return Err(unreadable(of, name).source(io_error("it is not a regular file")));
        }
        let path = path.canonicalize().map_err(|e| unreadable(of, name).source(e))?;
        if let Some(open) = self.files.iter().find(|file| file.path() == path) {
            return Ok(Part::whole(open.clone()));
        }
        let disk = FileDisk::of(file, path)?;
        self.files.push(disk.clone());
        Ok(Part::whole(disk))
    }

    /// Returns the directory that names in an image are relative to.
    fn directory(of: &Part) -> Result<PathBuf> {
        if !of.is_whole() {
            return Err(of
                .refused("it refers to a file outside its archive")
                .hint("unpack the archive first"));
        }
        let path = of.disk().path();
        Ok(path.parent().unwrap_or(path).to_owned())
    }
}

fn unreadable(of: &Part, name: &str) -> Error {
    Error::new(Kind::Source, format!("{of} refers to the file {}, which cannot be read", shown(name)))
}

fn io_error(text: &str) -> std::io::Error {
    std::io::Error::other(text)
}

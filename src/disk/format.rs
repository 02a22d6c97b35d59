//! What an image is, by its first bytes: raw, packed, or in a format of its own.

use super::stream::unpack::{Packing, packing_of};
use crate::error::{Error, Kind, Result};
use std::fmt;

/// How much of an image tells what it is, in bytes: the header of a tar archive.
pub const HEAD: usize = 512;

/// A format that images are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the drive.
    Raw,
    /// QEMU's.
    Qcow2,
    /// `VMware`'s.
    Vmdk,
    /// Microsoft's, of Virtual PC and Azure.
    Vhd,
    /// Microsoft's, of Hyper-V.
    Vhdx,
}

impl Format {
    /// What an image of this format is called.
    fn described(self) -> &'static str {
        match self {
            Format::Raw => "a raw image",
            Format::Qcow2 => "a QCOW2 image",
            Format::Vmdk => "a VMDK image",
            Format::Vhd => "a VHD image",
            Format::Vhdx => "a VHDX image",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
            Format::Vmdk => "vmdk",
            Format::Vhd => "vhd",
            Format::Vhdx => "vhdx",
        })
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Format::Raw, Format::Qcow2, Format::Vmdk, Format::Vhd, Format::Vhdx];
        let found = all.into_iter().find(|format| format.to_string() == text);
        found.ok_or_else(|| Error::usage(format!("expected raw, qcow2, vmdk, vhd or vhdx, got `{text}`")))
    }
}

/// What an image is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetFormat {
    /// The bytes of the drive.
    #[default]
    Raw,
    /// Those, and the footer of a fixed VHD behind them.
    Vhd,
    /// Into a qcow2; of files alone.
    Qcow2,
}

impl TargetFormat {
    /// What it is called in plans and journals; nothing where the bytes stay what they are.
    pub fn told(self) -> String {
        if self == TargetFormat::Raw { String::new() } else { self.to_string() }
    }
}

impl fmt::Display for TargetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetFormat::Raw => Format::Raw.fmt(f),
            TargetFormat::Vhd => Format::Vhd.fmt(f),
            TargetFormat::Qcow2 => Format::Qcow2.fmt(f),
        }
    }
}

impl std::str::FromStr for TargetFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [TargetFormat::Raw, TargetFormat::Vhd, TargetFormat::Qcow2];
        let found = all.into_iter().find(|format| format.to_string() == text);
        found.ok_or_else(|| Error::usage(format!("expected raw, qcow2 or vhd, got `{text}`")))
    }
}

/// What an image is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFormat {
    /// What its bytes say.
    #[default]
    Auto,
    /// This, and nothing else will do. Raw: the bytes of the drive, whatever they look like.
    Exactly(Format),
}

impl std::str::FromStr for SourceFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(SourceFormat::Auto),
            _ => text.parse().map(SourceFormat::Exactly).map_err(|_: Error| {
                Error::usage(format!("expected auto, raw, qcow2, vmdk, vhd or vhdx, got `{text}`"))
            }),
        }
    }
}

/// What is known not to be a raw image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// An image in a format that is read.
    Image(Format),
    /// Something that is packed in a way that is unpacked.
    Packed(Packing),
    /// Anything else, by its name.
    Unread(&'static str),
}

/// The first bytes of what is no raw image. QEMU's qcow2 documentation ("Header"), `VMware`'s "Virtual Disk Format" (sparse
/// extents and descriptors), Microsoft's MS-VHDX 2.2 and "Virtual Hard Disk Image Format" (dynamic disks begin with a copy of
/// the footer), `VirtualBox`'s VDI preamble.
const KNOWN: [(&[u8], Container); 9] = [
    (b"QFI\xfb", Container::Image(Format::Qcow2)),
    (b"KDMV", Container::Image(Format::Vmdk)),
    (b"# Disk DescriptorFile", Container::Image(Format::Vmdk)),
    (b"vhdxfile", Container::Image(Format::Vhdx)),
    (b"conectix", Container::Image(Format::Vhd)),
    (b"COWD", Container::Image(Format::Vmdk)),
    (b"<<< ", Container::Unread("a VDI image")),
    (b"PK\x03\x04", Container::Unread("a ZIP archive")),
    (b"7z\xbc\xaf\x27\x1c", Container::Unread("a 7z archive")),
];

/// Tells what is no raw image by its first bytes, [`HEAD`] of them if there are so many.
pub fn container_of(head: &[u8]) -> Option<Container> {
    packing_of(head)
        .map(Container::Packed)
        .or_else(|| KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, container)| *container))
}

/// Refuses, where only raw images can be read, what is known to be none.
pub fn check_raw(head: &[u8]) -> Result<()> {
    let Some(container) = container_of(head) else { return Ok(()) };
    let (what, then) = match container {
        Container::Packed(packing) => (format!("packed by {packing}"), "unpack it, then upload the image"),
        Container::Unread(what) => (what.to_owned(), UNREAD),
        Container::Image(format) => {
            (format.described().to_owned(), "upload that file, which is read as it is")
        }
    };
    let hint = format!("fetch it as it is with `diskferry download`, then {then}");
    Err(Error::new(Kind::Source, format!("this is no raw image: it is {what}")).hint(hint))
}

/// What to do with what is not read.
const UNREAD: &str = "convert it with `qemu-img convert -O raw`, or unpack it";

/// The error for an image that is not read. `name` is what the user called it.
pub fn unread(what: &str, name: impl fmt::Display) -> Error {
    let text = format!("{name} is no raw image: it is {what}, and a drive that holds it cannot boot");
    Error::new(Kind::Source, text).hint(format!("{UNREAD}; `--source-format raw` uploads it as it is"))
}

/// The error for standard input that is an image in a format of its own.
pub fn not_in_order(format: Format) -> Error {
    let what = format.described();
    Error::new(Kind::Source, format!("standard input is {what}, which cannot be read in order"))
        .hint("write it to a file, and name that; `--source-format raw` uploads it as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_raw_image_is_told_by_name() {
        let mut tar = vec![0; 512];
        tar[..4].copy_from_slice(b"disk");
        tar[257..263].copy_from_slice(b"ustar\0");
        tar[148..156].copy_from_slice(b"        ");
        let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        for (head, says) in [
            (&b"QFI\xfb\0\0\0\x03"[..], "QCOW2"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\xfd7zXZ\0", "xz"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"BZh91AY&SY", "bzip2"),
            (b"<<< Oracle VM", "VDI"),
            (&tar, "tar"),
        ] {
            let refused = check_raw(head).unwrap_err().to_string();
            assert!(refused.starts_with("this is no raw image") && refused.contains(says), "{refused}");
        }
        for raw in [&b""[..], b"\xeb\x63\x90", b"BZh9 is how a text begins", &[0; 512]] {
            check_raw(raw).unwrap();
        }
    }

    #[test]
    fn a_format_is_named_as_it_is_shown() {
        for format in [Format::Raw, Format::Qcow2, Format::Vmdk, Format::Vhd, Format::Vhdx] {
            assert_eq!(format.to_string().parse::<SourceFormat>().unwrap(), SourceFormat::Exactly(format));
        }
        assert_eq!("auto".parse::<SourceFormat>().unwrap(), SourceFormat::Auto);
        assert!("vdi".parse::<SourceFormat>().unwrap_err().to_string().contains("`vdi`"));
    }
}

//! Detects the format of an image by its first bytes: raw, compressed, or a disk format.

use super::stream::unpack::{Packing, packing_of};
use crate::error::{Error, Kind, Result};
use std::fmt;

/// How many bytes detection needs: the header of a tar archive.
pub const HEAD: usize = 512;

/// A disk format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the drive.
    Raw,
    /// QEMU's qcow2.
    Qcow2,
    /// `VMware`'s VMDK.
    Vmdk,
    /// Microsoft's VHD, of Virtual PC and Azure.
    Vhd,
    /// Microsoft's VHDX, of Hyper-V.
    Vhdx,
}

impl Format {
    /// Returns the description of an image in this format.
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

/// The format to write an image in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetFormat {
    /// The bytes of the drive.
    #[default]
    Raw,
    /// The bytes of the drive, followed by the footer of a fixed VHD.
    Vhd,
    /// A qcow2; only for files.
    Qcow2,
}

impl TargetFormat {
    /// Returns the name in plans and journals; empty if the bytes are not converted.
    pub fn label(self) -> String {
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

/// The format to assume for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFormat {
    /// The format that is detected.
    #[default]
    Auto,
    /// This format only. `Raw` takes the bytes as they are, whatever they look like.
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

/// A known kind of file that is not a raw image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// An image in a supported disk format.
    Image(Format),
    /// A file in a supported compression format.
    Packed(Packing),
    /// A known but unsupported kind, by its name.
    Unread(&'static str),
}

/// The first bytes of files that are not raw images. Sources: QEMU's qcow2 documentation ("Header"),
/// `VMware`'s "Virtual Disk Format" (sparse extents and descriptors), Microsoft's MS-VHDX 2.2 and "Virtual
/// Hard Disk Image Format" (dynamic disks begin with a copy of the footer), `VirtualBox`'s VDI preamble.
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

/// Detects a file that is not a raw image by its first bytes, up to [`HEAD`] of them.
pub fn container_of(head: &[u8]) -> Option<Container> {
    packing_of(head)
        .map(Container::Packed)
        .or_else(|| KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, container)| *container))
}

/// Refuses a file that is known not to be a raw image, where only raw images can be read.
pub fn check_raw(head: &[u8]) -> Result<()> {
    let Some(container) = container_of(head) else { return Ok(()) };
    let (what, then) = match container {
        Container::Packed(packing) => {
            (format!("compressed with {packing}"), "decompress it, then upload the image")
        }
        Container::Unread(what) => (what.to_owned(), UNREAD),
        Container::Image(format) => (format.described().to_owned(), "upload that file"),
    };
    let hint = format!("fetch the file with `diskferry download`, then {then}");
    Err(Error::new(Kind::Source, format!("not a raw image: it is {what}")).hint(hint))
}

/// What to do with an unsupported file.
const UNREAD: &str = "convert it with `qemu-img convert -O raw`, or decompress it";

/// Returns the error for an unsupported image. `name` is what the user called it.
pub fn unread(what: &str, name: impl fmt::Display) -> Error {
    let text =
        format!("{name} is not a raw image: it is {what}, and a drive with these bytes would not boot");
    Error::new(Kind::Source, text)
        .hint(format!("{UNREAD}; to upload the bytes unchanged, add `--source-format raw`"))
}

/// Returns the error for standard input in a disk format.
pub fn not_in_order(format: Format) -> Error {
    let what = format.described();
    Error::new(Kind::Source, format!("standard input is {what}, which cannot be read sequentially"))
        .hint("write it to a file first; to upload the bytes unchanged, add `--source-format raw`")
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
            assert!(refused.starts_with("not a raw image") && refused.contains(says), "{refused}");
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

//! What an image is, by its first bytes: raw, packed, or in a format of its own.
//!
//! A drive that holds a QCOW2 file or a gzip file as it is cannot boot, so such an image is refused by name unless the user
//! says that it is meant as it is.

use super::stream::unpack::{Packing, packing_of};
use crate::error::{Error, Kind, Result};
use std::path::Path;

/// How much of an image tells what it is, in bytes: the header of a tar archive.
pub const HEAD: usize = 512;

/// What an image is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFormat {
    /// What its first bytes say; anything but raw is refused.
    #[default]
    Auto,
    /// The bytes of the drive, whatever they look like.
    Raw,
}

impl std::str::FromStr for SourceFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(SourceFormat::Auto),
            "raw" => Ok(SourceFormat::Raw),
            _ => Err(Error::usage(format!("expected auto or raw, got `{text}`"))),
        }
    }
}

/// What is known not to be a raw image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// An image in a format of its own, by its name.
    Image(&'static str),
    /// A raw image, or another one, that was packed.
    Packed(&'static str),
}

/// The first bytes of what is no raw image. QEMU's qcow2 documentation ("Header"), `VMware`'s "Virtual Disk Format" (sparse
/// extents and descriptors), Microsoft's MS-VHDX 2.2 and "Virtual Hard Disk Image Format" (dynamic disks begin with a copy of
/// the footer), `VirtualBox`'s VDI preamble.
const KNOWN: [(&[u8], Container); 9] = [
    (b"QFI\xfb", Container::Image("a QCOW2 image")),
    (b"KDMV", Container::Image("a VMDK image")),
    (b"# Disk DescriptorFile", Container::Image("a VMDK image's description")),
    (b"vhdxfile", Container::Image("a VHDX image")),
    (b"conectix", Container::Image("a VHD image")),
    (b"<<< ", Container::Image("a VDI image")),
    (b"PK\x03\x04", Container::Packed("a ZIP archive")),
    (b"BZh", Container::Packed("packed by bzip2")),
    (b"7z\xbc\xaf\x27\x1c", Container::Packed("a 7z archive")),
];

/// Tells what is no raw image by its first bytes, [`HEAD`] of them if there are so many. Of what is packed only the forms
/// that cannot be unpacked on the way are told; see [`container_of`] for all.
pub fn unreadable(head: &[u8]) -> Option<Container> {
    KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, container)| *container)
}

/// Tells what is no raw image by its first bytes, packed ones included.
pub fn container_of(head: &[u8]) -> Option<Container> {
    let packed = packing_of(head).map(|packing| {
        Container::Packed(match packing {
            Packing::Gzip => "packed by gzip",
            Packing::Xz => "packed by xz",
            Packing::Zstd => "packed by zstd",
            Packing::Tar => "a tar archive",
        })
    });
    packed.or_else(|| unreadable(head))
}

/// Refuses an image that is no raw one. `path` is what the user called it.
pub fn check(head: &[u8], path: &Path) -> Result<()> {
    let Some(container) = container_of(head) else { return Ok(()) };
    let (what, mend) = match container {
        Container::Image(what) => (what, "convert it with `qemu-img convert -O raw`"),
        Container::Packed(what) => {
            (what, "unpack it first, or pipe it in as `zcat IMAGE | diskferry upload - --size SIZE`")
        }
    };
    let name = if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
    Err(Error::new(
        Kind::Source,
        format!("{name} is no raw image: it is {what}, and a drive that holds it cannot boot"),
    )
    .hint(format!("{mend}; `--source-format raw` uploads it as it is")))
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
            (b"BZh9", "bzip2"),
            (&tar, "tar"),
        ] {
            let refused = check(head, Path::new("disk.img")).unwrap_err().to_string();
            assert!(refused.starts_with("disk.img is no raw image") && refused.contains(says), "{refused}");
        }
        for raw in [&b""[..], b"\xeb\x63\x90", b"BZ", &[0; 512]] {
            check(raw, Path::new("disk.img")).unwrap();
        }
    }
}

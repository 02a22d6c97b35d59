//! The standard drives that a provider offers to everybody. They can be read, imaged from and booted, but not
//! written.
//!
//! Their contents are generated at the first use. An image is a boot sector with its name, then zeros up to
//! the size that the manual prints. A CD is its volume descriptor.

use super::contents::Contents;
use crate::emulator::data;
use crate::emulator::store::{make_dir, store_with};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// A standard drive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) uuid: &'static str,
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
}

/// The contents of a standard drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A system of this many bytes, packed with gzip.
    Packed(u64),
    /// A system of this many bytes.
    System(u64),
    /// A CD.
    Cd,
}

/// The standard drives, and the directory of their files.
#[derive(Debug)]
pub(super) struct Standard {
    dir: PathBuf,
    offers: Vec<Offer>,
}

/// The unpacked size of one gzip member of zeros. An image consists of many members, and its size is a
/// multiple of this.
const MEMBER: u64 = 64 << 20;

/// The size of a CD: enough for the descriptor, which is at 32 KiB (ECMA-119, 6.2.1).
const CD: u64 = 1 << 20;
const DESCRIPTOR: usize = 32 << 10;

impl Standard {
    pub(super) fn new(dir: PathBuf, offers: Vec<Offer>) -> Self {
        Standard { dir, offers }
    }

    pub(super) fn all(&self) -> &[Offer] {
        &self.offers
    }

    pub(super) fn find(&self, uuid: &str) -> Option<Offer> {
        self.offers.iter().copied().find(|offer| offer.uuid.eq_ignore_ascii_case(uuid))
    }

    /// Returns the bytes of a standard drive.
    pub(super) fn open(&self, offer: Offer) -> io::Result<Contents> {
        let path = self.dir.join(format!("{}.raw", offer.uuid));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.dir)?;
                store_with(&path, |file| offer.make(file))?;
                File::open(&path)?
            }
            opened => opened?,
        };
        let size = file.metadata()?.len();
        Ok(Contents::new(file, size, None))
    }
}

impl Offer {
    /// Returns the standard drives of a provider.
    pub(crate) fn of(provider: &str) -> Vec<Offer> {
        let own = data::standard_drives().filter(|[owner, ..]| *owner == provider);
        own.map(|[_, uuid, name, contents]| {
            let size = |text: &str| text.parse::<u64>().unwrap_or(1) << 30;
            let holds = match contents.split_once(' ') {
                Some(("packed", gibibytes)) => Holds::Packed(size(gibibytes)),
                Some((_, gibibytes)) => Holds::System(size(gibibytes)),
                None => Holds::Cd,
            };
            Offer { uuid, name, holds }
        })
        .collect()
    }

    fn make(self, file: &mut File) -> io::Result<()> {
        match self.holds {
            Holds::Packed(size) => {
                file.write_all(&packed(&self.boot_sector(), MEMBER)?)?;
                let zeros = packed(&[], MEMBER)?;
                (1..size / MEMBER).try_for_each(|_| file.write_all(&zeros))
            }
            Holds::System(size) => {
                file.write_all(&self.boot_sector())?;
                file.set_len(size)
            }
            Holds::Cd => {
                let mut descriptor = vec![0; DESCRIPTOR];
                descriptor.extend_from_slice(b"\x01CD001\x01");
                descriptor.extend_from_slice(self.name.as_bytes());
                file.write_all(&descriptor)?;
                file.set_len(CD)
            }
        }
    }

    /// Returns a boot sector that does nothing, with the drive's name in it and the boot signature at its
    /// end.
    fn boot_sector(self) -> Vec<u8> {
        // An endless jump, since the processor begins here.
        let mut sector = vec![0xeb, 0xfe];
        sector.extend_from_slice(self.name.as_bytes());
        sector.resize(510, 0);
        sector.extend_from_slice(&[0x55, 0xaa]);
        sector
    }
}

/// Returns bytes, followed by zeros up to a length, as one gzip member.
fn packed(bytes: &[u8], len: u64) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    io::copy(&mut io::Read::take(io::repeat(0), len - bytes.len() as u64), &mut encoder)?;
    encoder.finish()
}

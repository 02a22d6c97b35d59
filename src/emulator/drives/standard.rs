//! The drives that the provider offers to everybody: to be read, imaged from and booted, not to be written.
//!
//! Their contents are made up the first time somebody wants them: an image is a boot sector with its name and zeros to
//! the size that the manual prints, a CD is its volume descriptor.

use super::contents::Contents;
use crate::emulator::data;
use crate::emulator::store::{make_dir, store_with};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// A drive on offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) uuid: &'static str,
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
}

/// What a drive on offer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A system of so many bytes, packed with gzip.
    Packed(u64),
    /// A system of so many bytes, as it is.
    System(u64),
    /// A CD.
    Cd,
}

/// The drives on offer, and the directory that their files are made in.
#[derive(Debug)]
pub(super) struct Standard {
    dir: PathBuf,
    offers: Vec<Offer>,
}

/// Unpacked bytes of one gzip member of zeros; a whole image is many of them. It divides the size of every image.
const MEMBER: u64 = 64 << 20;

/// A CD of this size has room for the descriptor, which stands at 32 KiB (ECMA-119, 6.2.1).
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

    /// Returns the bytes of a drive on offer.
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
    /// Returns what a provider offers.
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

    /// A boot sector that does nothing, with the name in it and its mark at the end.
    fn boot_sector(self) -> Vec<u8> {
        // An endless jump, as the processor begins here.
        let mut sector = vec![0xeb, 0xfe];
        sector.extend_from_slice(self.name.as_bytes());
        sector.resize(510, 0);
        sector.extend_from_slice(&[0x55, 0xaa]);
        sector
    }
}

/// Bytes and zeros after them up to a length, as one gzip member.
fn packed(bytes: &[u8], len: u64) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    io::copy(&mut io::Read::take(io::repeat(0), len - bytes.len() as u64), &mut encoder)?;
    encoder.finish()
}

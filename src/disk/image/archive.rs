//! Finds the members of a tar archive (such as an OVA), so that they can be read in place.

use super::open::OpenContext;
use super::part::Part;
use crate::disk::stream::unpack_guard::RECORDS;
use crate::disk::stream::unpack_tar::{is_description, listed, no_such_member, plain_name};
use crate::error::{Error, Kind, Result};
use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::rc::Rc;

/// The most members that are examined.
const MOST_FILES: usize = 10_000;

/// A member that may be an image.
pub(super) struct Member {
    pub(super) name: String,
    /// The range of its bytes in the archive.
    pub(super) range: Range<u64>,
    /// Whether its bytes are not contiguous, as in a sparse file.
    pub(super) sparse: bool,
}

/// Finds the member that was named, or the only image.
pub(super) fn find(part: &Part, wanted: Option<&str>, asked: &OpenContext) -> Result<Member> {
    let mut images = members(part, wanted, asked)?;
    let names =
        |images: &[Member]| -> Vec<String> { images.iter().map(|image| image.name.clone()).collect() };
    if let Some(wanted) = wanted {
        let found = images.iter().position(|image| plain_name(&image.name) == plain_name(wanted));
        return found.map(|at| images.swap_remove(at)).ok_or_else(|| no_such_member(&names(&images)));
    }
    match images.len() {
        0 => Err(part.refused("the archive contains no image")),
        1 => Ok(images.remove(0)),
        _ => Err(several(&names(&images), part)),
    }
}

/// Returns the error for an archive with several images if none was selected.
pub(super) fn several(names: &[String], part: &Part) -> Error {
    Error::new(Kind::Source, format!("{part} contains more than one image: {}", listed(names)))
        .hint("select one with `--member NAME`")
}

fn members(part: &Part, wanted: Option<&str>, asked: &OpenContext) -> Result<Vec<Member>> {
    let allowance = Rc::new(Cell::new(RECORDS));
    let cursor = Cursor { part, at: 0, allowance: Rc::clone(&allowance) };
    let mut archive = tar::Archive::new(cursor);
    let broken = |e: io::Error| part.damaged("its archive is damaged or truncated").source(e);
    let mut entries = archive.entries_with_seek().map_err(broken)?;
    let (mut found, mut seen) = (Vec::new(), 0);
    loop {
        // The tar reader reads the records of a member into memory, however long they are.
        allowance.set(RECORDS);
        let Some(entry) = entries.next() else { return Ok(found) };
        let entry = entry.map_err(broken)?;
        asked.check_stop()?;
        seen += 1;
        if seen > MOST_FILES {
            return Err(part.refused(format_args!("its archive has more than {MOST_FILES} members")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let named = wanted.is_some_and(|wanted| plain_name(wanted) == plain_name(&name));
        if !(kind.is_file() || kind.is_gnu_sparse()) || (is_description(&name) && !named) {
            continue;
        }
        let start = entry.raw_file_position();
        let mut entry = entry;
        let extensions = entry.pax_extensions().map_err(broken)?;
        let mut keys = extensions.into_iter().flatten().flatten();
        let sparse = kind.is_gnu_sparse() || keys.any(|key| key.key_bytes().starts_with(b"GNU.sparse."));
        let end = start.checked_add(entry.size()).filter(|end| sparse || *end <= part.len());
        let end =
            end.ok_or_else(|| part.damaged("its archive is truncated: a member extends beyond its end"))?;
        found.push(Member { name, range: start..end, sparse });
    }
}

/// Reads a part of a file, up to an allowance.
struct Cursor<'p> {
    part: &'p Part,
    at: u64,
    allowance: Rc<Cell<u64>>,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.part.len().saturating_sub(self.at);
        let len = buffer.len().min(super::place(left));
        let rest = self.allowance.get().checked_sub(len as u64);
        self.allowance.set(rest.ok_or_else(|| io::Error::other("a record is larger than 1 MiB"))?);
        self.part.fill(self.at, &mut buffer[..len]).map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.part.len().checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

//! A range of a file: all of it, or a member of an archive.

use crate::disk::Extent;
use crate::disk::file::FileDisk;
use crate::error::{Error, Kind, Result};
use std::fmt;
use std::ops::Range;

/// A byte range of a file, read at offsets relative to its start.
#[derive(Clone, Debug)]
pub(super) struct Part {
    disk: FileDisk,
    range: Range<u64>,
    /// The name of the archive member.
    member: Option<String>,
    sparse: bool,
}

impl Part {
    /// Returns the part that is the whole file.
    pub(super) fn whole(disk: FileDisk) -> Self {
        let sparse = disk.is_sparse();
        Self { range: 0..disk.size(), sparse, disk, member: None }
    }

    /// Returns the archive member `member`, whose range must lie in this part.
    pub(super) fn member(&self, range: Range<u64>, member: String) -> Self {
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { disk: self.disk.clone(), range, member: Some(member), sparse: self.sparse }
    }

    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Returns the file.
    pub(super) fn disk(&self) -> &FileDisk {
        &self.disk
    }

    /// Returns whether it is the whole file.
    pub(super) fn is_whole(&self) -> bool {
        self.range == (0..self.disk.size())
    }

    /// Fills `into` from `offset`. Reading beyond the end is an error, since a truncated file has lost data.
    pub(super) fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        if !self.has(offset, into.len() as u64) {
            return Err(self.damaged("it is truncated").offset(offset));
        }
        self.disk.fill(self.range.start + offset, into)
    }

    /// Returns whether the part has `len` bytes from `offset`.
    pub(super) fn has(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len())
    }

    /// Reads `N` bytes at `offset`.
    pub(super) fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads up to `most` bytes at `offset`, or fewer at the end of the part.
    pub(super) fn up_to(&self, offset: u64, most: u64) -> Result<Vec<u8>> {
        let len = self.len().saturating_sub(offset).min(most);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns the extents of `len` bytes from `offset`, relative to it.
    pub(super) fn extents(&self, offset: u64, len: u64) -> Result<Vec<Extent>> {
        let start = self.range.start + offset;
        if !self.sparse {
            return Ok(vec![Extent { range: 0..len, zero: false }]);
        }
        let found = self.disk.holes(start..start + len)?.into_iter();
        Ok(found
            .map(|Extent { range, zero }| Extent { range: range.start - start..range.end - start, zero })
            .collect())
    }

    /// Returns the error for invalid contents. Its offset is one in the file.
    pub(super) fn damaged(&self, why: impl fmt::Display) -> Error {
        Error::new(Kind::Source, format!("{self} is damaged: {why}"))
            .hint("check it with `qemu-img check`, then fetch it again or repair it")
    }

    /// Returns the error for unsupported contents.
    pub(super) fn refused(&self, why: impl fmt::Display) -> Error {
        Error::new(Kind::Source, format!("{self} cannot be read: {why}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            Some(member) => write!(f, "{} in {}", shown(member), self.disk.path().display()),
            None => write!(f, "{}", self.disk.path().display()),
        }
    }
}

/// Returns a name from a file for display: escaped and truncated.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 200;
    let text: String = name.chars().take(MOST).collect();
    let more = if name.chars().nth(MOST).is_some() { "…" } else { "" };
    format!("`{}{more}`", crate::escape::line(&text))
}

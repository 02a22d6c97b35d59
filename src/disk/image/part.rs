//! A range of a file: the whole of it, or a file inside an archive.

use crate::disk::Extent;
use crate::disk::file::FileDisk;
use crate::error::{Error, Kind, Result};
use std::fmt;
use std::ops::Range;

/// Bytes of a file from one place to another, read at offsets that count from the first.
#[derive(Clone, Debug)]
pub(super) struct Part {
    disk: FileDisk,
    range: Range<u64>,
    /// Of an archive, the file in it.
    member: Option<String>,
    sparse: bool,
}

impl Part {
    /// The whole file.
    pub(super) fn whole(disk: FileDisk) -> Self {
        let sparse = disk.is_sparse();
        Self { range: 0..disk.size(), sparse, disk, member: None }
    }

    /// The file `member` of an archive, which must lie in the part.
    pub(super) fn member(&self, range: Range<u64>, member: String) -> Self {
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { disk: self.disk.clone(), range, member: Some(member), sparse: self.sparse }
    }

    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The file that it is of.
    pub(super) fn disk(&self) -> &FileDisk {
        &self.disk
    }

    /// Whether it is the whole file.
    pub(super) fn is_whole(&self) -> bool {
        self.range == (0..self.disk.size())
    }

    /// Fills `into` from `offset`. What lies past the end is an error, since a file that lost its end has
    /// lost data.
    pub(super) fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        if !self.has(offset, into.len() as u64) {
            return Err(self.damaged("it ends before the bytes that it should have").offset(offset));
        }
        self.disk.fill(self.range.start + offset, into)
    }

    /// Whether so many bytes from `offset` are in it.
    pub(super) fn has(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len())
    }

    /// Reads `N` bytes at `offset`.
    pub(super) fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads up to `most` bytes at `offset`, fewer if the part ends.
    pub(super) fn up_to(&self, offset: u64, most: u64) -> Result<Vec<u8>> {
        let len = self.len().saturating_sub(offset).min(most);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The extents of so many bytes from `offset`, which count from there.
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

    /// The error for contents that cannot be right. The offset that is added is one in the file.
    pub(super) fn damaged(&self, why: impl fmt::Display) -> Error {
        Error::new(Kind::Source, format!("{self} is damaged: {why}"))
            .hint("`qemu-img check` says more; fetch the image again, or mend it")
    }

    /// The error for what is not read.
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

/// A name from a file, fit to be shown: escaped, and cut where it is long.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 200;
    let text: String = name.chars().take(MOST).collect();
    let more = if name.chars().nth(MOST).is_some() { "…" } else { "" };
    format!("`{}{more}`", crate::escape::line(&text))
}

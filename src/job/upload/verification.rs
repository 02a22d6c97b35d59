//! Reading back what was written, and comparing it with the source as it is.

use super::Image;
use crate::chunk::AckedChunk;
use crate::error::{Error, Kind, Result};
use crate::journal::{Evidence, Journal};
use crate::source::{FileSource, Source};
use crate::transfer::Context;
use crate::transfer::ledger::Ledger;
use crate::transfer::verify::{Compared, Verify, with_digests, with_file};
use crate::transport::drives::Drives;
use crate::transport::{AnyReadable, Readable};

/// What an image is compared with once it has been sent.
pub(super) enum Original {
    /// A file or block device: it is read again.
    File(FileSource),
    /// A stream cannot be read again: its digests, as this run read it, stand for it.
    Stream,
    /// Something on another remote: it is read again.
    Remote(Box<RemoteOriginal>),
}

/// Something on another remote that is read.
pub(super) struct RemoteOriginal {
    pub(super) disk: AnyReadable,
    /// What it is asked for at the end; an appliance has a validator instead, that goes with each request.
    origin: Option<Origin>,
}

/// A drive that is the source of a migration, as it was found.
#[derive(Clone)]
pub struct Origin {
    /// The drives of its account.
    pub drives: Drives,
    /// Its UUID.
    pub drive: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it counted.
    pub evidence: Evidence,
}

impl Original {
    /// What `image` is compared with.
    pub(super) fn of(image: &Image) -> Self {
        match &image.source {
            Source::File(file) => Original::File(file.clone()),
            Source::Stream(_) => Original::Stream,
            Source::Remote(remote) => {
                let (disk, origin) = (remote.disk().clone(), image.origin.clone());
                Original::Remote(Box::new(RemoteOriginal { disk, origin }))
            }
        }
    }

    /// Returns what the source counted when it was opened.
    pub(super) fn evidence(&self) -> Evidence {
        match self {
            Original::Remote(remote) => {
                remote.origin.as_ref().map(|origin| origin.evidence.clone()).unwrap_or_default()
            }
            Original::File(_) | Original::Stream => Evidence::default(),
        }
    }

    /// Fails if the source says that it was written to during the transfer.
    pub(super) async fn check_unchanged(&self) -> Result<()> {
        match self {
            Original::File(file) => file.check(),
            Original::Stream => Ok(()),
            Original::Remote(remote) => match &remote.origin {
                Some(origin) => origin.check_unchanged().await,
                None => Ok(()),
            },
        }
    }
}

impl RemoteOriginal {
    /// Whether the source counts its writes.
    pub(super) fn counts(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.evidence.writes.is_some())
    }
}

impl Origin {
    /// Fails if the drive is not what it was.
    pub async fn check_unchanged(&self) -> Result<()> {
        let now = self.drives.info(&self.drive).await?;
        let how = if now.size != self.size {
            format!("its size was {} and is {}", self.size, now.size)
        } else if now.evidence() != self.evidence {
            "it was written to".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Source, format!("drive {} changed during the transfer: {how}", self.drive))
            .hint("stop what writes to it, or copy the drive first; then start over with `--restart`"))
    }
}

/// What is read back.
pub(super) struct Comparison<'a> {
    pub(super) original: &'a Original,
    pub(super) asked: Verify,
    /// Whether chunks of zeros were written like all others, and not skipped.
    pub(super) zeros_written: bool,
}

impl Comparison<'_> {
    /// Reads back what was asked for, and everything once a comparison has found a difference; returns how many chunks
    /// that were. A difference takes chunks back, so that the same command sends them again and then compares everything.
    pub(super) async fn run<D: Readable>(
        &self,
        disk: &D,
        ledger: &mut Ledger,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<u64> {
        let amount = if journal.header().compare_all { Verify::Full } else { self.asked };
        if amount == Verify::None {
            return Ok(0);
        }
        // A new choice each time: another run has to look at other chunks.
        let chosen = amount.choose(ledger.geometry().chunks(), &uuid::Uuid::new_v4().to_string());
        let compared = match self.original {
            Original::File(file) => with_file(disk, file, ledger, &chosen, context).await?,
            Original::Stream | Original::Remote(_) => with_digests(disk, ledger, &chosen, context).await?,
        };
        let chunks = compared.chunks;
        self.refuse_difference(compared, &disk.name(), ledger, journal)?;
        if let Original::Remote(remote) = self.original {
            // Both ends are compared with what has passed, and so with each other.
            let compared = with_digests(&remote.disk, ledger, &chosen, context).await?;
            self.refuse_difference(compared, &remote.disk.name(), ledger, journal)?;
        }
        Ok(chunks)
    }

    /// Takes the chunks back that differ, and names them.
    fn refuse_difference(
        &self,
        compared: Compared,
        what: &str,
        ledger: &Ledger,
        journal: &mut Journal,
    ) -> Result<()> {
        if !compared.differ.is_empty() {
            journal.distrust(&chunks_but(&compared.differ, ledger, self.zeros_written))?;
        }
        match compared.into_error(ledger.geometry(), what) {
            None => Ok(()),
            Some(error) => Err(error
                .hint("run the same command again: it sends these chunks anew, then compares everything")),
        }
    }
}

/// The chunks that are done and not in `differ`, without those of zeros unless `zeros`: these may have been skipped.
pub(super) fn chunks_but(differ: &[u64], ledger: &Ledger, zeros: bool) -> Vec<AckedChunk> {
    (0..ledger.geometry().chunks())
        .filter(|index| differ.binary_search(index).is_err())
        .filter_map(|index| ledger.chunk(index).filter(|chunk| zeros || !chunk.zero))
        .collect()
}

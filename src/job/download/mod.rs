//! Downloads a drive, or an appliance whose server supports ranges, to a file or to standard output.

mod claim;
mod delta;
mod form;
mod object;
mod prove;

pub(in crate::job) use claim::{begin, forget};
pub use form::FileForm;
pub use object::{DriveSeen, Object};
pub(super) use object::{file_name, header, plan};

use super::contents::HeldChunks;
use super::resumable::{Resumable, start_over};
use super::{Done, Settings, announce, check_unchanged, summary, write_manifest};
use crate::chunk::{AckedChunk, Geometry};
use crate::disk::file::{PartDisk, PartFile, in_the_way};
use crate::disk::stdout::StreamWriter;
use crate::disk::{Identity, PartRecord, ReadAt, WriteAt};
use crate::engine::Context;
use crate::engine::compare::{Amount, with_digests, with_original};
use crate::engine::copy::{Copied, Copy, Held};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::engine::resume::Proof;
use crate::engine::syncing;
use crate::error::{Error, Kind, Result};
use crate::event::Summary;
use crate::journal::{self, Claim, Directory, Header, Journal, Replay};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A disk that can be read at any offset.
type Disk = Arc<dyn ReadAt>;

/// A download to a file or to standard output.
#[derive(Clone, Debug)]
pub struct Download {
    /// The destination. `-` is standard output. In a directory, and with `None` in the current one, the file
    /// is named after the downloaded object.
    pub to: Option<PathBuf>,
    /// Whether to replace an existing file.
    pub force: bool,
    /// Whether to fetch only what differs from an existing file. The file is replaced once the new one is
    /// complete.
    pub delta: bool,
}

/// The result of a download.
#[derive(Debug)]
pub struct Downloads {
    /// The file with the image, or `None` for standard output.
    pub file: Option<PathBuf>,
    /// The summary of the transfer.
    pub summary: Summary,
}

/// The state after the claim: this run owns the journal, the file and its name.
struct Claimed {
    journal: Journal,
    claim: Claim,
    to: PartDisk,
    ledger: Ledger,
    /// What the file held before. Only a delta has it.
    held: Option<Arc<HeldChunks>>,
    resumed: u64,
    /// The number of chunks that need not be fetched.
    unchanged: u64,
}

impl Download {
    /// Refuses a destination that is known to be in the way, before any request. `remote` and `id` name the
    /// object. `image` is its identity, if that is part of the journal's name.
    pub fn check(&self, remote: &str, id: &str, image: Option<Identity>, settings: &Settings) -> Result<()> {
        settings.check()?;
        let Some(file) = self.to.as_deref().filter(|p| !is_stream(p) && !p.is_dir()) else { return Ok(()) };
        let file =
            std::path::absolute(file).map_err(|e| Error::io(format!("finding {}", file.display()), e))?;
        let header = Header {
            action: "download".into(),
            remote: remote.to_owned(),
            drive: Some(id.to_owned()),
            image,
            file: Some(file.clone()),
            ..Header::default()
        };
        // An earlier run may have ended right after it renamed the file.
        match journal_of(&header, settings)?.and_then(|replay| replay.part) {
            Some(known) if PartFile::is_at(&file, known) => Ok(()),
            _ => self.check_free(&file),
        }
    }

    /// Runs the download, with several ranges in flight. Returns `None` for a dry run, which only announces
    /// the plan.
    pub async fn run(
        self,
        object: &Object<Disk>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Downloads>>> {
        let start = Instant::now();
        object.form.check(self.to.as_deref())?;
        self.check_delta(object.form)?;
        let generation = object.generation(settings);
        let geometry = Geometry::checked(object.size, settings.chunk_size)?;
        if self.to.as_deref().is_some_and(is_stream) {
            return self.to_stdout(object, geometry, settings, context, start).await;
        }
        let file = self.target(&object.file_name)?;
        let generation_seen = generation.as_deref();
        let claimed = match self.claim(&file, object, geometry, settings, generation_seen, context).await {
            Err(error) => {
                let settings = start_over(error, settings, context)?;
                self.claim(&file, object, geometry, &settings, generation_seen, context).await?
            }
            Ok(claimed) => claimed,
        };
        let Some(mut claimed) = claimed else { return Ok(None) };
        let ended = transfer(object, settings, &mut claimed, context).await;
        let Claimed { journal, claim, to, ledger, resumed, unchanged, .. } = claimed;
        let (done, verified) = match ended {
            Ok(done) => done,
            Err(error) => {
                settle(&journal, to.part());
                return Err(error);
            }
        };
        let part = to.part().clone();
        if self.delta && !part.is_named() {
            part.keep_mode_of(&file)?;
        }
        if let Err(error) = to.finish(self.force || self.delta, &context.stop).await {
            settle(&journal, &part);
            return Err(error);
        }
        if settings.keeps_journal {
            settle(&journal, &part);
        }
        delta::note(object, generation, &ledger, settings, context);
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = summary_of(object, &done, resumed, verified, &ledger, context, start);
        let summary = Summary { chunks_unchanged: summary.chunks_unchanged + unchanged, ..summary };
        Ok(Some(Done::new(Downloads { file: Some(file), summary }, Some(journal), Some(claim))))
    }

    async fn to_stdout(
        &self,
        object: &Object<Disk>,
        geometry: Geometry,
        settings: &Settings,
        context: &Context,
        start: Instant,
    ) -> Result<Option<Done<Downloads>>> {
        let mut ledger = Ledger::new(geometry, settings.digest);
        let nothing = Proof::nothing();
        let generation = object.generation(settings);
        announce(plan("standard output", object, settings, context, &ledger, &nothing), context);
        if settings.dry_run {
            return Ok(None);
        }
        let to = StreamWriter::start(Box::new(std::io::stdout()), object.size)?;
        let copy = copy(&object.disk, Arc::new(to), None, settings);
        let done = copy.run_once(&mut ledger, context).await?;
        let chosen = settings.verify.choose(geometry.chunks(), &uuid::Uuid::new_v4().to_string());
        let verified = if chosen.is_empty() {
            0
        } else {
            // What was written to the pipe cannot be read again. All that can be checked is that a second
            // reading of the drive matches the first.
            let compared = with_digests(&object.disk, &ledger, &chosen, context).await?;
            let chunks = compared.chunks;
            if let Some(error) = compared.into_error(geometry, "a second reading") {
                return Err(error);
            }
            chunks
        };
        check_unchanged(&*object.disk, context).await?;
        delta::note(object, generation, &ledger, settings, context);
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = summary_of(object, &done, 0, verified, &ledger, context, start);
        Ok(Some(Done::new(Downloads { file: None, summary }, None, None)))
    }

    /// Returns the absolute path of the destination file.
    pub(super) fn target(&self, name: &str) -> Result<PathBuf> {
        let given = self.to.clone().unwrap_or_else(|| PathBuf::from("."));
        let file = if given.is_dir() { given.join(name) } else { given };
        std::path::absolute(&file).map_err(|e| Error::io(format!("finding {}", file.display()), e))
    }

    pub(super) fn check_free(&self, file: &Path) -> Result<()> {
        check_kind(file)?;
        if self.force || self.delta || !file.exists() { Ok(()) } else { Err(in_the_way(file)) }
    }
}

/// Refuses an existing destination that is not a regular file.
fn check_kind(file: &Path) -> Result<()> {
    match std::fs::metadata(file) {
        Ok(meta) if !meta.is_file() => {
            Err(Error::new(Kind::Exists, format!("{} is not a file", file.display())).hint(
                "write to a device through standard output: `diskferry download REMOTE:DRIVE - > DEVICE`",
            ))
        }
        _ => Ok(()),
    }
}

/// Returns the journal of a download, if there is one that can be read.
fn journal_of(header: &Header, settings: &Settings) -> Result<Option<Replay>> {
    let path = settings.journals.path(&Directory::id(header))?;
    Ok(if path.exists() { journal::peek(&path).ok() } else { None })
}

/// Fetches the missing chunks and compares what the settings ask for. Also returns the number of verified
/// chunks.
async fn transfer(
    object: &Object<Disk>,
    settings: &Settings,
    claimed: &mut Claimed,
    context: &Context,
) -> Result<(Copied, u64)> {
    let Claimed { journal, to, ledger, held, .. } = claimed;
    let to = Arc::new(to.clone());
    let copy =
        copy(&object.disk, Arc::clone(&to) as Arc<dyn WriteAt>, Some(Arc::clone(&to) as Disk), settings);
    let copy = Copy { held: held.take().map(|held| held as Arc<dyn Held>), ..copy };
    let done = copy.run(journal, syncing::DOWNLOAD, ledger, context).await?;
    let here: Disk = to;
    let verified = verify(&object.disk, &here, ledger, settings, journal, context).await?;
    check_unchanged(&*object.disk, context).await?;
    Ok((done, verified))
}

/// Returns a copy without compression: these APIs compress no reads, and a local file needs none.
fn copy(from: &Disk, to: Arc<dyn WriteAt>, kept: Option<Disk>, settings: &Settings) -> Copy {
    Copy {
        from: Source::At(Arc::clone(from)),
        to,
        there: kept.clone(),
        kept,
        held: None,
        compression: Compression::None,
        skip_holes: false,
        skip_zeros: false,
        sha256: settings.sha256,
    }
}

/// Records the file's modification time for the next run.
fn settle(journal: &Journal, part: &PartFile) {
    if let Ok(evidence) = part.evidence() {
        // Without the record, the next run reads the whole file.
        let _ = journal.settle(evidence);
    }
}

fn summary_of<D>(
    object: &Object<D>,
    done: &Copied,
    resumed: u64,
    verified: u64,
    ledger: &Ledger,
    context: &Context,
    start: Instant,
) -> Summary {
    Summary {
        chunks_sent: done.sent,
        chunks_unchanged: done.unchanged,
        chunks_zero: done.zero,
        chunks_resumed: resumed,
        chunks_verified: verified,
        ..summary(&object.id, ledger, done.sha256.as_deref(), context, start)
    }
}

pub(super) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads the drive a second time and compares it with the file: as much as was asked for, or everything if an
/// earlier comparison found a difference.
///
/// Chunks that differ are revoked in the journal: the same command then fetches them again and compares
/// everything.
async fn verify(
    disk: &Disk,
    part: &Disk,
    ledger: &mut Ledger,
    settings: &Settings,
    journal: &mut Journal,
    context: &Context,
) -> Result<u64> {
    let amount = if journal.header().compare_all { Amount::Full } else { settings.verify };
    if amount == Amount::None {
        return Ok(0);
    }
    let geometry = ledger.geometry();
    let chosen = amount.choose(geometry.chunks(), &uuid::Uuid::new_v4().to_string());
    let compared = with_original(disk, part, ledger, &chosen, context).await?;
    if !compared.differ.is_empty() {
        let kept: Vec<AckedChunk> = (0..geometry.chunks())
            .filter(|index| compared.differ.binary_search(index).is_err())
            .filter_map(|index| ledger.chunk(index))
            .collect();
        journal.distrust(&kept)?;
    }
    let chunks = compared.chunks;
    match compared.into_error(geometry, &part.info().name) {
        None => Ok(chunks),
        Some(error) => {
            Err(error
                .hint("run the same command again: it fetches these chunks again, then compares everything"))
        }
    }
}

/// Returns the temporary file that the journal of an earlier run recorded.
pub(super) fn known_part(found: &Resumable) -> Option<PartRecord> {
    found.replay.as_ref()?.part
}

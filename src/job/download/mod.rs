//! `download`: a drive, or an appliance whose server has ranges, into a file or onto standard output.

mod form;
mod object;
mod prove;

pub use form::FileForm;
pub use object::Object;
pub(super) use object::{file_name, header, plan};

use super::resumable::{Resumable, changed_since, count_resumed};
use super::{Done, Settings, announce, check_unchanged, summary, write_manifest};
use crate::chunk::{AckedChunk, Geometry};
use crate::disk::file::{PartDisk, PartFile, in_the_way};
use crate::disk::stdout::StreamWriter;
use crate::disk::{Evidence, Identity, PartRecord, ReadAt, WriteAt};
use crate::engine::Context;
use crate::engine::compare::{Amount, with_digests, with_original};
use crate::engine::copy::{Copied, Copy};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::engine::resume::Proof;
use crate::engine::syncing;
use crate::error::{Error, Kind, Result};
use crate::event::Summary;
use crate::journal::{self, Claim, Destination, Directory, DriveRecord, Header, Journal, Replay};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What can be read at any place.
type Disk = Arc<dyn ReadAt>;

/// A download.
#[derive(Clone, Debug)]
pub struct Download {
    /// Where it goes; `-` is standard output, a directory takes a file named after what is fetched, and so does `None`.
    pub to: Option<PathBuf>,
    /// Whether a file that stands there is replaced.
    pub force: bool,
}

/// The end of a download.
#[derive(Debug)]
pub struct Downloads {
    /// Where the image is now; `None` for standard output.
    pub file: Option<PathBuf>,
    /// What was done.
    pub summary: Summary,
}

/// A transfer that may write: the journal, the file and its name are its own.
struct Claimed {
    journal: Journal,
    claim: Claim,
    to: PartDisk,
    ledger: Ledger,
    resumed: u64,
}

impl Download {
    /// Refuses, before the server is asked, what is known to be in the way. `remote` and `id` say what is fetched;
    /// `image` who it is, where that is part of a journal's name.
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
        // An earlier run may have ended right after it gave the file its name.
        match journal_of(&header, settings)?.and_then(|replay| replay.part) {
            Some(known) if PartFile::is_at(&file, known) => Ok(()),
            _ => self.check_free(&file),
        }
    }

    /// Runs the download, several ranges at a time; `None` if only the plan was wanted.
    pub async fn run(
        self,
        object: &Object<Disk>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Downloads>>> {
        let start = Instant::now();
        object.form.check(self.to.as_deref())?;
        let geometry = Geometry::checked(object.size, settings.chunk_size)?;
        if self.to.as_deref().is_some_and(is_stream) {
            return self.to_stdout(object, geometry, settings, context, start).await;
        }
        let file = self.target(&object.file_name)?;
        let Some(mut claimed) = self.claim(&file, object, geometry, settings, context).await? else {
            return Ok(None);
        };
        let ended = transfer(object, settings, &mut claimed, context).await;
        let Claimed { journal, claim, to, ledger, resumed } = claimed;
        let (done, verified) = match ended {
            Ok(done) => done,
            Err(error) => {
                settle(&journal, to.part());
                return Err(error);
            }
        };
        let part = to.part().clone();
        if let Err(error) = to.finish(self.force, &context.stop).await {
            settle(&journal, &part);
            return Err(error);
        }
        if settings.keeps_journal {
            settle(&journal, &part);
        }
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = summary_of(object, &done, resumed, verified, &ledger, context, start);
        Ok(Some(Done::new(Downloads { file: Some(file), summary }, Some(journal), Some(claim))))
    }

    /// Takes the journal and the file, tells the plan, and proves what an earlier run did; `None` if only the plan was
    /// wanted.
    async fn claim(
        &self,
        file: &Path,
        object: &Object<Disk>,
        geometry: Geometry,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Claimed>> {
        let claim = if settings.dry_run {
            None
        } else {
            Some(settings.destinations.claim(&Destination::file(file))?)
        };
        let header = header(file, object, settings);
        if settings.restart && !settings.dry_run {
            forget(file, &header, settings)?;
        }
        let found = Resumable::find(settings, &header, context)?;
        let known = found.replay.as_ref().and_then(|replay| replay.part);
        let part = known.map(|known| PartFile::resume(file, known)).transpose()?.flatten();
        if part.as_ref().is_none_or(|part| !part.is_named()) {
            self.check_free(file)?;
        }
        let mut ledger = match &part {
            Some(_) => found.ledger(geometry, settings.digest),
            None => Ledger::new(geometry, settings.digest),
        };
        let acked = found.acked(&ledger);
        if part.is_none() && found.replay.as_ref().is_some_and(|replay| !replay.acked.is_empty()) {
            let text =
                format!("{} of the earlier run is gone: starting over", PartFile::path_of(file).display());
            (context.observer)(&crate::event::Event::Warning(text));
        }
        let touched = part.as_ref().map(PartFile::evidence).transpose()?;
        if part.as_ref().is_some_and(PartFile::is_named) && was_changed(&found, touched.as_ref()) {
            // It is whole and somebody's by now: not even its length is put right.
            return Err(changed_since_named(file));
        }
        let proof = Proof::decide(
            settings.resume,
            [found.difference_found(), found.written_here(claim.as_ref()), changed(&found, touched.as_ref())],
        );
        announce(plan(&file.display().to_string(), object, settings, context, &ledger, &proof), context);
        let Some(mut claim) = claim else { return Ok(None) };
        if let Some(how) = found.source_changed(&object.evidence()).filter(|_| !acked.is_empty()) {
            return Err(changed_since(&object.id, &how));
        }
        let synced = found.replay.as_ref().map_or(0, |replay| replay.synced);
        let mut journal = found.journal(header)?;
        let to = match part {
            Some(part) => {
                let to = object.form.disk(part, object.size)?;
                // What has its name was synced before it got it.
                let unsynced =
                    if to.part().is_named() { Vec::new() } else { unsynced(&acked, synced, &ledger) };
                let noted = prove::Noted { acked: &acked, unsynced };
                prove::earlier_run(&proof, &noted, &mut ledger, &to, object, &mut journal, context).await?;
                to
            }
            None => begin(file, object, object.evidence(), &mut journal, settings)?,
        };
        if to.part().is_named() && ledger.missing().next().is_some() {
            return Err(changed_since_named(file));
        }
        let resumed = count_resumed(&ledger, context);
        // From here on the file is written to: whoever comes later has to know.
        journal.claim(claim.raise()?)?;
        Ok(Some(Claimed { journal, claim, to, ledger, resumed }))
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
            // What went down the pipe cannot be read again; that the drive says the same twice is what can be known.
            let compared = with_digests(&object.disk, &ledger, &chosen, context).await?;
            let chunks = compared.chunks;
            if let Some(error) = compared.into_error(geometry, "a second reading") {
                return Err(error);
            }
            chunks
        };
        check_unchanged(&*object.disk, context).await?;
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = summary_of(object, &done, 0, verified, &ledger, context, start);
        Ok(Some(Done::new(Downloads { file: None, summary }, None, None)))
    }

    /// The file that the image goes to, absolute.
    pub(super) fn target(&self, name: &str) -> Result<PathBuf> {
        let given = self.to.clone().unwrap_or_else(|| PathBuf::from("."));
        let file = if given.is_dir() { given.join(name) } else { given };
        std::path::absolute(&file).map_err(|e| Error::io(format!("finding {}", file.display()), e))
    }

    pub(super) fn check_free(&self, file: &Path) -> Result<()> {
        check_kind(file)?;
        if self.force || !file.exists() { Ok(()) } else { Err(in_the_way(file)) }
    }
}

/// Refuses what stands there and is no file.
fn check_kind(file: &Path) -> Result<()> {
    match std::fs::metadata(file) {
        Ok(meta) if !meta.is_file() => {
            Err(Error::new(Kind::Exists, format!("{} is not a file", file.display())).hint(
                "to write to a device, use standard output: diskferry download REMOTE:DRIVE - > DEVICE",
            ))
        }
        _ => Ok(()),
    }
}

/// Removes the temporary file of the journal that is about to be replaced, so that it does not stand in the way.
pub(super) fn forget(file: &Path, header: &Header, settings: &Settings) -> Result<()> {
    let known = journal_of(header, settings)?.and_then(|replay| replay.part);
    known.map_or(Ok(()), |known| PartFile::discard(file, known))
}

/// The journal of a download, as far as it can be read.
fn journal_of(header: &Header, settings: &Settings) -> Result<Option<Replay>> {
    let path = settings.journals.path(&Directory::id(header))?;
    Ok(if path.exists() { journal::peek(&path).ok() } else { None })
}

/// Makes the temporary file and notes it.
pub(super) fn begin<D>(
    file: &Path,
    object: &Object<D>,
    evidence: Evidence,
    journal: &mut Journal,
    settings: &Settings,
) -> Result<PartDisk> {
    let part = PartFile::create(file, |part| settings.journals.owner(part))?;
    journal.set_drive(DriveRecord { drive: object.id.clone(), created: false, skip_zeros: false })?;
    journal.set_source(evidence)?;
    // Only then it may have a length: an empty one that no journal knows can be taken.
    journal.set_part(part.record()?)?;
    let to = object.form.disk(part, object.size)?;
    to.begin()?;
    Ok(to)
}

/// Whether the file is not what an earlier run noted when it had ended.
fn was_changed(found: &Resumable, now: Option<&Evidence>) -> bool {
    let noted = found.replay.as_ref().and_then(|replay| replay.evidence.as_ref());
    noted.zip(now).is_some_and(|(then, now)| then.modified != now.modified)
}

fn changed_since_named(file: &Path) -> Error {
    Error::new(Kind::Exists, format!("{} was changed since it was downloaded", file.display()))
        .hint("`--restart --force` downloads it again")
}

/// The reason to doubt that nobody has written to the file since.
fn changed(found: &Resumable, now: Option<&Evidence>) -> Option<String> {
    let replay = found.replay.as_ref()?;
    match (&replay.evidence, now) {
        (Some(then), Some(now)) if then.modified == now.modified => None,
        (None, _) => Some("the earlier run ended before it could note the file's times".to_owned()),
        _ => Some("the file was modified since".to_owned()),
    }
}

/// The chunks that were not followed by a sync.
fn unsynced(acked: &[AckedChunk], synced: usize, ledger: &Ledger) -> Vec<u64> {
    acked.iter().skip(synced).map(|chunk| chunk.index).filter(|index| ledger.is_settled(*index)).collect()
}

/// Fetches what is missing and compares what was asked for; returns how many chunks that were.
async fn transfer(
    object: &Object<Disk>,
    settings: &Settings,
    claimed: &mut Claimed,
    context: &Context,
) -> Result<(Copied, u64)> {
    let Claimed { journal, to, ledger, .. } = claimed;
    let to = Arc::new(to.clone());
    let copy =
        copy(&object.disk, Arc::clone(&to) as Arc<dyn WriteAt>, Some(Arc::clone(&to) as Disk), settings);
    let done = copy.run(journal, syncing::DOWNLOAD, ledger, context).await?;
    let here: Disk = to;
    let verified = verify(&object.disk, &here, ledger, settings, journal, context).await?;
    check_unchanged(&*object.disk, context).await?;
    Ok((done, verified))
}

/// A copy as it is: these APIs compress no reads, and nothing here needs to be smaller.
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
        whole: settings.sha256,
    }
}

/// Notes what the file looks like, for the next run.
fn settle(journal: &Journal, part: &PartFile) {
    if let Ok(evidence) = part.evidence() {
        // Without it the next run reads the whole file.
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

/// Reads a second time what was asked for, and everything once a comparison has found a difference, and compares it with
/// what is in the file. A difference takes chunks back, so that the same command fetches them again.
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
                .hint("run the same command again: it fetches these chunks anew, then compares everything"))
        }
    }
}

/// Whether a journal knows a temporary file.
pub(super) fn known_part(found: &Resumable) -> Option<PartRecord> {
    found.replay.as_ref()?.part
}

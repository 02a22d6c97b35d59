//! Backs up a disk of a remote to a backup store.
//!
//! The chunks of the image go into the store under their digests, and the index of the backup is written
//! last. What is known of the disk is not read: chunks that a record of its contents names and the store has,
//! and extents that the remote reports as zero. A run that ended early has left its chunks in the store, and
//! its journal lists them.

use super::contents::{self, Trust};
use super::resumable::{Resumable, count_resumed, still_settled};
use super::{Access, Done, RemoteStore, Settings, announce, check_unchanged, once_free, summary, usable};
use crate::backup::index::ChunkHash;
use crate::backup::{Index, Properties, Session, SnapshotId, SnapshotName, When};
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::{Algorithm, Digest, ZeroDigests};
use crate::disk::ReadAt;
use crate::disk::store::Facts;
use crate::engine::compare::{Amount, with_digests};
use crate::engine::copy::Copy;
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::engine::resume::{Coverage, Proof, Resume, choose_chunks, differing_chunks};
use crate::engine::{Context, Route, syncing};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{Claim, Destination, Header, Journal, Seen};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A backup of one disk.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The disk to back up.
    pub disk: String,
    /// The provider's name.
    pub provider: String,
    /// The properties for a new drive with this image, as the provider states them.
    pub keys: Vec<(String, String)>,
    /// The time in the name of the backup.
    pub when: When,
    /// The backup since which the remote's dirty bitmap applies, if the bitmap is to be used.
    pub since: Option<Since>,
}

/// An earlier backup since which the remote has kept a dirty bitmap. The user vouches for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The time of the backup; `None` is the newest.
    pub when: Option<When>,
    /// The name of the bitmap, if there may be several.
    pub bitmap: Option<String>,
}

/// The result of a backup.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// The id of the backup in the store.
    pub id: SnapshotId,
    /// The summary of the transfer.
    pub summary: Summary,
}

/// The state after the claim: this run owns the journal, and known chunks are settled.
struct Claimed {
    journal: Journal,
    claim: Claim,
    ledger: Ledger,
    resumed: u64,
    unchanged: u64,
    /// Whether the record of the disk's contents was trusted.
    trusted: bool,
}

impl Backup {
    /// Makes the backup. Returns `None` for a dry run, which only announces the plan.
    pub async fn run(
        self,
        far: &RemoteStore,
        session: &Session,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<BackedUp>>> {
        let start = Instant::now();
        settings.check()?;
        // Stores keep chunks under SHA-256 digests.
        let settings = &Settings { digest: Algorithm::Sha256, ..settings.clone() };
        let context = &context.on(Route::Between);
        let facts = usable(&self.disk, Access::Read, far, context).await?;
        if facts.size == 0 {
            return Err(Error::new(Kind::Source, format!("{} is empty", far.called(&facts.disk))));
        }
        let disk = far.store.read(&facts, None).await?;
        let name = session.name_for(&facts.name, &facts.disk).await?;
        let planned = self.claim(&name, &facts, &disk, far, session, settings, context);
        let Some(mut claimed) = Box::pin(planned).await? else { return Ok(None) };
        let copy = Copy {
            from: Source::At(Arc::clone(&disk)),
            to: session.disk(&name, facts.size, settings.chunk_size),
            kept: None,
            held: Some(session.held()),
            there: None,
            compression: Compression::Auto,
            skip_holes: false,
            skip_zeros: false,
            sha256: settings.sha256,
        };
        let schedule = if copy.to.info().volatile { syncing::VOLATILE } else { syncing::UPLOAD };
        let moved = Box::pin(copy.run(&claimed.journal, schedule, &mut claimed.ledger, context)).await;
        let done = moved?;
        // Chunks that were in the store before are only claims of whoever stored them.
        let relies = done.unchanged + claimed.unchanged + claimed.resumed > 0;
        let verified = verify(relies, &claimed.ledger, session, settings, context).await?;
        check_unchanged(&*disk, context).await?;
        let id = session.commit(&name, self.when, &claimed.ledger, &self.properties(&facts, far)).await?;
        let destination = Destination::disk(&far.account, &facts.disk, far.store.info().noun);
        let seen = Seen {
            generation: settings.destinations.generation(&destination),
            mark: facts.mark.clone(),
            evidence: facts.evidence.clone(),
            changing: None,
        };
        contents::note(&destination, seen, &claimed.ledger, claimed.trusted, settings, context);
        super::write_manifest(settings, &claimed.ledger, done.sha256.clone())?;
        let summary = Summary {
            chunks_sent: done.sent,
            chunks_zero: done.zero,
            chunks_unchanged: done.unchanged + claimed.unchanged,
            chunks_resumed: claimed.resumed,
            chunks_verified: verified,
            backup: format!("{}@{}", id.name, id.when),
            ..summary(&facts.disk, &claimed.ledger, done.sha256.as_deref(), context, start)
        };
        Ok(Some(Done::new(BackedUp { id, summary }, Some(claimed.journal), Some(claimed.claim))))
    }

    fn properties(&self, facts: &Facts, far: &RemoteStore) -> Properties {
        Properties {
            when: None,
            remote: far.remote.clone(),
            provider: self.provider.clone(),
            drive: facts.disk.clone(),
            name: facts.name.clone(),
            size: facts.size,
            keys: self.keys.iter().cloned().collect(),
        }
    }

    /// Takes the journal and settles the chunks that need not be read. Returns `None` for a dry run.
    #[expect(clippy::too_many_arguments, reason = "a claim is made of everything that is known")]
    async fn claim(
        &self,
        name: &SnapshotName,
        facts: &Facts,
        disk: &Arc<dyn ReadAt>,
        far: &RemoteStore,
        session: &Session,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Claimed>> {
        let geometry = Geometry::checked(facts.size, settings.chunk_size)?;
        let store = Path::new(session.store().name()).join(name.as_str());
        let claim = if settings.dry_run {
            None
        } else {
            Some(once_free(context, || settings.destinations.claim(&Destination::file(&store))).await?)
        };
        let header = Header {
            action: "backup".into(),
            transfer: uuid::Uuid::new_v4().to_string(),
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: Some(facts.disk.clone()),
            file: Some(store),
            size: facts.size,
            chunk_size: settings.chunk_size,
            digest: Algorithm::Sha256.name().into(),
            command: settings.command.clone(),
            directory: settings.directory.clone(),
            ..Header::default()
        };
        let found = once_free(context, || Resumable::find(settings, &header, context)).await?;
        let mut ledger = found.ledger(geometry, Algorithm::Sha256);
        let evidence = &facts.evidence;
        // What an earlier run read is useless if the disk may have changed since. Its chunks are in the store
        // all the same.
        let stale = !contents::tells_writes(evidence) || found.source_changed(evidence).is_some();
        if stale {
            ledger = Ledger::new(geometry, Algorithm::Sha256);
        }
        let acked = found.acked(&ledger);
        let proof = Proof::decide(settings.resume, [found.difference_found()]);
        let destination = Destination::disk(&far.account, &facts.disk, far.store.info().noun);
        let record = settings.contents.load(&destination);
        let generation = settings.destinations.generation(&destination);
        let trust_in = |algorithm| {
            let now = (facts, far.store.info().marks);
            let wanted = (geometry, algorithm);
            Trust::of(record.as_ref(), generation.as_deref(), now, wanted, settings.resume)
        };
        let mut trust = trust_in(Algorithm::Sha256);
        // The digests by another algorithm that a transfer recorded stay true beside those that are read now.
        let mut trusted = trust.trusted || trust_in(Algorithm::Blake3).trusted;
        let mut told = None;
        if let Some(since) = &self.since {
            let (known, why) = since_backup(since, name, &facts.disk, geometry, far, session).await?;
            (told, trust) = (Some(known), Trust { trusted: true, why });
        }
        announce(self.plan(name, &ledger, &proof, &trust, far, session, settings, context), context);
        let Some(mut claim) = claim else { return Ok(None) };
        let mut journal = found.journal(header)?;
        journal.set_source(evidence.clone())?;
        if !acked.is_empty() {
            still_there(&proof, &acked, &mut ledger, disk, session, context).await?;
        }
        journal.replace(&still_settled(&acked, &ledger))?;
        let resumed = count_resumed(&ledger, context);
        let known = record.as_ref().filter(|_| trust.trusted);
        let known = told.or_else(|| known.map(|record| contents::known(record, geometry, Algorithm::Sha256)));
        let mut unchanged = 0;
        if let Some(mut known) = known {
            forget_missing(&mut known, session).await?;
            let there = Some(in_store(&known, session).await?);
            if contents::sample_holds(&known, &ledger, there.as_ref(), disk, context).await? {
                unchanged = settle_known(&known, &mut ledger);
            } else {
                trusted = false;
                let text = format!(
                    "{} does not hold what is known of it: reading all of it",
                    far.called(&facts.disk)
                );
                (context.observer)(&Event::Warning(text));
            }
        }
        journal.claim(claim.raise()?)?;
        Ok(Some(Claimed { journal, claim, ledger, resumed, unchanged, trusted }))
    }

    #[expect(clippy::too_many_arguments, reason = "a plan is made of everything that is known")]
    fn plan(
        &self,
        name: &SnapshotName,
        ledger: &Ledger,
        proof: &Proof,
        trust: &Trust,
        far: &RemoteStore,
        session: &Session,
        settings: &Settings,
        context: &Context,
    ) -> Plan {
        Plan {
            action: "backup",
            from: format!("{}:{}", far.remote, self.disk),
            to: format!("{}/{name}", session.store().name()),
            drive: Some(self.disk.clone()),
            size: ledger.geometry().image_size(),
            chunk_size: settings.chunk_size,
            chunks_total: ledger.geometry().chunks(),
            chunks_resumed: ledger.settled(),
            concurrency: context.most_in_flight(),
            compress: "zstd".into(),
            zeros: "skip".into(),
            verify: settings.verify.name().into(),
            resume: proof.extent.name().into(),
            resume_why: if ledger.settled() > 0 { proof.why.clone() } else { String::new() },
            delta: trust.name().into(),
            delta_why: trust.why.clone(),
            dry_run: settings.dry_run,
            ..Plan::default()
        }
    }
}

/// Reads chunks from the store and compares them with the digests of what was read from the disk. Returns the
/// number of chunks compared.
///
/// These are as many chunks as were asked for. If the backup `relies` on chunks that this run did not write,
/// at least a few are compared.
async fn verify(
    relies: bool,
    ledger: &Ledger,
    session: &Session,
    settings: &Settings,
    context: &Context,
) -> Result<u64> {
    let geometry = ledger.geometry();
    let chosen = match settings.verify {
        Amount::None if relies && settings.resume != Resume::Trust => {
            contents::choose(ledger, &Ledger::new(geometry, ledger.algorithm()))
        }
        amount => amount.choose(geometry.chunks(), &uuid::Uuid::new_v4().to_string()),
    };
    if chosen.is_empty() {
        return Ok(0);
    }
    let disk = in_store(ledger, session).await?;
    let compared = with_digests(&disk, ledger, &chosen, context).await?;
    let chunks = compared.chunks;
    compared.into_error(geometry, "what is in the store").map_or(Ok(chunks), Err)
}

/// Revokes, in `ledger`, the chunks of an earlier run that the store or the disk no longer has.
async fn still_there(
    proof: &Proof,
    acked: &[AckedChunk],
    ledger: &mut Ledger,
    disk: &Arc<dyn ReadAt>,
    session: &Session,
    context: &Context,
) -> Result<()> {
    let digests: HashSet<Digest> = acked.iter().map(|chunk| chunk.digest).collect();
    let missing = session.missing(&digests).await?;
    for chunk in acked.iter().filter(|chunk| missing.contains(&chunk.digest)) {
        ledger.revoke(chunk.index);
    }
    let left = still_settled(acked, ledger);
    let all: Vec<u64> = left.iter().map(|chunk| chunk.index).collect();
    let compared = match proof.extent {
        Coverage::None => return Ok(()),
        Coverage::Sample => choose_chunks(&left, &uuid::Uuid::new_v4().to_string()),
        Coverage::All => all.clone(),
    };
    let differ = differing_chunks(disk, ledger, &compared, context).await?;
    // One chunk that differs puts all in doubt, and reading the disk again costs no more than comparing it.
    if !differ.is_empty() {
        for index in all {
            ledger.revoke(index);
        }
    }
    Ok(())
}

/// Returns what a disk holds by an earlier backup and by the remote's dirty bitmap, and the reason for the
/// plan.
async fn since_backup(
    since: &Since,
    name: &SnapshotName,
    disk: &str,
    geometry: Geometry,
    far: &RemoteStore,
    session: &Session,
) -> Result<(Ledger, String)> {
    let ids = session.store().snapshots_of(name).await?;
    let id = match since.when {
        Some(when) => ids.into_iter().find(|id| id.when == when),
        None => ids.into_iter().next_back(),
    };
    let what = since.when.map_or_else(|| format!("of {name}"), |when| format!("{name}@{when}"));
    let id = id.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no backup {what} in {}", session.store().name()))
            .hint("the first backup is made without `--since`")
    })?;
    let id_shown = format!("{}@{}", id.name, id.when);
    let index = session.store().load(&id).await?;
    let alike = index.is_fixed()
        && index.hash() == ChunkHash::Sha256
        && (index.size(), index.chunk_size()) == (geometry.image_size(), geometry.chunk_size());
    if !alike {
        return Err(Error::usage(format!("{id_shown} has another image size or chunk size"))
            .hint("make this backup without `--since`"));
    }
    let bitmap = since.bitmap.as_deref();
    let written = far.store.written_since(disk, bitmap).await?.ok_or_else(|| {
        Error::usage(format!("{} has no dirty bitmap", far.called(disk))).hint(
            "name that of an NBD export with `--bitmap`; for an oVirt image use the ticket of an incremental backup",
        )
    })?;
    let mut known = Ledger::new(geometry, Algorithm::Sha256);
    let zeros = ZeroDigests::new(Algorithm::Sha256);
    for (index, chunk) in (0..).zip(index.chunks()) {
        let zero = chunk.digest == zeros.of(chunk.len);
        known.settle(&AckedChunk { index, len: chunk.len, digest: chunk.digest, zero });
    }
    for range in written {
        geometry.touching(range).for_each(|index| known.revoke(index));
    }
    Ok((known, format!("the far end tells what was written since {id_shown}")))
}

/// Returns the image made of a ledger's chunks as the store has them, with zeros where the ledger has none.
async fn in_store(ledger: &Ledger, session: &Session) -> Result<Arc<dyn ReadAt>> {
    let geometry = ledger.geometry();
    let digests: Vec<Digest> = ledger.digests().map(|(digest, _)| digest).collect();
    let index = Index::fixed(geometry.image_size(), geometry.chunk_size(), &digests)?;
    Ok(Arc::new(session.disk_of("what the store has of the disk", index).await?))
}

/// Revokes the chunks that the store does not have.
async fn forget_missing(known: &mut Ledger, session: &Session) -> Result<()> {
    let chunks: Vec<AckedChunk> =
        (0..known.geometry().chunks()).filter_map(|index| known.chunk(index)).collect();
    let missing = session.missing(&chunks.iter().map(|chunk| chunk.digest).collect()).await?;
    for chunk in chunks.iter().filter(|chunk| missing.contains(&chunk.digest)) {
        known.revoke(chunk.index);
    }
    Ok(())
}

/// Settles the known chunks and returns how many there were.
fn settle_known(known: &Ledger, ledger: &mut Ledger) -> u64 {
    let mut settled = 0;
    for index in 0..known.geometry().chunks() {
        if let (false, Some(chunk)) = (ledger.is_settled(index), known.chunk(index)) {
            ledger.settle(&chunk);
            settled += 1;
        }
    }
    settled
}

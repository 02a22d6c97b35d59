//! The journal's replay.
//!
//! An input is a file as it may be found on disk, or a script: records that a run appends through the
//! journal's own functions, then damage to the resulting file. A chunk that was never acknowledged, or was
//! revoked, must never count, and an undamaged journal must replay exactly what was written.

use super::input::{Input, file, scratch};
use diskferry::chunk::{AckedChunk, Geometry};
use diskferry::digest::{Algorithm, Digest};
use diskferry::disk::Evidence;
use diskferry::disk::PartRecord;
use diskferry::engine::ledger::Ledger;
use diskferry::journal::{DriveRecord, Header, Journal, Replay, peek};
use std::path::Path;
use std::sync::Arc;

const CHUNKS: u64 = 16;
const CHUNK_SIZE: u64 = 10;

/// The first byte says whether the rest is a file or a script.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte().is_multiple_of(2) {
        found(input.rest());
    } else {
        script(input);
    }
}

/// A file of any contents is read or refused, whether it is peeked at or opened, and the second time gives
/// the same result.
fn found(bytes: &[u8]) {
    let path = file("found.journal", bytes);
    let looked = peek(&path);
    if let Ok(replay) = &looked {
        // A chunk's record is longer than this.
        let most = bytes.len() / 32;
        assert!(replay.acked.len() <= most, "{} chunks in {} bytes", replay.acked.len(), bytes.len());
    }
    let opened = Journal::open(&path);
    assert_eq!(looked.is_ok(), opened.is_ok());
    if let (Ok(looked), Ok(opened)) = (looked, opened) {
        let (_, opened) = opened.expect("it is there");
        assert_eq!(looked.acked, opened.acked);
        let again = peek(&path).expect("what was opened is whole");
        assert_eq!((again.acked, again.torn_bytes), (opened.acked, 0));
    }
}

/// What the journal should replay.
#[derive(Clone, Debug, Default)]
struct Model {
    /// The chunks that count, in the order of their last acknowledgement.
    acked: Vec<AckedChunk>,
    /// How many of them the last sync mark covers.
    synced: usize,
    drive: Option<DriveRecord>,
    part: Option<PartRecord>,
    generation: Option<String>,
    evidence: Option<Evidence>,
    compare_all: bool,
    /// Whether anything was recorded since the last sync.
    dirty: bool,
}

impl Model {
    fn without(&self, index: u64) -> Vec<AckedChunk> {
        self.acked.iter().filter(|chunk| chunk.index != index).copied().collect()
    }

    fn acknowledge(&mut self, chunk: AckedChunk) {
        if let Some(place) = self.acked.iter().position(|known| known.index == chunk.index) {
            self.acked.remove(place);
            self.synced -= usize::from(place < self.synced);
        }
        self.acked.push(chunk);
    }

    /// The journal is rewritten with only these chunks.
    fn replaced(&mut self, chunks: Vec<AckedChunk>) {
        (self.acked, self.synced, self.evidence, self.dirty) = (chunks, 0, None, false);
    }

    fn check(&self, replay: &Replay) {
        assert_eq!(replay.acked, self.acked);
        assert_eq!(replay.synced, self.synced, "{self:?}");
        assert_eq!((&replay.drive, replay.part), (&self.drive, self.part));
        assert_eq!((&replay.generation, &replay.evidence), (&self.generation, &self.evidence));
        assert_eq!((replay.header.compare_all, replay.torn_bytes), (self.compare_all, 0));
    }
}

fn script(mut input: Input<'_>) {
    let path = scratch("script.journal");
    let header = Header {
        action: "upload".to_owned(),
        size: CHUNKS * CHUNK_SIZE,
        chunk_size: CHUNK_SIZE,
        digest: Algorithm::Blake3.name().to_owned(),
        format: "qcow2".to_owned(),
        ..Header::default()
    };
    let _ = std::fs::remove_file(&path);
    let image = Arc::new(std::fs::File::create(scratch("image.part")).expect("a file"));
    let mut journal = Journal::create(&path, header).expect("a journal");
    let mut model = Model::default();
    // The chunks that counted at each point since the journal was last replaced.
    let mut history = vec![model.acked.clone()];
    for _ in 0..64 {
        let (what, argument) = (input.byte(), input.byte());
        let index = u64::from(argument) % CHUNKS;
        // Everything but a sync, a replacement and the end records something.
        let dirty = std::mem::replace(&mut model.dirty, true);
        match what % 12 {
            0 => break,
            1 => {
                model.replaced(model.without(index));
                journal.replace(&model.acked).expect("a journal");
                history.clear();
            }
            2 => {
                model.replaced(model.without(index));
                model.compare_all = true;
                model.drive.iter_mut().for_each(|drive| drive.skip_zeros = false);
                journal.distrust(&model.acked).expect("a journal");
                history.clear();
            }
            3 => {
                let record = DriveRecord { drive: "d".into(), created: true, skip_zeros: argument > 127 };
                journal.set_drive(record.clone()).expect("a record");
                model.drive = Some(record);
            }
            4 => {
                drop(journal);
                let (opened, replay) = Journal::open(&path).expect("a journal").expect("that is there");
                model.check(&replay);
                journal = opened;
            }
            5 => {
                let syncer = journal.syncer(true);
                if let Some(upto) = syncer.begin().expect("the length of the journal") {
                    image.sync_data().expect("a sync");
                    syncer.sync(upto).expect("a sync");
                }
                model.synced = if dirty { model.acked.len() } else { model.synced };
                model.dirty = false;
            }
            6 => {
                let part = PartRecord { device: 1, inode: u64::from(argument), born: None };
                journal.set_part(part).expect("a record");
                model.part = Some(part);
            }
            7 => {
                journal.claim(argument.to_string()).expect("a record");
                (model.generation, model.evidence) = (Some(argument.to_string()), None);
            }
            8 => {
                let evidence = Evidence { modified: Some(i64::from(argument)), ..Evidence::default() };
                journal.settle(evidence.clone()).expect("a record");
                model.evidence = Some(evidence);
            }
            _ => {
                let digest = Digest([argument; 32]);
                let chunk = AckedChunk { index, len: CHUNK_SIZE, digest, zero: argument == 0 };
                journal.acknowledge(&chunk).expect("a record");
                model.acknowledge(chunk);
            }
        }
        history.push(model.acked.clone());
    }
    drop(journal);
    let replay = peek(&path).expect("a journal");
    model.check(&replay);
    let mut ledger = Ledger::new(Geometry::new(CHUNKS * CHUNK_SIZE, CHUNK_SIZE), Algorithm::Blake3);
    ledger.fill(&replay.acked);
    assert_eq!(ledger.settled(), model.acked.len() as u64);
    damage(&path, input, &history);
}

/// Cuts, flips, repeats and loses parts of the file. A cut loses what came after it; nothing adds a chunk.
fn damage(path: &Path, mut input: Input<'_>, history: &[Vec<AckedChunk>]) {
    let mut bytes = std::fs::read(path).expect("the journal");
    let mut in_order = true;
    for _ in 0..8 {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        let (what, at, len) = (input.byte(), input.number() % bytes.len(), usize::from(input.byte()));
        let end = (at + len).min(bytes.len());
        match what % 4 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << (len % 8),
            2 => bytes[at..end].fill(0),
            _ => {
                let part = bytes[at..end].to_vec();
                let to = input.number() % (bytes.len() + 1);
                bytes.splice(to..to, part);
                in_order = false;
            }
        }
    }
    std::fs::write(path, &bytes).expect("the journal");
    let Ok(replay) = peek(path) else { return };
    for chunk in &replay.acked {
        let was_so = history.iter().any(|acked| acked.contains(chunk));
        assert!(was_so, "chunk {} was never acknowledged, or was taken back", chunk.index);
    }
    if in_order {
        let was_so = |acked: &Vec<AckedChunk>| replay.acked.iter().all(|chunk| acked.contains(chunk));
        assert!(history.iter().any(was_so), "{:?} was never so", replay.acked);
    }
}

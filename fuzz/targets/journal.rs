//! The journal's replay.
//!
//! An input is a file as it may be found on disk, or a script: chunks that are acknowledged and taken back
//! through the journal's own functions, then damage to the file that they left. What the far end has never
//! acknowledged must never count, and a journal without damage must say exactly what was written.

use super::input::{Input, file, scratch};
use diskferry::chunk::{AckedChunk, Geometry};
use diskferry::encode::digest::{Algorithm, Digest};
use diskferry::journal::{DriveRecord, Header, Journal, peek};
use diskferry::transfer::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const CHUNKS: u64 = 16;
const CHUNK_SIZE: u64 = 10;

/// The chunks that count, each with its digest.
type State = BTreeMap<u64, Digest>;

/// The first byte tells a file from a script.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte().is_multiple_of(2) {
        found(input.rest());
    } else {
        script(input);
    }
}

/// A file of any contents is read or refused, looked at or opened, and the second time as the first.
fn found(bytes: &[u8]) {
    let path = file("found.journal", bytes);
    let looked = peek(&path).map(|replay| replay.map(|replay| replay.acked));
    if let Ok(Some(acked)) = &looked {
        // A record of a chunk is longer than this.
        assert!(acked.len() <= bytes.len() / 32, "{} chunks in {} bytes", acked.len(), bytes.len());
    }
    let opened = Journal::open(&path).map(|open| open.map(|(_, replay)| replay.acked));
    assert_eq!(looked.is_ok(), opened.is_ok());
    if let (Ok(looked), Ok(opened)) = (looked, opened) {
        assert_eq!(looked, opened);
        assert_eq!(peek(&path).ok().flatten().map(|replay| replay.acked), opened, "opening changes nothing");
    }
}

fn script(mut input: Input<'_>) {
    let path = scratch("script.journal");
    let header = Header {
        action: "upload".to_owned(),
        size: CHUNKS * CHUNK_SIZE,
        chunk_size: CHUNK_SIZE,
        digest: Algorithm::Blake3.name().to_owned(),
        ..Header::default()
    };
    let _ = std::fs::remove_file(&path);
    let mut journal = Journal::create(&path, header).expect("a journal");
    let mut state = State::new();
    // Everything that was so at some time.
    let mut history = vec![state.clone()];
    let mut acknowledged = BTreeSet::new();
    for _ in 0..64 {
        let (what, argument) = (input.byte(), input.byte());
        let index = u64::from(argument) % CHUNKS;
        match what % 8 {
            0 => break,
            1 | 2 => {
                journal.revoke(index).expect("a record");
                state.remove(&index);
            }
            3 => {
                let record = DriveRecord { drive: "d".into(), created: true, skip_zeros: argument > 127 };
                journal.set_drive(record).expect("a record");
            }
            4 => {
                drop(journal);
                let (opened, replay) = Journal::open(&path).expect("a journal").expect("that is there");
                assert_eq!(counted(&replay.acked), state);
                journal = opened;
            }
            _ => {
                let digest = Digest([argument; 32]);
                let chunk = AckedChunk { index, len: CHUNK_SIZE, digest, zero: argument == 0 };
                journal.acknowledge(&chunk).expect("a record");
                acknowledged.insert((index, digest.0));
                state.insert(index, digest);
            }
        }
        history.push(state.clone());
    }
    drop(journal);
    let replay = peek(&path).expect("a journal").expect("that is there");
    assert_eq!(counted(&replay.acked), state, "what was written is read");
    let mut ledger = Ledger::new(Geometry::new(CHUNKS * CHUNK_SIZE, CHUNK_SIZE), Algorithm::Blake3);
    replay.fill(&mut ledger);
    assert_eq!(ledger.settled(), state.len() as u64);
    damage(&path, input, &history, &acknowledged);
}

/// Cuts, bends, repeats and loses parts of the file. A cut costs what came after it; nothing adds a chunk.
fn damage(path: &Path, mut input: Input<'_>, history: &[State], acknowledged: &BTreeSet<(u64, [u8; 32])>) {
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
    let Ok(Some(replay)) = peek(path) else { return };
    let counted = counted(&replay.acked);
    for (index, digest) in &counted {
        assert!(acknowledged.contains(&(*index, digest.0)), "chunk {index} was never acknowledged");
    }
    if in_order {
        let was_so = |state: &State| counted.iter().all(|(index, digest)| state.get(index) == Some(digest));
        assert!(history.iter().any(was_so), "{counted:?} was never so");
    }
}

/// The chunks that count; the last word on each is its own.
fn counted(acked: &[AckedChunk]) -> State {
    acked.iter().map(|chunk| (chunk.index, chunk.digest)).collect()
}

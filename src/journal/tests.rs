use super::*;
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::Identity;
use crate::engine::ledger::Ledger;

fn header(action: &str) -> Header {
    Header {
        action: action.into(),
        transfer: "t".into(),
        remote: "oh".into(),
        account: "https://x/ u".into(),
        image: Some(Identity::Stream { size: 100 }),
        size: 100,
        chunk_size: 10,
        digest: "blake3".into(),
        format: String::new(),
        command: "diskferry upload".into(),
        ..Header::default()
    }
}

fn chunk(index: u64) -> AckedChunk {
    AckedChunk { index, len: 10, digest: Algorithm::Blake3.digest(&index.to_le_bytes()), zero: index == 3 }
}

fn drive() -> DriveRecord {
    DriveRecord { drive: "d".into(), created: true, skip_zeros: true }
}

fn written(dir: &Path, action: &str, chunks: u64) -> PathBuf {
    let path = dir.join("a.journal");
    let mut journal = Journal::create(&path, header(action)).unwrap();
    journal.set_drive(drive()).unwrap();
    for index in 0..chunks {
        journal.acknowledge(&chunk(index)).unwrap();
    }
    path
}

fn reopened(path: &Path) -> (Journal, Replay) {
    Journal::open(path).unwrap().unwrap()
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 5);
    let part = PartRecord { device: 1, inode: u64::MAX, born: Some(i64::MAX) };
    let counted = Evidence { writes: Some((4096, 1)), ..Evidence::default() };
    {
        let (mut journal, replay) = reopened(&path);
        assert_eq!(journal.header(), &header("upload"));
        assert_eq!(journal.drive(), Some(&drive()));
        assert_eq!(replay.acked, (0..5).map(chunk).collect::<Vec<_>>());
        assert!(replay.part.is_none() && replay.generation.is_none());
        let mut ledger = Ledger::new(Geometry::new(100, 10), Algorithm::Blake3);
        ledger.fill(&replay.acked);
        assert_eq!(ledger.settled(), 5);
        assert!(ledger.is_zero(3));
        journal.set_part(part).unwrap();
        journal.set_source(counted.clone()).unwrap();
        journal.claim("7".into()).unwrap();
        journal.settle(Evidence { modified: Some(-1), ..Evidence::default() }).unwrap();
    }
    let (mut journal, replay) = reopened(&path);
    assert_eq!((replay.part, replay.source), (Some(part), Some(counted)));
    assert_eq!(replay.generation.as_deref(), Some("7"));
    assert_eq!(replay.evidence.unwrap().modified, Some(-1));
    // The evidence of one run says nothing about the end of the next, which may be a kill.
    journal.claim("8".into()).unwrap();
    let replay = peek(&path).unwrap();
    assert_eq!((replay.generation.as_deref(), replay.evidence), (Some("8"), None));
}

#[test]
fn a_chunk_counts_once_and_by_its_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 3);
    let other = AckedChunk { zero: true, ..chunk(0) };
    reopened(&path).0.acknowledge(&other).unwrap();
    assert_eq!(peek(&path).unwrap().acked, [chunk(1), chunk(2), other]);
}

#[test]
fn what_is_taken_back_stays_away_however_the_journal_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 4);
    {
        let (mut journal, _) = reopened(&path);
        journal.acknowledge(&chunk(1)).unwrap();
        journal.distrust(&[chunk(0), chunk(2)]).unwrap();
        assert!(Journal::open(&path).is_err(), "the new one is locked, too");
        journal.acknowledge(&chunk(9)).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let Ok(replay) = peek(&path) else { continue };
        assert!(replay.header.compare_all, "cut at {cut}");
        assert!(replay.drive.is_none_or(|drive| !drive.skip_zeros), "cut at {cut}");
        assert!([chunk(0), chunk(2), chunk(9)].starts_with(&replay.acked), "cut at {cut}");
    }
    assert_eq!(peek(&path).unwrap().acked.len(), 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// Every possible cut and a flipped bit at every position: a journal never yields a chunk that was not
/// acknowledged, and never passes for one that does not exist.
#[test]
fn damage_costs_work_and_never_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 4);
    let whole = std::fs::read(&path).unwrap();
    let valid: Vec<AckedChunk> = (0..4).map(chunk).collect();
    let (mut losses, mut errors) = (0, 0);
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        match Journal::open(&path) {
            Ok(Some((_, replay))) => {
                assert!(valid.starts_with(&replay.acked), "cut at {cut}");
                losses += u64::from(replay.acked.len() < 4);
            }
            Ok(None) => panic!("cut at {cut}: read as no journal"),
            Err(error) => {
                assert!(error.to_string().contains("is damaged"), "{error}");
                errors += 1;
            }
        }
    }
    assert!(losses > 100 && errors > 100, "{losses} {errors}");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(replay) = peek(&path) {
            assert!(valid.starts_with(&replay.acked), "flipped at {at}");
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_before_more_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 2);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[49, 0, 0, 0, 4, 1, 2, 3]);
    std::fs::write(&path, &bytes).unwrap();
    {
        let (journal, replay) = reopened(&path);
        assert_eq!((replay.acked.len(), replay.torn_bytes), (2, 8));
        journal.acknowledge(&chunk(7)).unwrap();
    }
    assert_eq!(peek(&path).unwrap().acked, [chunk(0), chunk(1), chunk(7)]);
}

#[test]
fn two_runs_at_once_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 1);
    let held = reopened(&path);
    let refused = Journal::open(&path).unwrap_err();
    assert!(refused.to_string().contains("another diskferry process"), "{refused}");
    assert!(Journal::create(&path, header("upload")).is_err());
    drop(held);
    assert!(Journal::open(&path).unwrap().is_some());
    assert!(Journal::open(&dir.path().join("b.journal")).unwrap().is_none());
}

#[test]
fn another_version_is_said_to_be_that_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    for text in [&b"diskferry journal 1\nwhatever"[..], b"diskferry journal 31\n"] {
        std::fs::write(&path, text).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(error.to_string().contains("another version of diskferry wrote it"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), text);
    }
    for text in [&b""[..], b"diskferry journal", b"diskferry journal x\n", b"diskferry journal 1"] {
        std::fs::write(&path, text).unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("is damaged"));
    }
}

#[test]
fn only_what_stands_before_a_mark_was_synced() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "download", 2);
    let file = Arc::new(tempfile::tempfile().unwrap());
    {
        let (journal, replay) = reopened(&path);
        assert_eq!((replay.acked.len(), replay.synced), (2, 0));
        let syncer = journal.syncer(true);
        let upto = syncer.begin().unwrap().unwrap();
        file.sync_data().unwrap();
        syncer.sync(upto).unwrap();
        journal.acknowledge(&chunk(2)).unwrap();
        // The same chunk again: its latest bytes were not synced.
        journal.acknowledge(&chunk(0)).unwrap();
    }
    let replay = peek(&path).unwrap();
    assert_eq!(replay.acked, [chunk(1), chunk(2), chunk(0)]);
    assert_eq!(replay.synced, 1);
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let was = header("upload");
    assert_eq!(was.difference(&was), None);
    let now = Header { chunk_size: 20, ..header("upload") };
    assert_eq!(was.difference(&now).unwrap(), "the chunk size was 10 and is 20");
    let now = Header { image: Some(Identity::Stream { size: 7 }), ..header("upload") };
    assert_eq!(was.image_change(&now).unwrap(), "its size was 100 and is 7");
    assert_eq!(was.image_change(&was), None);
}

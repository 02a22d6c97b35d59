use super::*;
use crate::chunk::Geometry;
use crate::encode::digest::Algorithm;
use crate::source::Identity;
use crate::transfer::ledger::Ledger;

fn header(action: &str) -> Header {
    Header {
        action: action.into(),
        transfer: "t".into(),
        remote: "oh".into(),
        account: "https://x/ u".into(),
        drive: None,
        image: Some(Identity::File {
            path: "/a".into(),
            size: 100,
            mtime_ns: i64::MAX,
            ctime_ns: i64::MAX,
            inode: u64::MAX,
            device: 1,
        }),
        file: None,
        size: 100,
        chunk_size: 10,
        digest: "blake3".into(),
        new_drive: None,
        command: "diskferry upload".into(),
    }
}

fn chunk(index: u64) -> AckedChunk {
    AckedChunk { index, len: 10, digest: Algorithm::Blake3.digest(&index.to_le_bytes()), zero: index == 3 }
}

fn written(dir: &Path, action: &str, chunks: u64) -> PathBuf {
    let path = dir.join("a.journal");
    let mut journal = Journal::create(&path, header(action)).unwrap();
    journal.set_drive(DriveRecord { drive: "d".into(), created: true, skip_zeros: true }).unwrap();
    for index in 0..chunks {
        journal.acknowledge(&chunk(index)).unwrap();
    }
    path
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 5);
    let (journal, replay) = Journal::open(&path).unwrap().unwrap();
    assert_eq!(journal.header(), &header("upload"));
    assert_eq!(journal.drive().unwrap().drive, "d");
    assert_eq!(replay.acked, (0..5).map(chunk).collect::<Vec<_>>());
    let mut ledger = Ledger::new(Geometry::new(100, 10), Algorithm::Blake3);
    replay.fill(&mut ledger);
    assert_eq!(ledger.settled(), 5);
    assert!(ledger.is_zero(3));
}

#[test]
fn a_revoked_chunk_does_not_count_until_it_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 3);
    {
        let (journal, _) = Journal::open(&path).unwrap().unwrap();
        journal.revoke(1).unwrap();
    }
    {
        let (journal, replay) = Journal::open(&path).unwrap().unwrap();
        assert_eq!(replay.acked, [chunk(0), chunk(2)]);
        journal.acknowledge(&chunk(1)).unwrap();
    }
    assert_eq!(peek(&path).unwrap().unwrap().acked.len(), 3);
}

/// Every possible cut, and a flipped bit at every place: a journal never yields a chunk that was not acknowledged.
#[test]
fn damage_costs_work_and_never_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 4);
    let whole = std::fs::read(&path).unwrap();
    let valid: Vec<AckedChunk> = (0..4).map(chunk).collect();
    let mut losses = 0;
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        if let Ok(Some(replay)) = peek(&path) {
            assert!(valid.starts_with(&replay.acked), "cut at {cut}");
            losses += u64::from(replay.acked.len() < 4);
        }
    }
    assert!(losses > 100);
    // A run killed while it began its journal leaves nothing that stands in the way.
    for cut in [0, 5, MAGIC.len(), MAGIC.len() + 3, MAGIC.len() + 50] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(Journal::open(&path).unwrap().is_none(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(Some(replay)) = peek(&path) {
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
        let (journal, replay) = Journal::open(&path).unwrap().unwrap();
        assert_eq!((replay.acked.len(), replay.torn_bytes), (2, 8));
        journal.acknowledge(&chunk(7)).unwrap();
    }
    assert_eq!(peek(&path).unwrap().unwrap().acked, [chunk(0), chunk(1), chunk(7)]);
}

#[test]
fn two_runs_at_once_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "upload", 1);
    let held = Journal::open(&path).unwrap().unwrap();
    let refused = Journal::open(&path).unwrap_err();
    assert!(refused.to_string().contains("another diskferry"), "{refused}");
    assert!(Journal::create(&path, header("upload")).is_err());
    drop(held);
    assert!(Journal::open(&path).unwrap().is_some());
}

#[test]
fn after_a_reboot_only_what_was_synced_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "download", 2);
    let file = Arc::new(tempfile::tempfile().unwrap());
    {
        let (journal, replay) = Journal::open(&path).unwrap().unwrap();
        assert_eq!(replay.acked.len(), 2, "the machine has been up all the time");
        journal.syncer(Some(Arc::clone(&file))).sync().unwrap();
        journal.acknowledge(&chunk(2)).unwrap();
    }
    assert_eq!(peek(&path).unwrap().unwrap().acked.len(), 3);
    // The same journal, as a machine finds it that was started since: every boot id is another's.
    let mut bytes = MAGIC.to_vec();
    let whole = std::fs::read(&path).unwrap();
    let mut rest = &whole[MAGIC.len()..];
    while let Some((record, len)) = Record::from_bytes(rest) {
        let record = match record {
            Record::Boot(id) => Record::Boot("0".repeat(id.len())),
            other => other,
        };
        bytes.extend(record.to_bytes().unwrap());
        rest = &rest[len..];
    }
    std::fs::write(&path, bytes).unwrap();
    let replay = peek(&path).unwrap().unwrap();
    assert_eq!((replay.acked, replay.unsafe_chunks), (vec![chunk(0), chunk(1)], vec![2]));
    // A mark that a later run sets must not vouch for it.
    {
        let (journal, _) = Journal::open(&path).unwrap().unwrap();
        journal.syncer(Some(file)).sync().unwrap();
    }
    assert_eq!(peek(&path).unwrap().unwrap().acked, [chunk(0), chunk(1)]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let was = header("upload");
    assert_eq!(was.difference(&was), None);
    let now = Header { chunk_size: 20, ..header("upload") };
    assert_eq!(was.difference(&now).unwrap(), "the chunk size was 10 and is 20");
    let now = Header {
        image: Some(Identity::File {
            path: "/a".into(),
            size: 7,
            mtime_ns: 0,
            ctime_ns: 0,
            inode: 1,
            device: 1,
        }),
        ..header("upload")
    };
    assert!(was.difference(&now).unwrap().contains("its size was 100 and is 7"));
}

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::engine::tests::context;

const CHUNK: u64 = 8192;

fn image() -> Vec<u8> {
    // The third chunk is zeros; the last is short.
    (0..40_000_u32).map(|n| if n / 8192 == 2 { 0 } else { (n * 7 % 251).to_le_bytes()[0] }).collect()
}

fn geometry() -> Geometry {
    Geometry::new(40_000, CHUNK)
}

fn ledger(bytes: &[u8], algorithm: Algorithm) -> Ledger {
    let mut ledger = Ledger::new(Geometry::new(bytes.len() as u64, CHUNK), algorithm);
    for (index, chunk) in (0..).zip(bytes.chunks(8192)) {
        let (len, zero) = (chunk.len() as u64, chunk.iter().all(|byte| *byte == 0));
        ledger.settle(&AckedChunk { index, len, digest: algorithm.digest(chunk), zero });
    }
    ledger
}

fn seen() -> Seen {
    let evidence = Evidence { writes: Some((10, 1)), ..Evidence::default() };
    Seen { generation: Some("g".into()), mark: Some("m".into()), evidence, changing: None }
}

fn facts() -> Facts {
    let Seen { mark, evidence, .. } = seen();
    Facts { size: 40_000, mark, evidence, ..Facts::default() }
}

fn record(algorithm: Algorithm) -> Contents {
    updated(None, seen(), &ledger(&image(), algorithm), false)
}

fn trust(record: &Contents, facts: &Facts, generation: &str, asked: Resume) -> Trust {
    let wanted = (geometry(), Algorithm::Blake3);
    Trust::of(Some(record), Some(generation), (facts, true), wanted, asked)
}

#[test]
fn a_record_is_trusted_only_where_nothing_speaks_against_it() {
    let good = record(Algorithm::Blake3);
    assert!(trust(&good, &facts(), "g", Resume::Auto).trusted);
    assert!(!trust(&good, &facts(), "g", Resume::Full).trusted);
    let silent = Facts { evidence: Evidence::default(), ..facts() };
    let written = Evidence { writes: Some((20, 2)), ..Evidence::default() };
    let written = Facts { evidence: written, ..facts() };
    let marked = Facts { mark: Some("n".into()), ..facts() };
    for (now, why) in [(silent, "does not tell"), (written, "written to since"), (marked, "mark of another")]
    {
        let auto = trust(&good, &now, "g", Resume::Auto);
        assert!(!auto.trusted && auto.why.contains(why), "{auto:?}");
        // The user may decide otherwise.
        assert!(trust(&good, &now, "g", Resume::Trust).trusted);
    }
    let mut changing = record(Algorithm::Blake3);
    changing.seen.changing = Some("t".into());
    let other = record(Algorithm::Sha256);
    let larger = Geometry::new(40_000, 2 * CHUNK);
    let mut coarse = Contents::new(larger, seen());
    coarse.learn(0, Algorithm::Blake3, Algorithm::Blake3.digest(b""));
    for (record, generation, why) in [
        (&changing, "g", "has not ended"),
        (&other, "g", "no blake3 digests"),
        (&coarse, "g", "chunks of 16384 bytes"),
        (&good, "h", "another run on this machine"),
    ] {
        let trust = trust(record, &facts(), generation, Resume::Trust);
        assert!(!trust.trusted && trust.why.contains(why), "{trust:?}");
    }
    let none = Trust::of(None, None, (&facts(), true), (geometry(), Algorithm::Blake3), Resume::Trust);
    assert!(!none.trusted, "{none:?}");
}

#[test]
fn a_record_of_another_size_counts_where_its_chunks_are_cut_alike() {
    let known_chunks = |size| {
        let held = known(&record(Algorithm::Blake3), Geometry::new(size, CHUNK), Algorithm::Blake3);
        (0..held.geometry().chunks()).filter(|index| held.is_settled(*index)).collect::<Vec<_>>()
    };
    assert_eq!(known_chunks(40_000), [0, 1, 2, 3, 4]);
    assert_eq!(known_chunks(40_001), [0, 1, 2, 3]);
    assert_eq!(known_chunks(100_000), [0, 1, 2, 3]);
    assert_eq!(known_chunks(20_000), [0, 1]);
    let held = known(&record(Algorithm::Blake3), geometry(), Algorithm::Blake3);
    assert!(held.is_zero(2) && !held.is_zero(1));
}

#[test]
fn the_digests_of_the_other_algorithm_stay_only_where_the_chunk_is_the_same() {
    let both = updated(Some(record(Algorithm::Sha256)), seen(), &ledger(&image(), Algorithm::Blake3), true);
    let all = |record: &Contents, algorithm| {
        record.digests(algorithm).iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(all(&both, Algorithm::Sha256), [true; 5]);
    let mut other = image();
    other[8192] ^= 1;
    let changed = updated(Some(both), seen(), &ledger(&other, Algorithm::Blake3), false);
    assert_eq!(all(&changed, Algorithm::Sha256), [true, false, true, true, true]);
    assert_eq!(all(&changed, Algorithm::Blake3), [true; 5]);
    // If only the other digest is known, nothing shows that it is of the present contents.
    let unpaired =
        updated(Some(record(Algorithm::Sha256)), seen(), &ledger(&other, Algorithm::Blake3), false);
    assert_eq!(all(&unpaired, Algorithm::Sha256), [false; 5]);
    // Chunks that were not read are no longer known, unless the record is trusted.
    let mut some = Ledger::new(geometry(), Algorithm::Blake3);
    some.settle(&ledger(&image(), Algorithm::Blake3).chunk(3).unwrap());
    let partly = updated(Some(record(Algorithm::Blake3)), seen(), &some, false);
    assert_eq!(all(&partly, Algorithm::Blake3), [false, false, false, true, false]);
    let kept = updated(Some(record(Algorithm::Blake3)), seen(), &some, true);
    assert_eq!(all(&kept, Algorithm::Blake3), [true; 5]);
}

fn disk(bytes: Vec<u8>) -> Arc<dyn ReadAt> {
    Arc::new(MemoryDisk::new(bytes))
}

#[tokio::test]
async fn a_sample_finds_a_drive_that_was_put_back() {
    let (context, image) = (context(), image());
    let held = ledger(&image, Algorithm::Blake3);
    let nothing = Ledger::new(geometry(), Algorithm::Blake3);
    let source = disk(image.clone());
    let holds = async |source: Option<&Arc<dyn ReadAt>>, there: Vec<u8>| {
        sample_holds(&held, &nothing, source, &disk(there), &context).await.unwrap()
    };
    assert!(holds(Some(&source), image.clone()).await && holds(None, image.clone()).await);
    assert!(!holds(Some(&source), vec![0; 40_000]).await);
    assert!(!holds(None, vec![0; 40_000]).await);
    // The sample always has the first and the last chunk. Only whole chunks are certain to show a changed
    // byte.
    let mut first = image.clone();
    first[0] ^= 1;
    assert!(!holds(None, first).await);
    // An image with nothing in common with the drive offers no places to compare, so whole chunks are read.
    let foreign = disk(vec![9; 40_000]);
    assert!(holds(Some(&foreign), image.clone()).await && !holds(Some(&foreign), vec![0; 40_000]).await);
    assert_eq!(context.meters.verified.load(Relaxed), 0);
}

#[tokio::test]
async fn what_is_read_back_is_what_is_there() {
    let (context, image) = (context(), image());
    let whole = ledger(&image, Algorithm::Sha256);
    let mut settled = Ledger::new(geometry(), Algorithm::Sha256);
    settled.settle(&whole.chunk(1).unwrap());
    let mut held = Ledger::new(geometry(), Algorithm::Sha256);
    read_back(&disk(image), &mut held, &settled, &context).await.unwrap();
    let read: Vec<_> = (0..5).map(|index| held.get(index)).collect();
    let expected: Vec<_> = (0..5).map(|index| whole.get(index).filter(|_| index != 1)).collect();
    assert_eq!(read, expected);
    assert_eq!(common(&held, &whole), [0, 2, 3, 4]);
    let held = HeldChunks::new(held);
    let digest = |index| whole.get(index).unwrap();
    assert!(held.holds(0, &digest(0)) && !held.holds(0, &digest(3)) && !held.holds(1, &digest(1)));
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let destination = Destination::disk("a", "x", "drive");
    let warnings = Arc::new(std::sync::Mutex::new(Vec::new()));
    let context = Context {
        observer: {
            let warnings = Arc::clone(&warnings);
            Arc::new(move |event| {
                if let Event::Warning(text) = event {
                    warnings.lock().unwrap().push(text.clone());
                }
            })
        },
        ..context()
    };
    let ledger = ledger(&image(), Algorithm::Blake3);
    note(&destination, seen(), &ledger, false, &settings, &context);
    assert_eq!(settings.contents.load(&destination).unwrap().seen, seen());
    // With more chunks than a record may have, the old record is removed.
    let many = Ledger::new(Geometry::new((MOST_CHUNKS + 1) * CHUNK, CHUNK), Algorithm::Blake3);
    note(&destination, seen(), &many, false, &settings, &context);
    assert!(settings.contents.load(&destination).is_none() && warnings.lock().unwrap().is_empty());
    std::fs::remove_dir_all(dir.path().join("contents")).unwrap();
    std::fs::write(dir.path().join("contents"), "in the way").unwrap();
    note(&destination, seen(), &ledger, false, &settings, &context);
    assert!(warnings.lock().unwrap()[0].contains("cannot note what the drive holds"), "{warnings:?}");
}

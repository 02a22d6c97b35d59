//! Damage: every byte of an index, and chunks that are wrong in every way. The result is always a clear error
//! and never wrong bytes.

use super::super::index::{Index, LARGEST_CHUNK, chunk_key};
use super::{CHUNK, back_up, contents, id, image, store_in};
use crate::digest::{Algorithm, Digest};
use crate::disk::{Buffers, ReadAt};
use crate::error::Kind;
use proptest::prelude::*;

fn some_index() -> Index {
    let digests: Vec<Digest> = (0..9).map(|n| Algorithm::Sha256.digest(&[n])).collect();
    Index::fixed(8 * CHUNK + 5, CHUNK, &digests).unwrap()
}

#[test]
fn an_index_is_what_was_written() {
    let index = some_index();
    let back = Index::parse("x", &index.to_bytes()).unwrap();
    assert_eq!(back, index);
    assert_eq!((back.size(), back.len(), back.chunk(8).unwrap().len), (8 * CHUNK + 5, 9, 5));
    for (range, touched) in [
        (0..1, 0..1),
        (0..0, 0..0),
        (CHUNK - 1..CHUNK + 1, 0..2),
        (CHUNK..2 * CHUNK, 1..2),
        (0..8 * CHUNK + 5, 0..9),
    ] {
        assert_eq!(index.touching(&range), touched, "{range:?}");
    }
    assert!(index.touching(&(9 * CHUNK..10 * CHUNK)).is_empty());
    let empty = Index::fixed(0, CHUNK, &[]).unwrap();
    assert_eq!(Index::parse("x", &empty.to_bytes()).unwrap().size(), 0);
    for (size, chunk, n) in [(10, 0, 1), (10, LARGEST_CHUNK + 1, 1), (10, 4, 2), (10, 4, 4)] {
        assert!(Index::fixed(size, chunk, &vec![Digest([0; 32]); n]).is_err());
    }
}

#[test]
fn an_index_that_is_cut_or_changed_is_refused_with_a_place() {
    let whole = some_index().to_bytes();
    for cut in 0..whole.len() {
        let error = Index::parse("the-index", &whole[..cut]).unwrap_err();
        assert!(error.to_string().contains("the-index") && error.at_offset().is_some(), "{cut}: {error}");
        assert_eq!(error.kind(), Kind::Source);
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        // Flags and digests are free; they are compared with the chunks.
        // The largest size may exceed that of every chunk, and the last chunk may be as long as the others.
        let free = (16..24).contains(&at)
            || (40..43).contains(&at)
            || (384..386).contains(&at)
            || ((64..whole.len() - 40).contains(&at) && (at - 64) % 40 >= 8);
        let parsed = Index::parse("x", &bytes);
        assert_eq!(parsed.is_ok(), free, "byte {at}: {parsed:?}");
    }
    // A chunk of length zero.
    let mut empty = whole.clone();
    empty.copy_within(64..72, 104);
    let error = Index::parse("x", &empty).unwrap_err();
    assert!(error.to_string().contains("ends at 65536, the one before it at 65536"), "{error}");
    let mut long = whole.clone();
    long.extend([0; 40]);
    assert!(Index::parse("x", &long).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(cut in 0_usize..500, changes in prop::collection::vec((0_usize..464, any::<u8>()), 0..8)) {
        let mut bytes = some_index().to_bytes();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut.max(464 * usize::from(cut > 400)));
        if let Ok(index) = Index::parse("x", &bytes) {
            prop_assert_eq!(index.to_bytes(), bytes);
            let mut at = 0;
            for chunk in index.chunks() {
                prop_assert!(chunk.offset == at && chunk.len > 0 && chunk.len <= LARGEST_CHUNK);
                at = chunk.range().end;
            }
            prop_assert_eq!(at, index.size());
        }
    }
}

#[tokio::test]
async fn a_chunk_that_is_not_right_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let of = id("web@2026-11-24T190000Z");
    back_up(&store, &of, &image(1)).await.unwrap();
    let chunk = store.load(&of).await.unwrap().chunk(1).unwrap();
    let path = dir.path().join(chunk_key(&chunk.digest));
    let right = std::fs::read(&path).unwrap();
    let len = usize::try_from(CHUNK).unwrap();
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    let plain = &image(1)[len..2 * len];
    let mut bent = plain.to_vec();
    bent[77] ^= 1;
    let gzip = {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut to, &[plain, b"x"].concat()).unwrap();
        to.finish().unwrap()
    };
    let wrong: [(&str, Vec<u8>); 8] = [
        ("digest does not match", pack(&bent)),
        ("does not decompress to 65536 bytes", pack(&plain[1..])),
        ("does not decompress to 65536 bytes", pack(&[plain, b"x"].concat())),
        ("does not decompress to 65536 bytes", pack(&vec![0; 64 << 20])),
        ("it has more", gzip),
        ("not compressed with", b"plain bytes".to_vec()),
        ("not compressed with", Vec::new()),
        ("limit of", vec![0x28; 2 * len]),
    ];
    for (why, bytes) in wrong {
        std::fs::write(&path, bytes).unwrap();
        let disk = store.disk(&of).await.unwrap();
        // Read as one chunk, and as a part of it.
        for (offset, len) in [(chunk.offset, CHUNK), (chunk.offset + 1, 7)] {
            let error = disk.read_at(offset, len, Buffers::new(1).take(0)).await.unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains(why)
                    && said.contains(&chunk.digest.to_string())
                    && said.contains(&of.index_key()),
                "{why}: {said}"
            );
            assert!(!error.kind().is_retryable() && error.at_offset() == Some(chunk.offset), "{error}");
        }
    }
    for cut in [0, 1, 3, 4, 9, right.len() / 2, right.len() - 1] {
        std::fs::write(&path, &right[..cut]).unwrap();
        let disk = store.disk(&of).await.unwrap();
        assert!(contents(&disk).await.is_err(), "cut to {cut}");
    }
    for at in (0..right.len()).step_by(997) {
        let mut bytes = right.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let disk = store.disk(&of).await.unwrap();
        // A change that does not affect the chunk's bytes may be accepted.
        assert!(contents(&disk).await.map_or(true, |got| got == image(1)), "changed at {at}");
    }
    std::fs::remove_file(&path).unwrap();
    let disk = store.disk(&of).await.unwrap();
    let error = contents(&disk).await.unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
    // Chunks that are not damaged can be read.
    assert!(disk.read_at(0, CHUNK, Buffers::new(1).take(0)).await.is_ok());
}

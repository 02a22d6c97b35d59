//! casync's indexes. Whatever the bytes, an index that parses prints as it was, its chunks are contiguous,
//! and any range of the image is covered by the chunks that are said to touch it.

use diskferry::backup::index::{Index, LARGEST_CHUNK};

/// The whole input is the index.
pub fn run(data: &[u8]) {
    // An error is a valid result if it names the index.
    let index = match Index::parse("the-index", data) {
        Ok(index) => index,
        Err(error) => {
            assert!(error.to_string().contains("the-index"), "{error}");
            return;
        }
    };
    assert!(index.to_bytes() == data);
    let mut at = 0;
    for chunk in index.chunks() {
        assert!(chunk.offset == at && (1..=LARGEST_CHUNK).contains(&chunk.len));
        at = chunk.range().end;
        for range in [chunk.range(), chunk.offset..chunk.offset + 1, at - 1..at] {
            assert_eq!(index.touching(&range), chunk.number..chunk.number + 1);
        }
    }
    assert_eq!(at, index.size());
    assert_eq!(index.touching(&(0..index.size())), 0..index.len());
    assert!(index.touching(&(at..u64::MAX)).is_empty());
}

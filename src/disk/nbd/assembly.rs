//! Assembles the bytes of a read, which arrive in pieces, in any order, each exactly once.

use crate::disk::Buffer;
use bytes::BufMut;
use std::io;
use std::ops::Range;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most separate pieces. Servers that split a reply send its pieces in order; the list grows only if they
/// are scattered.
const MOST_ISLANDS: usize = 4096;

/// A buffer that is being filled with the data of a request.
///
/// Its length is the end of the last piece so far. Data beyond that is appended to spare capacity that was
/// never written, because clearing it first would cost as much as the read. If a piece leaves a gap before
/// it, the gap is cleared.
#[derive(Debug)]
pub(super) struct Assembly {
    buffer: Buffer,
    /// The position of the request's first byte in the buffer.
    base: usize,
    /// The request's offset on the disk, and its length.
    offset: u64,
    len: usize,
    /// The ranges received so far, in order and disjoint.
    islands: Vec<Range<usize>>,
}

/// A piece that is being received.
#[derive(Debug)]
pub(super) struct Piece(Range<usize>);

impl Piece {
    /// Returns how many bytes are missing.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

impl Assembly {
    /// Creates an assembly of `len` bytes from `offset`, appended to the buffer.
    pub(super) fn new(mut buffer: Buffer, offset: u64, len: usize) -> Self {
        let base = buffer.len();
        buffer.reserve(len);
        Self { buffer, base, offset, len, islands: Vec::new() }
    }

    /// Begins a piece of `len` bytes at `offset` on the disk.
    pub(super) fn piece(&mut self, offset: u64, len: u32) -> Result<Piece, String> {
        let place = offset
            .checked_sub(self.offset)
            .and_then(|at| usize::try_from(at).ok())
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| Some(start..start.checked_add(len)?))
            .filter(|place| !place.is_empty() && place.end <= self.len);
        let Some(place) = place else {
            return Err(format!("{len} bytes from offset {offset} that were not requested"));
        };
        insert(&mut self.islands, &place)?;
        let start = self.base + place.start;
        if self.buffer.len() < start {
            self.buffer.resize(start, 0);
        }
        Ok(Piece(place))
    }

    /// Reads at most `most` bytes of a piece. Returns 0 if the stream has ended.
    pub(super) async fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        piece: &mut Piece,
        most: usize,
    ) -> io::Result<usize> {
        let most = most.min(piece.left());
        let start = self.base + piece.0.start;
        let got = if start == self.buffer.len() {
            from.read_buf(&mut (&mut *self.buffer).limit(most)).await?
        } else {
            from.read(&mut self.buffer[start..start + most]).await?
        };
        piece.0.start += got;
        Ok(got)
    }

    /// Fills a piece with zeros.
    pub(super) fn zero(&mut self, piece: &Piece) {
        // A gap is cleared already.
        let end = self.base + piece.0.end;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    /// Returns whether every byte was received.
    pub(super) fn is_complete(&self) -> bool {
        matches!(&self.islands[..], [all] if *all == (0..self.len))
    }

    /// Returns the buffer.
    pub(super) fn into_buffer(self) -> Buffer {
        self.buffer
    }
}

/// Adds a range to others. It may touch but not overlap them.
fn insert(islands: &mut Vec<Range<usize>>, new: &Range<usize>) -> Result<(), String> {
    let at = islands.partition_point(|island| island.start < new.start);
    let before = at.checked_sub(1).map(|before| islands[before].end);
    let after = islands.get(at).map(|island| island.start);
    if before.is_some_and(|end| end > new.start) || after.is_some_and(|start| start < new.end) {
        return Err("the same bytes of a read twice".to_owned());
    }
    match (before == Some(new.start), after == Some(new.end)) {
        (true, true) => {
            islands[at - 1].end = islands[at].end;
            islands.remove(at);
        }
        (true, false) => islands[at - 1].end = new.end,
        (false, true) => islands[at].start = new.start,
        (false, false) if islands.len() < MOST_ISLANDS => islands.insert(at, new.clone()),
        (false, false) => return Err(format!("a read in more than {MOST_ISLANDS} scattered pieces")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Buffers;
    use proptest::prelude::*;

    fn assembly(offset: u64, len: usize) -> Assembly {
        let mut buffer = Buffers::new(1).take(0);
        buffer.extend_from_slice(b"before");
        Assembly::new(buffer, offset, len)
    }

    async fn fill(assembly: &mut Assembly, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let mut piece = assembly.piece(offset, u32::try_from(bytes.len()).unwrap())?;
        let mut from = bytes;
        while piece.left() > 0 {
            assert!(assembly.read(&mut from, &mut piece, 3).await.unwrap() > 0);
        }
        Ok(())
    }

    #[tokio::test]
    async fn pieces_come_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut all = assembly(100, 30);
            for n in order {
                assert!(!all.is_complete());
                let offset = 100 + n * 10;
                if n == 1 {
                    let piece = all.piece(offset, 10).unwrap();
                    all.zero(&piece);
                } else {
                    fill(&mut all, offset, &[u8::try_from(n).unwrap() + 1; 10]).await.unwrap();
                }
            }
            assert!(all.is_complete());
            let expected = [b"before", &[1; 10][..], &[0; 10], &[3; 10]].concat();
            assert_eq!(all.into_buffer().as_slice(), expected, "{order:?}");
        }
    }

    #[tokio::test]
    async fn what_was_not_asked_for_or_has_come_is_refused() {
        for (offset, len) in [(99, 1), (130, 1), (129, 2), (100, 31), (0, 1), (u64::MAX, 1), (100, 0)] {
            assert!(assembly(100, 30).piece(offset, len).is_err(), "{offset} {len}");
        }
        let mut all = assembly(100, 30);
        fill(&mut all, 100, &[1; 10]).await.unwrap();
        for (offset, len) in [(100, 1), (109, 1), (105, 20)] {
            assert!(all.piece(offset, len).is_err(), "{offset} {len}");
        }
        fill(&mut all, 120, &[1; 10]).await.unwrap();
        for (offset, len) in [(119, 2), (100, 30), (110, 11), (125, 1)] {
            assert!(all.piece(offset, len).is_err(), "{offset} {len}");
        }
        assert!(!all.is_complete());
    }

    #[test]
    fn scattered_pieces_are_bounded() {
        let mut all = assembly(0, 1 << 20);
        let refused = (1..).step_by(2).position(|offset| all.piece(offset, 1).is_err());
        assert_eq!(refused, Some(MOST_ISLANDS));
    }

    proptest! {
        /// The ranges agree with a bitmap of received bytes.
        #[test]
        fn ranges_agree_with_single_bytes(pieces in prop::collection::vec((0_usize..40, 1_usize..12), 0..30)) {
            let (mut all, mut model) = (assembly(0, 48), [false; 48]);
            for (start, len) in pieces {
                let fits = start + len <= 48 && !model[start..start + len].contains(&true);
                let piece = all.piece(start as u64, u32::try_from(len).unwrap());
                prop_assert_eq!(piece.is_ok(), fits);
                if let Ok(piece) = piece {
                    all.zero(&piece);
                    model[start..start + len].fill(true);
                }
                prop_assert_eq!(all.is_complete(), !model.contains(&false));
            }
        }
    }
}

//! The outcome of each chunk, grouped into the cells of a map.

/// The most cells. Those of a larger image cover several chunks.
pub const MOST_CELLS: u64 = 4096;

/// The outcome of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// Its bytes were transferred and, if written, acknowledged.
    Sent,
    /// Like `Sent`, after more than one attempt.
    Retried,
    /// It is zero and needed no transfer.
    Zero,
    /// The destination was known to hold it.
    Unchanged,
    /// An earlier run transferred it.
    Resumed,
    /// All attempts failed.
    Failed,
    /// It was read back and is equal.
    Verified,
    /// It was read back and differs.
    Differs,
}

impl ChunkOutcome {
    /// All outcomes.
    pub const ALL: [ChunkOutcome; 8] = [
        ChunkOutcome::Sent,
        ChunkOutcome::Retried,
        ChunkOutcome::Zero,
        ChunkOutcome::Unchanged,
        ChunkOutcome::Resumed,
        ChunkOutcome::Failed,
        ChunkOutcome::Verified,
        ChunkOutcome::Differs,
    ];

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            ChunkOutcome::Sent => "sent",
            ChunkOutcome::Retried => "retried",
            ChunkOutcome::Zero => "zero",
            ChunkOutcome::Unchanged => "unchanged",
            ChunkOutcome::Resumed => "resumed",
            ChunkOutcome::Failed => "failed",
            ChunkOutcome::Verified => "verified",
            ChunkOutcome::Differs => "differs",
        }
    }
}

/// The number of chunks in a cell, by outcome.
type Counts = [u32; ChunkOutcome::ALL.len()];

/// The cells of an image, in order.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    chunks: u64,
    chunks_each: u64,
    counts: Vec<Counts>,
}

impl Cells {
    /// Creates at most `most` cells for an image of `chunks` chunks.
    pub fn new(chunks: u64, most: u64) -> Self {
        let chunks_each = chunks.div_ceil(most.clamp(1, MOST_CELLS)).max(1);
        let cells = usize::try_from(chunks.div_ceil(chunks_each)).unwrap_or(0);
        Self { chunks, chunks_each, counts: vec![Counts::default(); cells] }
    }

    /// Returns the outcomes merged into at most `most` cells.
    #[must_use]
    pub fn merged(&self, most: usize) -> Self {
        let group = self.counts.len().div_ceil(most.max(1)).max(1);
        let sum = |cells: &[Counts]| {
            let mut sum = Counts::default();
            for counts in cells {
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            }
            sum
        };
        Self {
            chunks: self.chunks,
            chunks_each: self.chunks_each.saturating_mul(group as u64),
            counts: self.counts.chunks(group).map(sum).collect(),
        }
    }

    /// Returns the number of chunks in the image.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Returns the number of chunks in a cell; the last may have fewer.
    pub fn chunks_each(&self) -> u64 {
        self.chunks_each
    }

    /// Returns the number of cells.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Returns whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the number of chunks in a cell with an outcome.
    pub fn count(&self, cell: usize, outcome: ChunkOutcome) -> u64 {
        self.counts.get(cell).map_or(0, |counts| u64::from(counts[outcome as usize]))
    }

    /// Returns the number of chunks in the image with an outcome.
    pub fn total(&self, outcome: ChunkOutcome) -> u64 {
        self.counts.iter().map(|counts| u64::from(counts[outcome as usize])).sum()
    }

    /// Counts a chunk. A chunk outside the image, as of a stream of unknown length, is ignored.
    pub fn add(&mut self, index: u64, outcome: ChunkOutcome) {
        if let Some(count) = self.at(index, outcome) {
            *count = count.saturating_add(1);
        }
    }

    /// Removes a chunk.
    pub fn take(&mut self, index: u64, outcome: ChunkOutcome) {
        if let Some(count) = self.at(index, outcome) {
            *count = count.saturating_sub(1);
        }
    }

    fn at(&mut self, index: u64, outcome: ChunkOutcome) -> Option<&mut u32> {
        let cell = usize::try_from(index / self.chunks_each.max(1)).ok()?;
        self.counts.get_mut(cell).map(|counts| &mut counts[outcome as usize])
    }
}

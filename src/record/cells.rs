//! What has become of the chunks, place by place.

/// The most places that are told apart. A place of a larger image has several chunks.
pub const MOST_CELLS: u64 = 4096;

/// What has become of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its bytes were moved, and acknowledged where they were written.
    Sent,
    /// Of those sent, one that took more than one attempt.
    Retried,
    /// It holds zeros that needed no transfer.
    Zero,
    /// The destination was known to have it.
    Unchanged,
    /// An earlier run has moved it.
    Resumed,
    /// It failed for good.
    Failed,
    /// It was read back and found equal.
    Verified,
    /// It was read back and found to differ.
    Differs,
}

impl Fate {
    /// All of them.
    pub const ALL: [Fate; 8] = [
        Fate::Sent,
        Fate::Retried,
        Fate::Zero,
        Fate::Unchanged,
        Fate::Resumed,
        Fate::Failed,
        Fate::Verified,
        Fate::Differs,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Sent => "sent",
            Fate::Retried => "retried",
            Fate::Zero => "zero",
            Fate::Unchanged => "unchanged",
            Fate::Resumed => "resumed",
            Fate::Failed => "failed",
            Fate::Verified => "verified",
            Fate::Differs => "differs",
        }
    }
}

/// How many chunks of a place have met which fate.
type Counts = [u32; Fate::ALL.len()];

/// The places of an image, in order.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    chunks: u64,
    chunks_each: u64,
    counts: Vec<Counts>,
}

impl Cells {
    /// Of an image of so many chunks, in at most `most` places.
    pub fn new(chunks: u64, most: u64) -> Self {
        let chunks_each = chunks.div_ceil(most.clamp(1, MOST_CELLS)).max(1);
        let cells = usize::try_from(chunks.div_ceil(chunks_each)).unwrap_or(0);
        Self { chunks, chunks_each, counts: vec![Counts::default(); cells] }
    }

    /// The same in at most `most` places.
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

    /// Chunks of the image.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Chunks of a place; the last may have fewer.
    pub fn chunks_each(&self) -> u64 {
        self.chunks_each
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many chunks of a place have met a fate.
    pub fn count(&self, cell: usize, fate: Fate) -> u64 {
        self.counts.get(cell).map_or(0, |counts| u64::from(counts[fate as usize]))
    }

    /// How many chunks of the image have.
    pub fn total(&self, fate: Fate) -> u64 {
        self.counts.iter().map(|counts| u64::from(counts[fate as usize])).sum()
    }

    /// Counts a chunk. One that is not of the image, as of a stream whose length nobody knew, is not counted.
    pub fn add(&mut self, index: u64, fate: Fate) {
        if let Some(count) = self.at(index, fate) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes a chunk back.
    pub fn take(&mut self, index: u64, fate: Fate) {
        if let Some(count) = self.at(index, fate) {
            *count = count.saturating_sub(1);
        }
    }

    fn at(&mut self, index: u64, fate: Fate) -> Option<&mut u32> {
        let cell = usize::try_from(index / self.chunks_each.max(1)).ok()?;
        self.counts.get_mut(cell).map(|counts| &mut counts[fate as usize])
    }
}

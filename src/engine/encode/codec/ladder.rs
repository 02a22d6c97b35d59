//! The rungs of `--compress auto`, and the handle that moves along them.

use super::{Codec, Libdeflate};
use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Creates the codec of a rung.
type Make = fn() -> Result<Box<dyn Codec>>;

/// The rungs by name, from the fastest to the strongest.
///
/// Measured by `benches/codec.rs` on executables, one core, in MB/s and ratio: sirocco 1 runs at 278 and
/// 2.50, libdeflate 1 at 215 and 2.60, libdeflate 4 at 143 and 2.69. So each step costs 30 to 50 % more CPU
/// time and saves 4 % of the bytes. The levels in between (sirocco 2 and 3, libdeflate 2 and 3) save less for
/// their time. Above them, libdeflate 6 saves another 3 % at 105 MB/s, and 9 less than 4 % at 32. ISA-L, with
/// 556 and 2.48, replaces sirocco: twice as fast, 1 % more bytes.
const RUNGS: [(&str, Make); 3] = [
    #[cfg(feature = "isal")]
    ("isal 1", || Ok(Box::new(super::Isal::default()))),
    #[cfg(not(feature = "isal"))]
    ("sirocco 1", || Ok(Box::new(super::Sirocco::new(1)?))),
    ("libdeflate 1", || Ok(Box::new(Libdeflate::new(1)?))),
    ("libdeflate 4", || Ok(Box::new(Libdeflate::new(4)?))),
];

/// The rung at which `auto` compresses. The workers, which read it for every chunk, share this handle with
/// whoever moves it. It starts at the fastest.
#[derive(Clone, Debug, Default)]
pub struct Rung(Arc<AtomicUsize>);

impl Rung {
    /// The number of rungs.
    pub const COUNT: usize = RUNGS.len();

    /// Returns the position, 0 for the fastest.
    pub fn now(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Returns the name of the library and its level.
    pub fn name(&self) -> &'static str {
        RUNGS[self.now()].0
    }

    /// Moves to the next stronger rung. Returns false at the strongest.
    pub fn stronger(&self) -> bool {
        self.0.try_update(Relaxed, Relaxed, |at| (at + 1 < Self::COUNT).then_some(at + 1)).is_ok()
    }

    /// Moves to the next faster rung. Returns false at the fastest.
    pub fn faster(&self) -> bool {
        self.0.try_update(Relaxed, Relaxed, |at| at.checked_sub(1)).is_ok()
    }
}

/// A codec that follows a [`Rung`].
///
/// Only the current rung's codec is kept: creating one costs far less than compressing a chunk, and the
/// tables of all of them, for every worker, would waste memory.
pub struct Ladder {
    rung: Rung,
    current: Option<(usize, Box<dyn Codec>)>,
}

impl Ladder {
    /// Creates a codec that follows `rung`. The rung's codec is created for the first chunk.
    pub fn new(rung: Rung) -> Self {
        Self { rung, current: None }
    }
}

impl Codec for Ladder {
    fn name(&self) -> String {
        self.rung.name().to_owned()
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let now = self.rung.now();
        match &mut self.current {
            Some((at, codec)) if *at == now => codec.gzip(input, room),
            current => {
                // Free the old codec before the next is created.
                *current = None;
                current.insert((now, RUNGS[now].1()?)).1.gzip(input, room)
            }
        }
    }
}

//! The fuzz targets, one file each, and the properties that must hold for every input.
//!
//! The functions do not depend on libFuzzer. The fuzzing binary calls the one that `DISKFERRY_FUZZ` names,
//! and `tests/fuzz_corpus.rs` calls each over the inputs in `fuzz/corpus` and `fuzz/crashes`. An input that
//! violates a property panics; the caller notices one that takes too long or too much memory.

mod agent;
mod codec;
mod config;
mod image;
mod index;
mod input;
mod journal;
mod keys;
mod oauth;
mod replies;
mod signature;
mod unpack;
mod wire;

/// A target, which is called with one input.
pub type Target = fn(&[u8]);

/// The targets by name. Each folder of inputs has its target's name.
pub const TARGETS: [(&str, Target); 12] = [
    ("agent", agent::run),
    ("codec", codec::run),
    ("config", config::run),
    ("image", image::run),
    ("index", index::run),
    ("journal", journal::run),
    ("keys", keys::run),
    ("oauth", oauth::run),
    ("replies", replies::run),
    ("signature", signature::run),
    ("unpack", unpack::run),
    ("wire", wire::run),
];

/// Returns the target of this name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

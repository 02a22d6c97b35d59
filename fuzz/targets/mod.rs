//! What is fuzzed, and what must hold whatever the input: one file a target.
//!
//! The functions know nothing of libFuzzer. The fuzzing binary calls the one that `DISKFERRY_FUZZ` names, and
//! `tests/fuzz_corpus.rs` calls each over the inputs in `fuzz/corpus` and `fuzz/crashes`. An input that
//! breaks a promise panics; one that takes too long or too much memory is for the caller to notice.

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

/// A target: what is done with one input.
pub type Target = fn(&[u8]);

/// The targets by their names, which are those of the folders of inputs.
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

/// The target of a name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

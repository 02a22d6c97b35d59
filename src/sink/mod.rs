//! Where downloaded bytes land: a sparse file under a temporary name, or standard output.

mod file;

pub use file::{PartFile, in_the_way};

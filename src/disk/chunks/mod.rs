//! Disks over a store of chunks (`backup/`): one that reads an index, and one that stores the chunks of an
//! image.

mod cache;
pub mod decode;
mod read;
mod write;

pub use read::IndexDisk;
pub use write::StoreDisk;

#[cfg(test)]
mod tests;

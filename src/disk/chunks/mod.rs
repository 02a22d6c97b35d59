//! Disks over a store of chunks (`backup/`): an index to be read, and the chunks of an image to be put there.

mod cache;
pub mod decode;
mod read;
mod write;

pub use read::IndexDisk;
pub use write::StoreDisk;

#[cfg(test)]
mod tests;

//! The providers' data formats. Parses and prints, and does no I/O.

pub mod elastic;
pub(crate) mod percent;
pub mod spotcloud;

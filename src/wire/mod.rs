//! The providers' data formats: parse and print, no input or output.

pub mod elastic;
pub(crate) mod percent;
pub mod spotcloud;

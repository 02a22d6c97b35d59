//! The providers' data formats. Parses and prints, and does no I/O.

pub mod elastic;
pub mod spotcloud;

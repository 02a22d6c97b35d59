//! diskferry moves whole drive images into, out of and between IaaS clouds whose API takes a drive as many small
//! offset-addressed HTTP requests.

pub mod emulator;
pub mod error;
pub mod provider;
pub mod wire;

pub use error::{Error, Kind, Result};

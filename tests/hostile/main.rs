//! The real binary before servers and archives that are broken, or mean harm: it ends, says why, and stays small.

mod acknowledgements;
mod archives;
mod deadlines;
mod emulator;
mod network;
mod numbers;
mod server;
mod tls;
mod world;

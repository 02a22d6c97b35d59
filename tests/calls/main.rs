//! Every call and every command about drives, servers and remotes, through the real binary and a real socket.

mod commands;
mod machines;
mod market;
mod nouns;
#[path = "../support/pty.rs"]
mod pty;
mod questions;
#[allow(dead_code, reason = "other suites use the rest")]
mod recorder;
mod sent;
#[allow(dead_code, reason = "other suites use the rest")]
mod world;

//! Every call and every command about drives, servers and remotes, through the real binary and a real socket.

mod answered;
mod commands;
mod machines;
mod market;
mod nouns;
#[path = "../support/pty.rs"]
mod pty;
mod questions;
mod recorder;
mod rows;
mod sent;
mod world;

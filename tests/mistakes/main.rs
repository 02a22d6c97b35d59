//! What people type: mistakes and what is said of them, the examples of the help, and completion.

mod completion;
mod examples;
mod messages;
mod readers;
#[path = "../support/skipped.rs"]
mod skipped;
mod world;

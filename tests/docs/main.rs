//! The documentation is true: its commands run, its options and links exist, its messages are those of the program, and
//! each dependency has its reason.
//!
//! A ```` ```sh ```` block of README.md or docs/*.md is run by bash in the [`world`] of its section: emulators behind `oh:`,
//! `cp:`, `cs:`, `spot:` and `sdc:`, and drives with the names that the section uses. Marks behind `sh` change that:
//!
//! - `sh exit=N`: the block has to end with this status.
//! - `sh needs=PROGRAM`: the block runs where PROGRAM is installed, as it has to be in CI.
//! - `sh new-config`: the block starts without a configuration file.
//! - `sh no-run REASON`: the block needs something that cannot be had here. Only the options of its `diskferry` commands are
//!   checked.
//!
//! A page that runs `diskferry serve … &` is one world as a whole, and what it shows on the ports 8700 to 8705 has free ports here.

mod dependencies;
mod links;
mod messages;
mod options;
mod pages;
mod run;
mod units;
mod world;

//! The whole program against servers that nobody here wrote: qemu-nbd, nbdkit, the oVirt image server, Azurite, moto;
//! and what it backs up, read by casync.
//!
//! What arrived is judged by QEMU and byte by byte. Kills come at counted moments, which a gateway between the program and
//! the server sees. A server that is not installed is said on standard error; in CI that is a failure. `FARENDS_MIB=2048 cargo test
//! --release --test farends` takes larger images.

mod azure;
#[path = "../support/azurite.rs"]
mod azurite;
mod backup_kills;
mod backups;
mod bitmaps;
#[path = "../support/casync.rs"]
mod casync;
mod delta;
mod end;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/imageio.rs"]
mod image_server;
mod imageio;
mod images;
mod kills;
mod migrations;
#[path = "../support/moto.rs"]
mod moto;
mod moves;
mod nbd;
#[allow(dead_code, reason = "other suites use the rest")]
#[path = "../support/nbd.rs"]
mod nbd_server;
#[expect(dead_code, reason = "the suite of schedules uses the rest")]
#[path = "../proof/random.rs"]
mod random;
mod remotes;
mod secrets;
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/mod.rs"]
mod support;
#[expect(dead_code, reason = "the transfers' tests use the rest")]
#[path = "../transfers/world.rs"]
mod world;

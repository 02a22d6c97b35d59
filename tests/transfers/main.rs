//! Transfers through the real binary and a real socket: what goes up comes down, whatever happens on the way.

mod appliances;
mod azure;
#[path = "../support/azurite.rs"]
mod azurite;
mod backups;
mod boots;
#[path = "../support/casync.rs"]
mod casync;
#[path = "../support/chromium.rs"]
mod chromium;
mod damage;
mod delta;
mod devices;
mod faults;
mod formats;
mod formats_out;
mod in_use;
mod interruptions;
mod listing;
mod migrations;
mod moves;
mod names;
mod refusals;
mod reports;
mod sets;
#[path = "../support/skipped.rs"]
mod skipped;
mod sources;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod world;

//! What comes from a server and from outside is data, and what is secret stays so: through the real binary, against
//! servers that are hostile and emulators that are not.

mod hidden;
mod hostile;
mod paths;
#[path = "../support/pty.rs"]
mod pty;
mod terminal;
// The same worlds as for the calls; not every test program needs every part of them.
#[allow(dead_code)]
#[path = "../calls/recorder.rs"]
mod recorder;
#[allow(dead_code)]
#[path = "../calls/world.rs"]
mod world;

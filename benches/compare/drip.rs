//! Copies standard input to standard output at a rate: a slow source, or a slow destination.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Options {
    /// Bytes a second, in MB/s
    rate: f64,
}

/// Copies until the end of the input.
pub fn run(options: &Options) -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let mut piece = vec![0; 64 << 10];
    let (start, mut moved) = (Instant::now(), 0_u64);
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return to.flush(),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&piece[..read])?;
        moved += read as u64;
        let due = Duration::from_secs_f64(moved as f64 / (options.rate * 1e6));
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}

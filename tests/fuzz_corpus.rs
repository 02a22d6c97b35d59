//! The fuzz targets over the inputs that are kept: the seeds in `fuzz/corpus`, and in `fuzz/crashes` every
//! input that once broke a promise. Each must end well, in bounded time and memory. How to find more is in
//! `fuzz/README.md`.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The most time that one input may take, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(30);

/// The most memory that this process may ever have held, in KiB.
const MOST: u64 = 256 << 10;

/// Runs a target over its inputs.
fn replay(name: &str) {
    let target = targets::find(name).expect("a target");
    let seeds = inputs("corpus", name);
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    let inputs: Vec<PathBuf> = seeds.into_iter().chain(inputs("crashes", name)).collect();
    let (sender, done) = channel();
    std::thread::spawn(move || {
        for path in inputs {
            let bytes = std::fs::read(&path).expect("an input");
            sender.send((path, false)).expect("somebody waits");
            target(&bytes);
            sender.send((PathBuf::new(), true)).expect("somebody waits");
        }
    });
    let mut running = PathBuf::new();
    loop {
        match done.recv_timeout(LONGEST) {
            Ok((_, true)) => running = PathBuf::new(),
            Ok((path, false)) => running = path,
            Err(RecvTimeoutError::Disconnected) if running.as_os_str().is_empty() => break,
            Err(RecvTimeoutError::Disconnected) => panic!("{} broke a promise", running.display()),
            Err(RecvTimeoutError::Timeout) => panic!("{} takes longer than {LONGEST:?}", running.display()),
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its largest size");
    let most: u64 = most.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(most < MOST, "{name}: the process held {most} KiB");
}

/// The kept inputs of a target, in the order of their names.
fn inputs(kind: &str, name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    all.sort();
    all
}

#[test]
fn agent() {
    replay("agent");
}

#[test]
fn codec() {
    replay("codec");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn image() {
    replay("image");
}

#[test]
fn index() {
    replay("index");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn keys() {
    replay("keys");
}

#[test]
fn oauth() {
    replay("oauth");
}

#[test]
fn replies() {
    replay("replies");
}

#[test]
fn signature() {
    replay("signature");
}

#[test]
fn unpack() {
    replay("unpack");
}

#[test]
fn wire() {
    replay("wire");
}

/// Inputs of a target that has gone would never be looked at again.
#[test]
fn every_input_belongs_to_a_target() {
    for kind in ["corpus", "crashes"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind);
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let name = entry.expect("an entry").file_name();
            assert!(name.to_str().is_some_and(|name| targets::find(name).is_some()), "{kind}/{name:?}");
        }
    }
    assert!(targets::TARGETS.iter().all(|(name, _)| !inputs("corpus", name).is_empty()));
}

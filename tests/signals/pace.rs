//! SIGUSR1 halves the bandwidth limits of a transfer that runs, SIGUSR2 doubles them.

use crate::world::World;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// What an upload says of its limits when it gets these signals, one after the other.
fn said(options: &[&str], signals: &[Signal]) -> Vec<String> {
    let world = World::new("");
    std::fs::write(world.path("image"), vec![7; 16 << 20]).unwrap();
    let args = [&["-v", "upload", "image", "oh:", "--compress", "none"], options].concat();
    let mut child = world.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("upload ")), "the plan is told first");
    let mut heard = Vec::new();
    for signal in signals {
        kill_process(pid, *signal).unwrap();
        heard.extend(lines.by_ref().find(|line| line.contains("limit")));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    heard
}

#[test]
fn a_limit_is_halved_and_doubled() {
    let heard = said(&["--bwlimit", "64k"], &[Signal::USR1, Signal::USR1, Signal::USR2]);
    for (line, limit) in heard.iter().zip(["32.0 KiB/s", "16.0 KiB/s", "32.0 KiB/s"]) {
        assert!(line.contains(limit), "{heard:?}");
    }
    assert_eq!(heard.len(), 3);
}

#[test]
fn each_way_has_its_own_and_none_is_said() {
    let heard = said(&["--bwlimit", "64k:1M"], &[Signal::USR2]);
    assert!(heard[0].contains("128.0 KiB/s up, 2.0 MiB/s down"), "{heard:?}");
    let heard = said(&["--bwlimit", "64k:"], &[Signal::USR1]);
    assert!(heard[0].contains("32.0 KiB/s up, none down"), "{heard:?}");
}

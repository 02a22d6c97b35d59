//! Block devices, which have no modification time.

use crate::support::moment;
use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// A loop device, detached when dropped.
struct Loop(PathBuf);

impl Loop {
    /// `None` where this machine gives no loop devices.
    fn over(image: &Path) -> Option<Self> {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(image).output();
        let path = made
            .ok()
            .filter(|made| made.status.success())
            .map(|made| PathBuf::from(String::from_utf8_lossy(&made.stdout).trim().to_owned()));
        if path.is_none() {
            crate::skipped::skipped("losetup does not work here");
        }
        path.map(Self)
    }

    /// Writes a byte as any program would, which leaves it in the page cache.
    fn write(&self, offset: u64) {
        self.write_all(b"x", offset);
    }

    fn write_all(&self, bytes: &[u8], offset: u64) {
        let device = std::fs::OpenOptions::new().write(true).open(&self.0).unwrap();
        device.write_all_at(bytes, offset).unwrap();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

fn args(device: &Loop) -> Vec<String> {
    [
        "upload",
        device.0.to_str().unwrap(),
        "oh:",
        "--name",
        "disk",
        "--chunk-size",
        "128k",
        "--zeros",
        "write",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn a_device_that_is_written_to_during_the_transfer_is_an_error() {
    let world = World::new("");
    let Some(device) = Loop::over(&world.image("a.img", 16 * MIB)) else { return };
    let args = args(&device);
    let gate = moment::hold(world.emulator(), Stage::Received, Operation::Write, 10);
    let child = world.spawn(&words(&args));
    assert!(gate.wait_for(1, moment::LONG));
    // At a place that was sent already, by somebody who does not sync.
    device.write(0);
    gate.open();
    let ended = Ended::new(child.wait_with_output().unwrap());
    world.emulator().clear_hook();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("the device was written to"), "{}", ended.stderr);
    // What was written before a transfer begins is no change during it.
    device.write(1);
    let again = world.run(&[&words(&args)[..], &["--restart"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn a_device_that_has_changed_between_two_runs_is_not_mixed() {
    let mut world = World::new("");
    let image = world.image("a.img", 16 * MIB);
    let Some(device) = Loop::over(&image) else { return };
    let original = std::fs::read(&image).unwrap()[..64].to_vec();
    let args = args(&device);
    let mut command = world.command(&words(&args));
    let (_, killed) =
        moment::run_until(world.emulator(), &mut command, (Stage::Received, Operation::Write, 21));
    assert!(killed);
    world.restart("");
    // Chunk 0 was sent: it holds another byte now.
    device.write(5);
    let refused = world.run(&words(&args));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("the image changed since the interrupted run: it reads differently at offset 0"),
        "{}",
        refused.stderr
    );
    // The same bytes as at first are the same image, and only what is missing is written.
    device.write_all(&original, 0);
    let resumed = world.run(&[&["--json"], &words(&args)[..]].concat());
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let summary = resumed.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 10, "{summary}");
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&device.0).unwrap());
}

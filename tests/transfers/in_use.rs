//! Drives that a server uses, and devices that this machine uses.

use crate::world::{Ended, World};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// Makes a server that uses a drive; its UUID.
fn server(world: &World, drive: &str) -> String {
    let disk = format!("ide:0:0={drive}");
    let keys = ["name=s", "cpu=1000", "mem=512", "persistent=true", "boot=ide:0:0", &*disk];
    let made = world.run(&[&["server", "create", "oh:"], &keys[..]].concat());
    assert_eq!(made.code, 0, "{}", made.stderr);
    made.stdout.trim_end().to_owned()
}

#[test]
fn an_upload_to_a_drive_in_use_is_refused_at_once_and_names_the_server() {
    let world = World::new("");
    world.image("a.img", MIB);
    let drive = world.upload(&["a.img", "oh:"]);
    let server = server(&world, &drive);
    let target = format!("oh:{drive}");
    let before = world.emulator().log().len();
    let refused = world.run(&["upload", "a.img", &target]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains(&format!("drive {drive} is in use by server {server}")),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains(&format!("`diskferry server stop oh:{server}`")), "{}", refused.stderr);
    assert!(world.emulator().log().len() < before + 5, "it was not tried again and again");
    // Whoever insists is told what the server says to that.
    let insisted = world.run(&["upload", "a.img", &target, "--if-in-use", "ignore", "--retries", "0"]);
    assert!(insisted.code == 3 && insisted.stderr.contains("409 busy"), "{}", insisted.stderr);
    // Reading is warned of, even where nothing else is said.
    let read = world.run(&["-q", "download", &target, "b.img"]);
    assert!(read.code == 0 && read.stderr.contains("may be half old"), "{}", read.stderr);
    let stopped = world.run(&["server", "stop", &format!("oh:{server}")]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    let free = world.run(&["server", "destroy", &format!("oh:{server}")]);
    assert_eq!(free.code, 0, "{}", free.stderr);
    assert_eq!(world.run(&["upload", "a.img", &target]).code, 0);
}

/// A file system in a file, mounted through a loop device until this is dropped.
struct Mounted {
    device: String,
    world: World,
}

impl Mounted {
    /// `None`, and a word about it, where this machine mounts nothing.
    fn new(world: World) -> Option<Self> {
        let image = world.image("fs.img", 8 * MIB);
        std::fs::create_dir(world.path("a place")).unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            let output = Command::new(program).args(args).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let mounted = run("mkfs.ext4", &["-q".as_ref(), image.as_os_str()]).and_then(|_| {
            let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), image.as_os_str()])?;
            let place = world.path("a place");
            if run("mount", &[device.as_ref(), place.as_os_str()]).is_none() {
                run("losetup", &["--detach".as_ref(), device.as_ref()]);
                return None;
            }
            Some(device)
        });
        if mounted.is_none() {
            assert!(std::env::var_os("CI").is_none(), "nothing can be mounted here");
            eprintln!("skipped: nothing can be mounted here");
        }
        mounted.map(|device| Self { device, world })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.world.path("a place")).status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

#[test]
fn a_device_that_is_mounted_for_writing_is_told_of() {
    let Some(mounted) = Mounted::new(World::new("")) else { return };
    let (world, device) = (&mounted.world, &*mounted.device);
    let refused = world.run(&["upload", device, "oh:", "--if-in-use", "refuse"]);
    let says = format!("{device} is in use by a file system mounted for writing at");
    assert!(refused.code == 1 && refused.stderr.contains(&says), "{}", refused.stderr);
    assert!(refused.stderr.contains("/a place: the copy may be half old"), "{}", refused.stderr);
    let warned: Ended = world.run(&["upload", device, "oh:"]);
    assert!(warned.stderr.contains(&says), "{}", warned.stderr);
    let ignored = world.run(&["upload", device, "oh:", "--restart", "--if-in-use", "ignore"]);
    assert!(!ignored.stderr.contains("in use"), "{}", ignored.stderr);
}

//! From every far end to every other, with no disk in between.

use crate::end::{DISK, End, Kind};
use crate::images::{CHUNK, MIB, file_system, same, size};
use crate::kills::{kill_once_ahead, run_to_the_end};
use crate::world::World;
use std::path::{Path, PathBuf};

const SIZE: u64 = 8 * MIB;

/// The far ends, and the drives of `local:`.
const KINDS: [Option<Kind>; 4] =
    [None, Some(Kind::QemuNbdQcow2), Some(Kind::ImageioFile), Some(Kind::Azurite)];

/// A far end as one side of a migration.
struct Side {
    end: Option<End>,
    remote: String,
    disk: String,
}

impl Side {
    /// One that holds `image`, or nothing; `None` where it is not installed.
    fn new(world: &World, kind: Option<Kind>, remote: String, image: Option<&Path>) -> Option<Self> {
        let Some(kind) = kind else {
            let Some(image) = image else {
                return Some(Self { end: None, remote, disk: "local:".to_owned() });
            };
            let up = world.run(&["upload", image.to_str().unwrap(), "local:"]);
            assert_eq!(up.code, 0, "{}", up.stderr);
            return Some(Self { end: None, remote, disk: format!("local:{}", up.stdout.trim_end()) });
        };
        let end = End::start(kind, SIZE, image)?;
        let disk = end.remote(world, &remote);
        Some(Self { end: Some(end), remote, disk })
    }

    /// Where something is written to: a new disk where one can be made.
    fn target(&self) -> (String, Vec<&'static str>) {
        match &self.end {
            None => (self.disk.clone(), Vec::new()),
            Some(end) if end.arguments().is_empty() => (self.disk.clone(), Vec::new()),
            Some(end) => (format!("{}:", self.remote), end.arguments().to_vec()),
        }
    }

    /// Compares what it holds now.
    fn judge(self, world: &World, printed: &str, image: &Path) {
        if let Some(end) = self.end {
            assert_eq!(printed, DISK);
            end.judge(image);
        } else {
            let drive = world.path(".local/share/diskferry/local/drives").join(format!("{printed}.raw"));
            assert!(same(&drive, image));
        }
    }
}

fn image(world: &World, name: &str, seed: u64) -> PathBuf {
    let image = file_system(&world.path(""), name, SIZE);
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &crate::world::noise(seed, 100_000), 5 * MIB + 777)
        .unwrap();
    image
}

/// One source, and all the targets.
fn from(kind: Option<Kind>) {
    let world = World::new("");
    let image = image(&world, "root.img", 1);
    let Some(source) = Side::new(&world, kind, "from".to_owned(), Some(&image)) else { return };
    for (n, kind) in KINDS.into_iter().enumerate() {
        let Some(target) = Side::new(&world, kind, format!("to{n}"), None) else { return };
        let (to, name) = target.target();
        let chunk = CHUNK.to_string();
        let args = ["migrate", &source.disk, &to, "--verify", "full", "--chunk-size", &chunk, "-q"];
        let moved = world.run(&[&args[..], &name].concat());
        assert_eq!(moved.code, 0, "{} to {kind:?}: {}", source.disk, moved.stderr);
        target.judge(&world, moved.stdout.trim_end(), &image);
    }
    assert!(world.journals().is_empty());
    if let Some(end) = source.end {
        end.judge(&image);
    }
}

#[test]
fn a_drive_moves_to_every_far_end() {
    from(None);
}

#[test]
fn an_nbd_export_moves_to_every_far_end() {
    from(Some(Kind::QemuNbdQcow2));
}

#[test]
fn an_imageio_image_moves_to_every_far_end() {
    from(Some(Kind::ImageioFile));
}

#[test]
fn a_blob_moves_to_every_far_end() {
    from(Some(Kind::Azurite));
}

/// Killed in turn by what passes at the source and at the destination.
fn killed_at_both_ends(source: Kind, destination: Kind) {
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let Some(from) = End::start(source, size(), Some(&image)) else { return };
    let Some(to) = End::start(destination, size(), None) else { return };
    let (from_disk, to_disk) = (from.remote(&world, "from"), to.remote(&world, "to"));
    let target = if destination.creates() { "to:" } else { &*to_disk };
    let chunk = CHUNK.to_string();
    let args =
        ["migrate", &from_disk, target, "--chunk-size", &chunk, "--concurrency", "4", "--retries", "20"];
    let args = [&args[..], to.arguments()].concat();
    let limit = format!("{}:", crate::images::data(&image) / 16);
    for n in 0..6 {
        let gateway = if n % 2 == 0 { &from.gateway } else { &to.gateway };
        let limited = [&args[..], &["--bwlimit", &limit]].concat();
        kill_once_ahead(&world, gateway, &limited, destination.is_volatile());
    }
    let last = run_to_the_end(&world, &[&["--json"], &args[..], &["--verify", "full"]].concat());
    let summary = last.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 6, "{summary}");
    to.judge(&image);
    from.judge(&image);
}

#[test]
fn an_export_to_a_blob_killed_at_both_ends_ends_equal() {
    killed_at_both_ends(Kind::Nbdkit, Kind::Azurite);
}

#[test]
fn a_blob_to_an_image_server_killed_at_both_ends_ends_equal() {
    killed_at_both_ends(Kind::Azurite, Kind::ImageioQcow2);
}

//! Runs that are killed ten times, each time after they got somewhere, and the last one that ends.

use crate::end::{End, Kind};
use crate::gateway::Gateway;
use crate::images::{CHUNK, MIB, data, file_system, same, size};
use crate::support::moment::kill;
use crate::world::{Ended, World};
use diskferry::journal::peek;
use rustix::process::Pid;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

const KILLS: u64 = 10;

/// How many chunks the journal below a home promises.
pub fn safe_chunks(home: &Path, only_flushed: bool) -> usize {
    let Ok(mut files) = std::fs::read_dir(home.join(".local/state/diskferry/transfers")) else { return 0 };
    let Some(Ok(file)) = files.next() else { return 0 };
    // One that is being written is read as far as it goes.
    let Ok(replay) = peek(&file.path()) else { return 0 };
    if only_flushed { replay.synced } else { replay.acked.len() }
}

/// Runs a command whose traffic passes a gateway, and kills it once its journal promises more chunks than before, and some
/// more have passed, of which it need not promise anything.
pub fn kill_once_ahead(world: &World, gateway: &Gateway, args: &[&str], only_flushed: bool) {
    let home = world.path("");
    let before = safe_chunks(&home, only_flushed);
    let (victim, killed) = (Arc::new(OnceLock::<Pid>::new()), Arc::new(AtomicBool::new(false)));
    let mut ahead_at = None;
    gateway.set_hook({
        let (victim, killed) = (Arc::clone(&victim), Arc::clone(&killed));
        move |passed| {
            let all = passed.up + passed.down;
            if ahead_at.is_none() && safe_chunks(&home, only_flushed) > before {
                ahead_at = Some(all);
            }
            let now = ahead_at.is_some_and(|ahead_at| all >= ahead_at + 4 * CHUNK);
            if now {
                kill(*victim.wait());
                killed.store(true, Ordering::SeqCst);
            }
            now
        }
    });
    let mut command = world.command(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    victim.set(Pid::from_child(&child)).unwrap();
    let output = child.wait_with_output().unwrap();
    gateway.clear_hook();
    assert!(killed.load(Ordering::SeqCst), "it ended before it was killed: {:?}", Ended::new(output));
    assert!(safe_chunks(&world.path(""), only_flushed) > before);
}

/// Kills `args` again and again, and then lets the same command end, which must not move what was promised. Returns its
/// summary.
fn killed_again_and_again(
    world: &World,
    gateway: &Gateway,
    args: &[&str],
    limit: &str,
    only_flushed: bool,
) -> serde_json::Value {
    for _ in 0..KILLS {
        kill_once_ahead(world, gateway, &[args, &["--bwlimit", limit]].concat(), only_flushed);
    }
    let promised = safe_chunks(&world.path(""), only_flushed) as u64;
    assert!(promised >= KILLS);
    gateway.reset();
    let last = world.run(&[&["--json"], args].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    let summary = last.event("summary");
    let resumed = summary["chunks_resumed"].as_u64().unwrap();
    // What a file has beyond that may be whole as well, and is looked at.
    let as_promised = if args[0] == "download" { resumed >= promised } else { resumed == promised };
    assert!(as_promised, "{promised} chunks were promised: {summary}");
    assert!(world.journals().is_empty());
    summary
}

/// The bytes that pass in a second, so that a run takes so many seconds.
fn limit(image: &Path, seconds: u64) -> u64 {
    data(image) / seconds
}

fn up(kind: Kind) {
    let Some(end) = End::start(kind, size(), None) else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let disk = end.remote(&world, "far");
    let to = if kind.creates() { "far:" } else { &*disk };
    let chunk = CHUNK.to_string();
    let args = ["upload", "root.img", to, "--chunk-size", &chunk, "--retries", "20", "--concurrency", "4"];
    let args = [&args[..], end.arguments()].concat();
    // The first flush comes after a second.
    let limit = format!("{}:", limit(&image, 24));
    let summary = killed_again_and_again(&world, &end.gateway, &args, &limit, kind.is_volatile());
    let sent = summary["chunks_sent"].as_u64().unwrap() * CHUNK;
    let passed = end.gateway.passed();
    // What failed was sent again.
    let again = summary["retries"].as_u64().unwrap() * CHUNK;
    assert!(passed.up < sent + again + MIB, "{passed:?} where {sent} were missing");
    end.judge(&image);
}

fn down(kind: Kind) {
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let Some(end) = End::start(kind, size(), Some(&image)) else { return };
    let disk = end.remote(&world, "far");
    let chunk = CHUNK.to_string();
    let args =
        ["download", &disk, "back.img", "--chunk-size", &chunk, "--retries", "20", "--concurrency", "4"];
    // The file is synced first after half a second.
    let limit = format!(":{}", limit(&image, 12));
    killed_again_and_again(&world, &end.gateway, &args, &limit, true);
    assert!(same(&image, &world.path("back.img")));
}

/// Both ways at a time: most of it is waiting.
fn both_ways(kind: Kind) {
    std::thread::scope(|scope| {
        scope.spawn(|| up(kind));
        scope.spawn(|| down(kind));
    });
}

#[test]
fn qemu_nbd_over_a_raw_image_killed_ten_times_each_way() {
    both_ways(Kind::QemuNbdRaw);
}

#[test]
fn qemu_nbd_over_a_qcow2_image_killed_ten_times_each_way() {
    both_ways(Kind::QemuNbdQcow2);
}

#[test]
fn nbdkit_with_errors_and_delays_killed_ten_times_each_way() {
    both_ways(Kind::Nbdkit);
}

#[test]
fn imageio_over_a_file_killed_ten_times_each_way() {
    both_ways(Kind::ImageioFile);
}

#[test]
fn imageio_over_qemu_nbd_killed_ten_times_each_way() {
    both_ways(Kind::ImageioQcow2);
}

#[test]
fn azurite_killed_ten_times_each_way() {
    both_ways(Kind::Azurite);
}

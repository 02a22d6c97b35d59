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
use std::sync::{Arc, Mutex};

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
    let (victim, killed) = (Arc::new(Mutex::new(None::<Pid>)), Arc::new(AtomicBool::new(false)));
    let mut ahead_at = None;
    gateway.set_hook({
        let (victim, killed) = (Arc::clone(&victim), Arc::clone(&killed));
        move |passed| {
            let all = passed.up + passed.down;
            if ahead_at.is_none() && safe_chunks(&home, only_flushed) > before {
                ahead_at = Some(all);
            }
            let now = ahead_at.is_some_and(|ahead_at| all >= ahead_at + 3 * CHUNK);
            match *victim.lock().unwrap() {
                Some(pid) if now => {
                    kill(pid);
                    killed.store(true, Ordering::SeqCst);
                    true
                }
                _ => false,
            }
        }
    });
    loop {
        let mut command = world.command(args);
        let child = {
            // What passes before its id is known waits for that.
            let mut victim = victim.lock().unwrap();
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            *victim = Some(Pid::from_child(&child));
            child
        };
        let ended = Ended::new(child.wait_with_output().unwrap());
        *victim.lock().unwrap() = None;
        if killed.load(Ordering::SeqCst) {
            break;
        }
        assert!(met_a_straggler(&ended), "it ended before it was killed: {ended:?}");
    }
    gateway.clear_hook();
    assert!(safe_chunks(&world.path(""), only_flushed) > before);
}

/// Whether a run has found that what a killed one had on its way has arrived in the meantime, where a server tells of writes:
/// the same command is to be run again.
fn met_a_straggler(ended: &Ended) -> bool {
    let said = [&*ended.stdout, &*ended.stderr].concat();
    ended.code == 3 && (said.contains("changed by somebody else") || said.contains("written to by others"))
}

/// Runs a command to its end.
pub fn run_to_the_end(world: &World, args: &[&str]) -> Ended {
    loop {
        let ended = world.run(args);
        if !met_a_straggler(&ended) {
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            return ended;
        }
    }
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
    let last = run_to_the_end(world, &[&["--json"], args].concat());
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
    let limit = format!("{}:", limit(&image, 20));
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

/// All at a time: most of it is waiting.
#[test]
fn every_far_end_killed_ten_times_each_way() {
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            for (way, killed) in [("up", up as fn(Kind)), ("down", down)] {
                let thread = std::thread::Builder::new().name(format!("{kind:?}, {way}"));
                thread.spawn_scoped(scope, move || killed(kind)).unwrap();
            }
        }
    });
}

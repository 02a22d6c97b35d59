//! Plays random schedules through the real binary, and checks invariants after every step.
//!
//! A seed determines a schedule: a world (provider, image, options, faults) and some steps (runs that are
//! killed, interrupted or short of disk space, other clients, changed sources, outages, damaged journals).
//! `PROOF_SEEDS=N` plays N seeds (200 by default), `PROOF_FIRST=S` starts at seed S, and `PROOF_SEED=S` plays
//! only seed S and prints what happens. A seed that fails prints its steps and how to play it again. `cases`
//! holds named schedules that were found or thought of.

mod cases;
mod draw;
mod foreign;
mod invariants;
mod model;
mod play;
mod preload;
mod process;
mod random;
mod schedule;
mod trap;
mod world;

use invariants::Violation;
use schedule::Schedule;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of seeds to play without `PROOF_SEEDS`.
const SEEDS: u64 = 200;

/// The number of seeds played at the same time.
const THREADS: usize = 2;

/// A seed that takes longer than this is named.
const SLOW: Duration = Duration::from_secs(10);

/// The number of failed seeds that are printed in full; of the others only the cause is.
const TOLD: usize = 10;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Plays a schedule. A world that cannot be built counts as a violation too, so that its seed is printed.
fn try_play(schedule: &Schedule) -> (Vec<String>, Result<(), Violation>) {
    catch_unwind(AssertUnwindSafe(|| play::play(schedule))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (Vec::new(), Err(Violation::new("the harness failed", text.unwrap_or_default())))
    })
}

fn describe(schedule: &Schedule, told: &[String], violation: &Violation) -> String {
    format!(
        "{schedule}  what happened:\n    {}\n  {}: {}\n",
        told.join("\n    "),
        violation.cause,
        violation.detail
    )
}

#[test]
fn seeds() {
    if let Some(seed) = number("PROOF_SEED") {
        let schedule = draw::draw(seed);
        println!("{schedule}");
        let (told, held) = try_play(&schedule);
        println!("    {}", told.join("\n    "));
        if let Err(violation) = held {
            panic!("{}: {}", violation.cause, violation.detail);
        }
        return;
    }
    let first = number("PROOF_FIRST").unwrap_or(0);
    let end = first + number("PROOF_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(first), Mutex::new(BTreeMap::new()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let schedule = draw::draw(seed);
                    let began = Instant::now();
                    let (told, held) = try_play(&schedule);
                    let took = began.elapsed();
                    if took > SLOW {
                        println!("seed {seed} took {:.1} s", took.as_secs_f64());
                    }
                    if let Err(violation) = held {
                        println!("seed {seed} fails: {}", violation.cause);
                        let text = describe(&schedule, &told, &violation);
                        failed.lock().unwrap().insert(seed, (violation.cause, text));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let took = start.elapsed().as_secs_f64();
    println!("{} seeds in {took:.1} s, {} failed", end - first, failed.len());
    let mut causes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (seed, (cause, _)) in &failed {
        causes.entry(cause).or_default().push(*seed);
    }
    for (cause, seeds) in &causes {
        println!("{:4} {cause}: {seeds:?}", seeds.len());
    }
    for (seed, (_, text)) in failed.iter().take(TOLD) {
        println!(
            "\n{text}  play it again: PROOF_SEED={seed} cargo test --release --test proof seeds -- --nocapture"
        );
    }
    assert!(failed.is_empty(), "{} of {} seeds failed", failed.len(), end - first);
}

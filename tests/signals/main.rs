//! Signals at many moments over all commands: one ends a command within seconds, a second at once.
//!
//! A moment is a number of requests that the far end has seen, or something that the command has said; nothing is slept
//! for. `SIGNAL_TRIES=300 cargo test --release --test signals -- --nocapture` tries so many in all and prints how long the
//! commands took.

mod commands;
mod hung;
mod pace;
mod process;
#[allow(dead_code, reason = "nothing that may be missing is needed here")]
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/mod.rs"]
mod support;
#[expect(dead_code, reason = "the transfers' tests use the rest")]
#[path = "../transfers/world.rs"]
mod world;

use commands::{COMMANDS, Case};
use process::{Signal, Spent};
use std::time::Duration;

/// One signal: the contract says 3 s; the rest is for a machine that is busy with other things.
const ONCE: Duration = Duration::from_secs(5);

/// A second signal: the contract says 0.2 s.
const TWICE: Duration = Duration::from_secs(2);

/// How often each command is tried, once and twice signalled.
fn tries() -> u64 {
    let all: Option<u64> = std::env::var("SIGNAL_TRIES").ok().and_then(|text| text.parse().ok());
    all.map_or(2, |all| all.div_ceil(2 * COMMANDS.len() as u64))
}

/// Requests from the start until the signal: the first ones one by one, then later and later.
fn moment(n: u64) -> usize {
    usize::try_from(1 + n + n * n / 4).unwrap()
}

fn report(name: &str, spent: &mut [Spent]) {
    spent.sort_by_key(|spent| spent.time);
    if std::env::var_os("SIGNAL_TRIES").is_none() {
        return;
    }
    let at = |share: usize| spent[(spent.len() - 1) * share / 100].time.as_millis();
    let slowest = spent.last().map_or("", |spent| spent.command);
    println!(
        "{name}: {} tries, median {} ms, 90 % {} ms, most {} ms ({slowest})",
        spent.len(),
        at(50),
        at(90),
        at(100)
    );
}

#[test]
fn one_signal_ends_any_command() {
    let mut spent = Vec::new();
    for command in COMMANDS {
        let case = Case::new(command);
        for n in 0..tries() {
            let signal = if n % 2 == 0 { Signal::Int } else { Signal::Term };
            let ended = case.signalled(moment(n), signal, ONCE);
            let done = ended.code == command.status || ended.finished_before;
            assert!(done, "{}, {n}: {} {}", command.name, ended.code, ended.stderr);
            spent.push(ended.spent);
        }
    }
    report("once", &mut spent);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut spent = Vec::new();
    for command in COMMANDS {
        let case = Case::new(command);
        for n in 0..tries() {
            let ended = case.signalled_until_it_ends(moment(n), TWICE);
            spent.push(ended.spent);
        }
    }
    report("twice", &mut spent);
}

/// Writes that fail for good at the target end the migration of a slow stream: who feeds it is not waited for.
#[test]
fn a_dead_target_ends_the_migration_of_a_slow_stream() {
    let case = Case::new(&commands::DEAD_TARGET);
    let ended = case.unsignalled(Duration::from_secs(20));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("chunks in a row failed"), "{}", ended.stderr);
}

//! Exact moments for kills and signals: counted requests, not times.

use diskferry::emulator::{Emulator, Gate, Next, Operation, Seen, Stage};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Far longer than anything takes on the slowest machine: what has not happened by then never will.
pub const LONG: Duration = Duration::from_mins(5);

/// Runs a command and kills it with SIGKILL when the n-th request (from 1) of an operation reaches a stage.
/// The process is dead before that request advances.
///
/// Returns the output of the command, and whether it was killed; if not, it ended by itself before that
/// moment.
pub fn run_until(
    emulator: &Emulator,
    command: &mut Command,
    (stage, operation, nth): (Stage, Operation, u64),
) -> (Output, bool) {
    let victim = Arc::new(OnceLock::<Pid>::new());
    let killed = Arc::new(AtomicBool::new(false));
    emulator.set_hook({
        let (victim, killed) = (Arc::clone(&victim), Arc::clone(&killed));
        move |seen: &Seen| {
            let now = seen.stage == stage && seen.operation == operation && seen.nth >= nth;
            if now && !killed.swap(true, Ordering::SeqCst) {
                // The request may come before `spawn` returns.
                kill(*victim.wait());
            }
            Next::Proceed
        }
    });
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    victim.set(pid(&child)).unwrap();
    let output = child.wait_with_output().unwrap();
    emulator.clear_hook();
    (output, killed.load(Ordering::SeqCst))
}

/// Kills a process and waits until it is dead. Its parent still has to reap it.
pub fn kill(pid: Pid) {
    // A process that has ended but was not reaped accepts the signal.
    kill_process(pid, Signal::KILL).unwrap();
    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        // Its parent, another thread of this process, may have reaped it already.
        Ok(_) | Err(rustix::io::Errno::CHILD) => {}
        Err(error) => panic!("waiting for the killed process: {error}"),
    }
}

/// Sends a signal to a child whose requests are held, waits until it says that it stops, and opens the gate.
/// The held requests are in flight while the child stops, and are then settled. Returns the child's output.
pub fn stop_while_held(mut child: Child, signal: Signal, gate: &Gate) -> Output {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    kill_process(pid(&child), signal).unwrap();
    let mut said = String::new();
    while !said.contains("stopping") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "the signal was not noticed: {said}");
    }
    gate.open();
    stderr.read_to_string(&mut said).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stderr = said.into_bytes();
    output
}

/// Waits for something that always happens, if slowly.
pub fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !there() {
        assert!(Instant::now() < end, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Holds requests of an operation at a stage, after letting `free` of them pass.
pub fn hold(emulator: &Emulator, stage: Stage, operation: Operation, free: u64) -> Gate {
    let gate = Gate::new();
    let held = gate.clone();
    emulator.set_hook(move |seen| {
        let here = seen.stage == stage && seen.operation == operation && seen.nth > free;
        if here { Next::Wait(held.clone()) } else { Next::Proceed }
    });
    gate
}

//! A process that can be started, paused, signalled, and waited for within a bound, along with its peak
//! memory.

#![allow(unsafe_code, reason = "wait4 alone tells the peak memory of one process")]

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The process while it lives: a signal can never reach another process that took over its id.
#[derive(Clone, Debug, Default)]
pub struct Target(Arc<Mutex<Option<Pid>>>);

impl Target {
    /// Sends a signal, if the process has not ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.lock() {
            let _ = kill_process(pid, signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change in the state of a process.
#[derive(Debug)]
pub enum Event {
    /// It was stopped by SIGSTOP.
    Paused,
    /// It has ended.
    Ended(Ended),
    /// Neither happened within the bound, and it was killed.
    Hung,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` after a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Peak resident memory, in KiB.
    pub peak: u64,
    pub at: Instant,
}

impl Ended {
    /// Returns how the process ended, and its lines with errors or hints, on one line.
    pub fn brief(&self) -> String {
        let how = match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        let lines: Vec<&str> =
            self.stderr.lines().filter(|line| line.contains("error") || line.contains("hint")).collect();
        format!("{how} {}", lines.join(" | "))
    }
}

/// A running process.
pub struct Running {
    target: Target,
    events: Receiver<Event>,
}

impl Running {
    /// Starts a command whose output goes to files with this stem. `target` refers to the process before the
    /// process can do anything visible.
    pub fn start(mut command: Command, stem: &Path, target: &Target) -> Self {
        let (out, err) = (stem.with_extension("out"), stem.with_extension("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let pid = {
            let mut slot = target.lock();
            #[expect(clippy::zombie_processes, reason = "the thread below waits for it, by its number")]
            let child = command.spawn().expect("the binary can be started");
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            *slot = Some(pid);
            pid
        };
        let (sender, events) = channel();
        let waited = target.clone();
        std::thread::spawn(move || {
            loop {
                let event = wait(pid, &waited, &out, &err);
                let last = matches!(event, Event::Ended(_));
                if sender.send(event).is_err() || last {
                    return;
                }
            }
        });
        Running { target: target.clone(), events }
    }

    /// Waits for the next event, and kills the process if none comes within `bound`.
    pub fn next(&self, bound: Duration) -> Event {
        match self.events.recv_timeout(bound) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => {
                self.target.signal(Signal::KILL);
                let _ = self.events.recv();
                Event::Hung
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the waiting thread has died"),
        }
    }

    /// Resumes a paused process.
    pub fn resume(&self) {
        self.target.signal(Signal::CONT);
    }
}

impl Drop for Running {
    /// A run that is abandoned while it is paused would stay forever.
    fn drop(&mut self) {
        self.target.signal(Signal::KILL);
    }
}

fn wait(pid: Pid, target: &Target, out: &PathBuf, err: &PathBuf) -> Event {
    // Wait without reaping first, so that the process id stays taken while a signal may be under way.
    let both = WaitIdOptions::EXITED | WaitIdOptions::STOPPED;
    loop {
        let seen = waitid(WaitId::Pid(pid), both | WaitIdOptions::NOWAIT);
        match seen {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some(status)) if status.stopped() => {
                // It may have been continued or killed meanwhile; the next iteration sees that.
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
                return Event::Paused;
            }
            _ => break,
        }
    }
    let mut slot = target.lock();
    let at = Instant::now();
    let mut status = 0;
    // SAFETY: both pointers are to locals of the right types, and rusage is plain numbers.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage), usage)
    };
    *slot = None;
    assert!(reaped > 0, "a process of this test cannot be waited for");
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    Event::Ended(Ended {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        stdout: text(out),
        stderr: text(err),
        peak: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        at,
    })
}

/// Returns the peak memory of this process, in KiB. A child's peak starts at this value, since the child
/// starts as a copy.
pub fn own_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Returns how many times longer things may take than on an idle machine.
pub fn patience() -> u32 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split_whitespace().next().and_then(|one| one.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let factor = (load / cores as f64).ceil().clamp(1.0, 4.0) as u32;
    factor
}

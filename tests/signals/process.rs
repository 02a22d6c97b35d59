//! A child that is signalled and watched.

use rustix::process::{Pid, kill_process};
use std::io::Read;
use std::process::{Child, ChildStderr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Clone, Copy)]
pub enum Signal {
    Int,
    Term,
}

/// How long a command took to end.
pub struct Spent {
    pub command: &'static str,
    pub time: Duration,
}

/// A child that has ended.
pub struct Ended {
    pub code: i32,
    pub stderr: String,
    /// It had ended before the signal came.
    pub finished_before: bool,
    pub spent: Spent,
}

/// A running command; what it says is collected, so that it never waits for a reader of its errors.
pub struct Running {
    command: &'static str,
    child: Child,
    stderr: JoinHandle<String>,
}

impl Running {
    pub fn new(command: &'static str, mut child: Child) -> Self {
        let stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || read(stderr));
        Self { command, child, stderr }
    }

    /// Waits for something that must come soon; false if the command has ended instead.
    pub fn wait_until(&mut self, mut come: impl FnMut(&mut Child) -> bool) -> bool {
        let start = Instant::now();
        while !self.listens() || !come(&mut self.child) {
            if self.has_ended() {
                return false;
            }
            if start.elapsed() > Duration::from_mins(1) {
                let _ = self.child.kill();
                panic!("{}: the moment never came", self.command);
            }
            std::thread::sleep(LOOK);
        }
        !self.has_ended()
    }

    /// Whether the process catches signals: from its first instructions on, and before these any signal just kills it.
    pub fn listens(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        caught & (1 << (rustix::process::Signal::TERM.as_raw() - 1)) != 0
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Int => rustix::process::Signal::INT,
            Signal::Term => rustix::process::Signal::TERM,
        };
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // A child that has ended is not reaped yet, so this always finds it.
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, from `start` on for `bound` at most; doing something again and again meanwhile.
    pub fn end(
        mut self,
        start: Instant,
        bound: Duration,
        finished_before: bool,
        mut meanwhile: impl FnMut(&Self),
    ) -> Ended {
        while !self.has_ended() {
            if start.elapsed() > bound {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let said = self.stderr.join().unwrap();
                panic!("{} has not ended after {bound:?}: {said}", self.command);
            }
            meanwhile(&self);
            std::thread::sleep(LOOK);
        }
        let spent = Spent { command: self.command, time: start.elapsed() };
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ended { code, stderr: self.stderr.join().unwrap(), finished_before, spent }
    }
}

fn read(mut stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = stderr.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

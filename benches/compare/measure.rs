//! Runs a command and writes down what it took, as GNU time does, but in microseconds.

#![allow(unsafe_code)] // The standard library cannot ask for the resources of one child.

use std::io;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Options {
    /// Where to write "WALL USER SYSTEM PEAK STATUS": seconds, KiB, exit status
    result: PathBuf,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<std::ffi::OsString>,
}

/// Runs the command and returns its exit status.
///
/// User and system time are of the command and of everything it waited for. The peak is that of the largest
/// process among these, not their sum.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let start = Instant::now();
    let child = Command::new(&options.command[0]).args(&options.command[1..]).spawn()?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let id = i32::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: both pointers are valid for writing for the length of the call, and nothing else waits for this
    // child.
    if unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) } != id {
        return Err(io::Error::last_os_error());
    }
    let wall = start.elapsed().as_secs_f64();
    // SAFETY: all zeros is a valid `rusage`, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    // As a shell reports it: 128 and the signal's number for a command that a signal ended.
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    let (user, system) = (seconds(usage.ru_utime), seconds(usage.ru_stime));
    std::fs::write(&options.result, format!("{wall:.6} {user:.6} {system:.6} {} {code}\n", usage.ru_maxrss))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

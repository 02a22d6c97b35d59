//! Sets of several disks in one command.
//!
//! [`run`] runs a few members at a time, which share one [`Window`];
//! [`Context::member`](crate::engine::Context::member) gives each its own counters. A member that fails does
//! not stop the others, and [`verdict`] determines the result of the set. The members' keys alone determine
//! which [`Shard`] a member belongs to. [`SetNotes`] record which members are done, until the whole set is.

mod notes;
mod shard;
#[cfg(test)]
mod tests;

pub use notes::{SetDirectory, SetNotes};
pub use shard::Shard;

use super::download::{FileForm, file_name};
use crate::disk::Window;
use crate::error::{Error, Kind, Result};
use crate::stop::{Stop, stopped};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most members that run at a time. With four, drives of a few chunks hide each other's round trips, and
/// each has room for enough chunks to fill a connection.
pub const MOST_AT_ONCE: usize = 4;

/// The number of chunks that a member needs room for: one that is read while another is written.
const CHUNKS_EACH: u64 = 2;

/// The interval at which to decide whether to start another member.
const DECIDE: Duration = Duration::from_millis(50);

/// The number of consecutive decisions that must find room before another member starts. There is always some
/// room between the end of one member and the first chunk of the next.
const ROOMY: u32 = 2;

/// A disk in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user, or `local`.
    pub account: String,
    /// The id of the disk in requests.
    pub disk: String,
    /// The name of the disk; empty if it is unknown.
    pub name: String,
}

impl Member {
    /// Returns the key that identifies the member on every machine: the UUID alone if the disk has one,
    /// because it does not depend on the name or address of the remote, otherwise the account and the disk.
    pub fn key(&self) -> String {
        match uuid::Uuid::parse_str(&self.disk) {
            Ok(uuid) => uuid.to_string(),
            Err(_) => format!("{}\0{}", self.account, self.disk),
        }
    }

    /// Returns the member in the notation of the command line.
    pub fn shown(&self) -> String {
        format!("{}:{}", self.remote, self.disk)
    }
}

/// Limits how many members run at a time.
#[derive(Clone, Debug)]
pub struct AtOnce {
    window: Window,
    chunk_size: u64,
}

impl AtOnce {
    /// Creates a limit for members that share `window`, with chunks of `chunk_size` bytes.
    pub fn new(window: &Window, chunk_size: u64) -> Self {
        Self { window: window.clone(), chunk_size }
    }

    /// Returns the largest number of members for which each has enough room for its chunks.
    pub fn most(&self) -> usize {
        let each = self.chunk_size.saturating_mul(CHUNKS_EACH).max(1);
        let fit = usize::try_from(self.window.capacity() / each).unwrap_or(usize::MAX);
        fit.clamp(1, MOST_AT_ONCE)
    }

    /// Returns whether the running members leave room for another. If they fill the window, bandwidth is the
    /// limit, and another member would only slow down each of them.
    fn has_room(&self) -> bool {
        self.window.has_room(self.chunk_size.saturating_mul(CHUNKS_EACH))
    }
}

/// Runs all members, a few at a time, and returns their results in the order of `members`. `begin` starts
/// one.
///
/// Once a stop is requested, no further member starts. Those that did not start end with
/// [`Kind::Interrupted`].
pub async fn run<'m, 'f, M, T>(
    members: &'m [M],
    at_once: &AtOnce,
    stop: &Stop,
    mut begin: impl FnMut(&'m M) -> LocalBoxFuture<'f, Result<T>>,
) -> Vec<Result<T>> {
    let mut ended: Vec<Option<Result<T>>> = members.iter().map(|_| None).collect();
    let mut waiting = members.iter().enumerate();
    let mut running = FuturesUnordered::new();
    let (most, mut level, mut roomy) = (at_once.most(), 1, 0);
    let mut decide = tokio::time::interval_at(tokio::time::Instant::now() + DECIDE, DECIDE);
    decide.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        while running.len() < level
            && !stop.is_asked()
            && let Some((place, member)) = waiting.next()
        {
            let work = begin(member);
            running.push(async move { (place, work.await) });
        }
        tokio::select! {
            next = running.next() => match next {
                Some((place, result)) => ended[place] = Some(result),
                None => break,
            },
            _ = decide.tick() => {
                roomy = if at_once.has_room() { roomy + 1 } else { 0 };
                level = match roomy {
                    0 => level - 1,
                    ROOMY.. => level + 1,
                    _ => level,
                }
                .clamp(1, most);
            }
        }
    }
    ended.into_iter().map(|ended| ended.unwrap_or_else(|| Err(stopped()))).collect()
}

/// Returns the error of the command, or `None` if all members are done.
///
/// - Stopped: [`Kind::Interrupted`].
/// - Something was done, or begun and can be resumed: [`Kind::Incomplete`], whatever the other errors are.
/// - Nothing was done: [`Kind::Auth`] if every member failed with it, otherwise an error with exit status 1.
///
/// `done` is the participle for messages, as in `downloaded`, and `noun` is what the members are, as in
/// `drive`.
pub fn verdict<T>(ended: &[Result<T>], stop: &Stop, done: &str, noun: &str) -> Option<Error> {
    let (total, failed) = (ended.len(), ended.iter().filter_map(|ended| ended.as_ref().err()).count());
    if failed == 0 {
        return None;
    }
    let kinds: Vec<Kind> = ended.iter().filter_map(|ended| Some(ended.as_ref().err()?.kind())).collect();
    let s = if total == 1 { "" } else { "s" };
    let text = match total - failed {
        0 => format!("none of {total} {noun}{s} {done}"),
        _ => format!("{failed} of {total} {noun}{s} not {done}"),
    };
    if stop.is_asked() {
        return Some(Error::new(Kind::Interrupted, format!("stopped: {text}")));
    }
    let begun = |kind: &Kind| matches!(kind, Kind::Incomplete | Kind::Differ | Kind::Interrupted);
    if failed < total || kinds.iter().any(begun) {
        return Some(
            Error::new(Kind::Incomplete, text)
                .hint("run the same command again: it does what is left, and repeats nothing"),
        );
    }
    let first = kinds.first().copied().unwrap_or(Kind::Io);
    let kind = match first {
        Kind::Auth if kinds.iter().all(|kind| *kind == Kind::Auth) => Kind::Auth,
        kind if kind.exit_code() == 1 => kind,
        _ => Kind::Io,
    };
    Some(Error::new(kind, text))
}

/// Returns the paths to which members are downloaded in `directory`.
///
/// This is the directory itself if the name of a member is unique: the download then chooses the file name.
/// If several members have the same name, it is a file name with the UUID in it.
pub fn files(directory: &Path, members: &[Member], form: FileForm) -> Vec<PathBuf> {
    let own = |member: &Member| file_name(&member.name, &member.disk);
    let mut named: HashMap<String, usize> = HashMap::new();
    // A file system may ignore case.
    for member in members {
        *named.entry(own(member).to_lowercase()).or_default() += 1;
    }
    members
        .iter()
        .map(|member| {
            let name = own(member);
            if named.get(&name.to_lowercase()).is_some_and(|times| *times > 1) {
                let instead = format!("disk-{}", member.disk);
                let unique = file_name(&format!("{name}-{}", member.disk), &instead);
                directory.join(form.file_name(unique))
            } else {
                directory.to_owned()
            }
        })
        .collect()
}

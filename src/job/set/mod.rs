//! Sets: several disks in one command.
//!
//! [`run`] has a few members run at a time, in one [`Window`]; [`Context::member`](crate::engine::Context::member) gives each its
//! counters.
//! A member that fails does not stop the rest, and [`verdict`] says how the set ended. What each [`Shard`] has of a set follows
//! from the members' names alone. [`SetNotes`] say, until the whole set is done, which members are.

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

/// The most members that run at a time: with four, drives of a few chunks hide each other's round trips, and each has room for
/// enough chunks to fill a line.
pub const MOST_AT_ONCE: usize = 4;

/// Chunks that a member needs room for: one that is read while one is written.
const CHUNKS_EACH: u64 = 2;

/// How often it is decided whether another member is begun beside those that run.
const DECIDE: Duration = Duration::from_millis(50);

/// How often in a row there has to be room for that: between the end of one member and the first chunk of the next there is
/// always some.
const ROOMY: u32 = 2;

/// A disk that is one of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The remote's name.
    pub remote: String,
    /// Its address and user, or `local`.
    pub account: String,
    /// What the disk is asked for by.
    pub disk: String,
    /// What people call it; empty if that is not known.
    pub name: String,
}

impl Member {
    /// What tells the member from every other, wherever the command runs: the UUID alone where the disk has one, since that is
    /// the same under whatever name or address its remote goes; else the account and the disk.
    pub fn key(&self) -> String {
        match uuid::Uuid::parse_str(&self.disk) {
            Ok(uuid) => uuid.to_string(),
            Err(_) => format!("{}\0{}", self.account, self.disk),
        }
    }

    /// The member as the command line names it.
    pub fn shown(&self) -> String {
        format!("{}:{}", self.remote, self.disk)
    }
}

/// How many members may run at a time.
#[derive(Clone, Debug)]
pub struct AtOnce {
    window: Window,
    chunk_size: u64,
}

impl AtOnce {
    /// As many as have room in `window`, where chunks have `chunk_size` bytes.
    pub fn new(window: &Window, chunk_size: u64) -> Self {
        Self { window: window.clone(), chunk_size }
    }

    /// The most there can be: none has less room than its chunks need.
    pub fn most(&self) -> usize {
        let each = self.chunk_size.saturating_mul(CHUNKS_EACH).max(1);
        let fit = usize::try_from(self.window.capacity() / each).unwrap_or(usize::MAX);
        fit.clamp(1, MOST_AT_ONCE)
    }

    /// Whether those that run leave room for another. Where they fill the window, bytes are the limit, and another would only
    /// make each of them slower.
    fn has_room(&self) -> bool {
        self.window.has_room(self.chunk_size.saturating_mul(CHUNKS_EACH))
    }
}

/// Runs all members, a few at a time, and returns how each ended, in their order. `begin` starts one. Once a stop is asked for
/// none is begun any more, and those that were not have ended with [`Kind::Interrupted`].
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

/// How a set ended: nothing if all of it is done, else the error of the command.
///
/// - stopped: [`Kind::Interrupted`];
/// - something was done, or begun and can be resumed: [`Kind::Incomplete`], whatever the others failed of;
/// - nothing was done at all: [`Kind::Auth`] if every member was refused for that, else an error that ends with status 1.
///
/// `done` is the word for it, as in `downloaded`; `noun` what the members are, as in `drive`.
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

/// The files that members are downloaded to in `directory`: it alone where the download finds the name, and a name with the UUID
/// in it where several members have the same.
pub fn files(directory: &Path, members: &[Member], form: FileForm) -> Vec<PathBuf> {
    let own = |member: &Member| file_name(&member.name, &member.disk);
    let mut named: HashMap<String, usize> = HashMap::new();
    // A file system need not tell letters by their case.
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

//! Which backups stay, and which chunks go.

use super::name::{SnapshotId, When};
use super::store::BackupStore;
use crate::error::Result;
use std::time::Duration;

/// Which backups of each name stay: those that any of the rules keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// The last so many.
    pub last: u32,
    /// The last one of each of the last so many hours that have one; so on for the others.
    pub hourly: u32,
    /// By days, in UTC.
    pub daily: u32,
    /// By weeks from Monday to Sunday.
    pub weekly: u32,
    /// By months.
    pub monthly: u32,
    /// By years.
    pub yearly: u32,
    /// All that are no older than this, as seen from the newest one of the name.
    pub within: Option<Duration>,
}

/// Why a backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the last.
    Last,
    /// It is the last one of an hour.
    Hourly,
    /// Of a day.
    Daily,
    /// Of a week.
    Weekly,
    /// Of a month.
    Monthly,
    /// Of a year.
    Yearly,
    /// It is not old.
    Within,
}

/// What has become of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Chunks that were deleted, or in a dry run would be.
    pub chunks: u64,
    /// Their bytes in the store.
    pub bytes: u64,
    /// Chunks that stay.
    pub kept_chunks: u64,
    /// Their bytes in the store.
    pub kept_bytes: u64,
}

/// What a prune has done, or in a dry run would do.
#[derive(Clone, Debug, Default)]
pub struct PruneReport {
    /// Backups that stay, each with why.
    pub kept: Vec<(SnapshotId, Vec<Reason>)>,
    /// Backups that were removed.
    pub removed: Vec<SnapshotId>,
    /// Indexes that are not backups of this program: they stay, and so do their chunks.
    pub foreign: Vec<String>,
    /// What has become of chunks; `None` if somebody is at work in the store, so that all stay until the next prune.
    pub swept: Option<Swept>,
}

impl KeepRules {
    /// Decides on the backups of one name.
    pub fn decide(&self, ids: &[SnapshotId]) -> Vec<(SnapshotId, Vec<Reason>)> {
        let _ = (ids, When::now());
        todo!()
    }
}

pub(super) async fn run(store: &BackupStore, rules: &KeepRules, dry_run: bool) -> Result<PruneReport> {
    let _ = (store, rules, dry_run);
    todo!()
}

//! Which backups stay, and which chunks go.

mod sweep;

use super::lease::{Lease, Role};
use super::name::{SnapshotId, When};
use super::store::BackupStore;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
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

/// Which period a time is in.
type Period = fn(When) -> u64;

impl KeepRules {
    /// Whether there is no rule at all: that would keep nothing.
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == 0) && self.within.is_none_or(|within| within.is_zero())
    }

    /// Decides on the backups of one name, given in the order of time: for each why it stays; for no reason it goes.
    pub fn decide(&self, times: &[When]) -> Vec<Vec<Reason>> {
        let mut reasons = vec![Vec::new(); times.len()];
        let rules: [(Reason, u32, Period); 6] = [
            (Reason::Last, self.last, When::seconds),
            (Reason::Hourly, self.hourly, |when| when.seconds() / 3600),
            (Reason::Daily, self.daily, When::days),
            (Reason::Weekly, self.weekly, When::week),
            (Reason::Monthly, self.monthly, |when| u64::from(when.month().unsigned_abs())),
            (Reason::Yearly, self.yearly, |when| u64::from(when.year().unsigned_abs())),
        ];
        for (reason, keep, period) in rules {
            let (mut left, mut last) = (keep, None);
            for (when, reasons) in times.iter().zip(&mut reasons).rev() {
                if left > 0 && last != Some(period(*when)) {
                    last = Some(period(*when));
                    left -= 1;
                    reasons.push(reason);
                }
            }
        }
        if let (Some(within), Some(newest)) = (self.within.filter(|within| !within.is_zero()), times.last()) {
            let oldest = newest.minus(within);
            for (when, reasons) in times.iter().zip(&mut reasons) {
                if *when >= oldest {
                    reasons.push(Reason::Within);
                }
            }
        }
        reasons
    }
}

/// Removes backups that no rule keeps, then the chunks that no index needs.
pub(super) async fn run(store: &BackupStore, rules: &KeepRules, dry_run: bool) -> Result<PruneReport> {
    if rules.is_empty() {
        return Err(Error::usage("without a rule a prune would remove every backup")
            .hint("say which ones stay, as with `--keep-daily 7 --keep-weekly 4`"));
    }
    let mut report = PruneReport::default();
    let mut all = BTreeMap::<_, Vec<SnapshotId>>::new();
    for id in store.snapshots().await? {
        all.entry(id.name.clone()).or_default().push(id);
    }
    for ids in all.into_values() {
        let times: Vec<When> = ids.iter().map(|id| id.when).collect();
        for (id, reasons) in ids.into_iter().zip(rules.decide(&times)) {
            if reasons.is_empty() {
                report.removed.push(id);
            } else {
                report.kept.push((id, reasons));
            }
        }
    }
    if !dry_run {
        for id in &report.removed {
            // Properties without an index harm nobody; the other way round they would be missed.
            delete(store, &id.index_key()).await?;
            delete(store, &id.properties_key()).await?;
        }
    }
    // Every chunk is looked at: it has to be known first that nobody adds an index meanwhile.
    let Some(lease) = Lease::attempt(store.place(), Role::Sweep, store.retry()).await? else {
        return Ok(report);
    };
    // After an error nobody knows which deletions are still to come: the lease is not given back then.
    report.swept = Some(sweep::run(&lease.over(store), &lease, dry_run, &mut report).await?);
    lease.end().await?;
    Ok(report)
}

/// Deletes an object.
async fn delete(store: &BackupStore, key: &str) -> Result<()> {
    let delete = async || store.place().delete(key).await;
    store.retry().run_settled("removing from the store", None, delete).await
}

//! Decides which backups to keep and deletes the chunks that none of them needs.

mod sweep;

use super::lease::{Lease, Role};
use super::name::{SnapshotId, When};
use super::store::BackupStore;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Which backups of each name to keep. A backup is kept if any rule matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// Keep this many of the newest backups.
    pub last: u32,
    /// Keep the newest backup of each of the last hours that have one. The following rules work alike.
    pub hourly: u32,
    /// Keep the newest backup of days, in UTC.
    pub daily: u32,
    /// Keep the newest backup of weeks, from Monday to Sunday.
    pub weekly: u32,
    /// Keep the newest backup of months.
    pub monthly: u32,
    /// Keep the newest backup of years.
    pub yearly: u32,
    /// Keep all backups that are at most this much older than the newest one of their name.
    pub within: Option<Duration>,
}

/// Why a backup is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the newest.
    Last,
    /// It is the newest of an hour.
    Hourly,
    /// It is the newest of a day.
    Daily,
    /// It is the newest of a week.
    Weekly,
    /// It is the newest of a month.
    Monthly,
    /// It is the newest of a year.
    Yearly,
    /// It is not older than the given duration.
    Within,
}

/// The chunks deleted and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The chunks deleted, or in a dry run to be deleted.
    pub chunks: u64,
    /// Their bytes in the store.
    pub bytes: u64,
    /// The chunks kept.
    pub kept_chunks: u64,
    /// Their bytes in the store.
    pub kept_bytes: u64,
}

/// The result of a prune or of its dry run.
#[derive(Clone, Debug, Default)]
pub struct PruneReport {
    /// The backups kept, with the reasons.
    pub kept: Vec<(SnapshotId, Vec<Reason>)>,
    /// The backups removed.
    pub removed: Vec<SnapshotId>,
    /// Indexes that diskferry did not write. They and their chunks are kept.
    pub foreign: Vec<String>,
    /// The chunks deleted and kept; `None` if the store was in use, in which case the next prune deletes
    /// them.
    pub swept: Option<Swept>,
}

/// Returns the number of the period that a time falls into.
type Period = fn(When) -> u64;

impl KeepRules {
    /// Returns whether there is no rule, which would keep nothing.
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == 0) && self.within.is_none_or(|within| within.is_zero())
    }

    /// Decides on the backups of one name, given in order of time. Returns the reasons for each; a backup
    /// without reasons is removed.
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

/// Removes the backups that no rule keeps, and then the chunks that no index needs.
pub(super) async fn run(store: &BackupStore, rules: &KeepRules, dry_run: bool) -> Result<PruneReport> {
    if rules.is_empty() {
        return Err(Error::usage("a prune without a rule would remove every backup")
            .hint("say which ones to keep, for example with `--keep-daily 7 --keep-weekly 4`"));
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
            // Properties without an index are harmless; an index without properties would lack them.
            delete(store, &id.index_key()).await?;
            delete(store, &id.properties_key()).await?;
        }
    }
    // Before the chunks are listed, it has to be certain that nobody adds an index meanwhile.
    let Some(lease) = Lease::attempt(store.place(), Role::Sweep, store.retry()).await? else {
        return Ok(report);
    };
    // After an error deletions may still be in flight, so the lease is not released then.
    report.swept = Some(sweep::run(&lease.over(store), &lease, dry_run, &mut report).await?);
    lease.end().await?;
    Ok(report)
}

/// Deletes an object.
async fn delete(store: &BackupStore, key: &str) -> Result<()> {
    let delete = async || store.place().delete(key).await;
    store.retry().run_settled("deleting from the store", None, delete).await
}

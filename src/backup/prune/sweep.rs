//! Deletes the chunks that no index needs.

use super::super::index::digest_of_key;
use super::super::lease::Lease;
use super::super::name::{SnapshotId, is_chunk_directory};
use super::super::place::Entry;
use super::super::store::BackupStore;
use super::{PruneReport, Swept, delete};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashSet;

/// How many chunks are deleted before the lease is confirmed again. A batch takes seconds; the lease holds
/// for minutes.
const BATCH: usize = 256;

/// The file name suffixes of indexes (casync's manual: blobs and archives).
const INDEXES: [&str; 2] = [".caibx", ".caidx"];

/// Deletes the chunks that no index in the store needs, properties without an index, and incomplete files.
pub(super) async fn run(
    store: &BackupStore,
    lease: &Lease,
    dry_run: bool,
    report: &mut PruneReport,
) -> Result<Swept> {
    let going: HashSet<String> = report.removed.iter().map(SnapshotId::index_key).collect();
    let (needed, orphans) = needed(store, dry_run.then_some(&going), report).await?;
    let mut swept = Swept::default();
    let mut from = None;
    loop {
        let list = async || store.place().list("", from.clone()).await;
        let page = store.retry().run("listing the chunks of the store", None, list).await?;
        let chunks = page.entries.into_iter().filter_map(|entry| Some((digest_of_key(&entry.key)?, entry)));
        let (stay, go): (Vec<_>, Vec<_>) = chunks.partition(|(digest, _)| needed.contains(digest));
        let bytes = |of: &[(Digest, Entry)]| of.iter().map(|(_, entry)| entry.meta.size).sum::<u64>();
        swept.kept_chunks += stay.len() as u64;
        swept.kept_bytes += bytes(&stay);
        for batch in go.chunks(BATCH) {
            if !dry_run {
                delete_all(store, lease, batch.iter().map(|(_, entry)| entry.key.as_str())).await?;
            }
            swept.chunks += batch.len() as u64;
            swept.bytes += bytes(batch);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    if !dry_run {
        delete_all(store, lease, orphans.iter().map(String::as_str)).await?;
        if let Some(directory) = store.place().directory() {
            let directory = directory.clone();
            let sweep = crate::disk::file::on_a_thread(move || directory.sweep_unfinished());
            store.retry().stop.unless_asked(sweep).await?;
        }
    }
    Ok(swept)
}

/// Returns the chunks that any index in the store needs, except the indexes in `going`, and the properties
/// without an index. An index that cannot be read ends the sweep, since its chunks are unknown.
async fn needed(
    store: &BackupStore,
    going: Option<&HashSet<String>>,
    report: &mut PruneReport,
) -> Result<(HashSet<Digest>, Vec<String>)> {
    let top = async || store.place().top().await;
    let top = store.retry().run("listing the store", None, top).await?;
    let mut entries = top.entries;
    for directory in top.directories.iter().filter(|name| !is_chunk_directory(name)) {
        entries.extend(store.entries(&format!("{directory}/")).await?);
    }
    let keys: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let mut needed = HashSet::new();
    let mut ours = false;
    for key in keys.iter().filter(|key| INDEXES.iter().any(|ending| key.ends_with(ending))) {
        let id = SnapshotId::of_index_key(key);
        ours |= id.is_some();
        if id.is_none() {
            report.foreign.push((*key).to_owned());
        }
        if going.is_some_and(|going| going.contains(*key)) {
            continue;
        }
        let index = store.load_listed(key).await.map_err(|error| {
            error.hint("no chunk was deleted, because the chunks of this index are unknown; remove the index or replace it, then prune again")
        })?;
        // Another prune removed it.
        let Some(index) = index else { continue };
        needed.extend(index.chunks().map(|chunk| chunk.digest));
    }
    report.foreign.sort();
    if !ours && !store.is_ours().await? {
        let what = format!("{} was not created by diskferry, so its indexes may be elsewhere", store.name());
        return Err(
            Error::new(Kind::Refused, what).hint("use `casync gc`, which takes the indexes as arguments")
        );
    }
    let orphan = |key: &&str| {
        SnapshotId::of_properties_key(key).is_some_and(|id| !keys.contains(id.index_key().as_str()))
    };
    let orphans = keys.iter().copied().filter(orphan).map(str::to_owned).collect();
    Ok((needed, orphans))
}

/// Deletes a batch, as long as the lease holds.
async fn delete_all(store: &BackupStore, lease: &Lease, keys: impl Iterator<Item = &str>) -> Result<()> {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return Ok(());
    }
    if !lease.confirm().await? {
        let what =
            format!("the lease of {} expired during the sweep, so the store may be in use", store.name());
        return Err(Error::new(Kind::Busy, what).hint("run the same command again"));
    }
    futures_util::stream::iter(keys)
        .map(|key| async move {
            delete(store, key).await?;
            if let Some(directory) = store.place().directory() {
                directory.sweep_directory_of(key);
            }
            Ok::<_, Error>(())
        })
        .buffer_unordered(store.place().requests())
        .try_collect::<()>()
        .await
}

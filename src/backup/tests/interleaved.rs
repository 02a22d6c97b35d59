//! Two backups and a prune over one store, step by step in random order, each killed somewhere in some
//! rounds. At no moment does an index lack one of its chunks.

use super::super::index::Index;
use super::super::name::INDEX_SUFFIX;
use super::super::prune::KeepRules;
use super::super::{BackupStore, SnapshotId};
use super::memory::MemoryPlace;
use super::{back_up, contents, id, image, missing_in, store_at, store_in};
use crate::error::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::path::Path;
use std::time::Duration;

/// A small generator of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

const LAST: KeepRules =
    KeepRules { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

type Task<'a> = futures_util::future::LocalBoxFuture<'a, Result<()>>;

/// Plays a round and returns how many tasks completed. `pause` is how long all of them rest now and then;
/// `pass` advances the store's clock as well, or a lost lease would never expire.
async fn round(
    store: &BackupStore,
    seed: u64,
    pause: Duration,
    pass: &dyn Fn(Duration),
    whole: &dyn Fn() -> BoxFuture<'static, ()>,
) -> usize {
    let mut random = Random(seed * 0x9e37_79b9 + 1);
    let of = [id(&format!("a@2026-11-24T{seed:06}Z")), id(&format!("b@2026-11-24T{seed:06}Z"))];
    let images = [image(u8::try_from(seed % 200).unwrap()), image(u8::try_from(random.below(2)).unwrap())];
    let backup =
        |n: usize| -> Task<'_> { Box::pin(back_up(store, &of[n], &images[n]).map(|done| done.map(drop))) };
    let mut tasks: Vec<Task<'_>> =
        vec![backup(0), backup(1), Box::pin(store.prune(&LAST, false).map(|done| done.map(drop)))];
    // A task is killed in two of three rounds.
    let mut kill_in = if seed.is_multiple_of(3) { u64::MAX } else { 1 + random.below(600) };
    let (favourite, mut ended) = (usize::try_from(random.below(3)).unwrap(), 0);
    while !tasks.is_empty() {
        // One task is ahead of the others.
        let ahead = favourite.min(tasks.len() - 1);
        let any = usize::try_from(random.below(tasks.len() as u64)).unwrap();
        let at = if random.below(3) == 0 { any } else { ahead };
        kill_in -= 1;
        if kill_in == 0 {
            drop(tasks.remove(at));
            kill_in = u64::MAX;
            whole().await;
            continue;
        }
        match (&mut tasks[at]).now_or_never() {
            Some(done) => {
                done.unwrap();
                drop(tasks.remove(at));
                ended += 1;
            }
            None if random.below(4) == 0 => {
                tokio::time::sleep(pause).await;
                pass(pause);
            }
            None => tokio::task::yield_now().await,
        }
        whole().await;
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn in_an_object_store() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let mut ended = 0;
    for seed in 0..30 {
        let looked = place.clone();
        let whole = move || -> BoxFuture<'static, ()> {
            for key in looked.keys("").into_iter().filter(|key| key.ends_with(INDEX_SUFFIX)) {
                let index = Index::parse(&key, &looked.bytes(&key)).unwrap();
                for chunk in index.chunks() {
                    let chunk = super::super::index::chunk_key(&chunk.digest);
                    assert!(looked.has(&chunk), "{key} has lost {chunk} in round {seed}");
                }
            }
            Box::pin(async {})
        };
        // Waiting five minutes for a lost lease then takes a few steps instead of millions.
        ended += round(&store, seed, Duration::from_secs(1), &|time| place.pass(time), &whole).await;
        // The leases of killed tasks expire.
        place.pass(Duration::from_mins(6));
    }
    assert!(ended > 50, "{ended}");
    finish(&store).await;
}

#[tokio::test]
async fn in_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    // A prune refuses a store in which no backup was ever begun, and the prune may come first here.
    store.mark().await.unwrap();
    let mut ended = 0;
    for seed in 0..24 {
        let path = dir.path().to_owned();
        let whole = move || -> BoxFuture<'static, ()> {
            for name in ["a", "b"] {
                look(&path, name);
            }
            Box::pin(async {})
        };
        ended += round(&store, seed, Duration::from_micros(200), &|_| (), &whole).await;
    }
    assert!(ended > 36, "{ended}");
    finish(&store).await;
}

fn look(root: &Path, name: &str) {
    let Ok(indexes) = std::fs::read_dir(root.join(name)) else { return };
    for entry in indexes.map(std::result::Result::unwrap) {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "caibx") {
            // A prune may be removing it right now.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let missing = missing_in(root, &Index::parse("x", &bytes).unwrap());
            assert!(missing.is_empty() || !path.exists(), "{} has lost {missing:?}", path.display());
        }
    }
}

/// Whatever happened before, the next backup and the next prune succeed.
async fn finish(store: &BackupStore) {
    let of: SnapshotId = id("a@2026-11-25T000000Z");
    back_up(store, &of, &image(250)).await.unwrap();
    // A dropped task may hold the lock of a directory until its thread has ended.
    let mut report = store.prune(&LAST, false).await.unwrap();
    for _ in 0..3000 {
        if report.swept.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        report = store.prune(&LAST, false).await.unwrap();
    }
    assert!(report.swept.is_some());
    assert!(contents(&store.disk(&of).await.unwrap()).await.unwrap() == image(250));
}

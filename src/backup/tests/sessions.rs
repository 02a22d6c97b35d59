use super::super::index::chunk_key;
use super::super::lease::{Lease, Role};
use super::super::prune::KeepRules;
use super::{CHUNK, back_up, contents, id, image, missing_in, name, properties, send, store_in, when};
use crate::digest::Algorithm;
use crate::disk::{Body, ReadAt, WriteAt};
use crate::error::Kind;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;

#[tokio::test]
async fn what_is_backed_up_comes_back_and_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let (first, second) = (id("web@2026-11-24T190000Z"), id("db@2026-11-24T190000Z"));
    let copied = back_up(&store, &first, &image(1)).await.unwrap();
    // 13 chunks: three of zeros, of which one is stored, and one that occurs twice.
    assert_eq!(copied.sent + copied.zero + copied.unchanged, 13);
    let stored =
        || store.entries("").map(|all| all.unwrap().iter().filter(|e| e.key.ends_with("cacnk")).count());
    assert_eq!(stored().await, 10);
    let copied = back_up(&store, &second, &image(2)).await.unwrap();
    assert_eq!((copied.unchanged, copied.sent), (12, 1));
    assert_eq!(stored().await, 11);
    assert_eq!(store.snapshots().await.unwrap(), [second.clone(), first.clone()]);
    for (of, seed) in [(&first, 1), (&second, 2)] {
        let disk = store.disk(of).await.unwrap();
        assert!(contents(&disk).await.unwrap() == image(seed));
        let described = store.describe(of).await.unwrap();
        assert_eq!(
            (described.size, described.chunks, described.chunk_size),
            (image(1).len() as u64, 13, CHUNK)
        );
        let kept = described.properties.unwrap();
        assert_eq!((kept.when, kept.keys, kept.drive), (Some(of.when), properties().keys, "d-1".to_owned()));
    }
    // The image has the same identity again, and another image has another one.
    let identity = async |of| store.disk(of).await.unwrap().info().identity.clone().unwrap();
    assert_eq!(identity(&first).await.difference(&identity(&first).await), None);
    assert!(identity(&first).await.difference(&identity(&second).await).is_some());
}

#[tokio::test]
async fn a_backup_of_the_same_second_gets_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let session = store.begin().await.unwrap();
    let (ledger, _) = send(&session, "web", &image(1)).await.unwrap();
    let at = when("2026-12-31T235959Z");
    let commit = async || session.commit(&name("web"), at, &ledger, &properties()).await;
    let made = [commit().await.unwrap(), commit().await.unwrap()];
    assert_eq!(made.map(|id| id.when.to_string()), ["2026-12-31T235959Z", "2027-01-01T000000Z"]);
}

#[tokio::test]
async fn what_is_made_last_is_the_newest_after_a_prune_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let commit = async |at: &str| {
        let session = store.begin().await.unwrap();
        let (ledger, _) = send(&session, "web", &image(1)).await.unwrap();
        let made = session.commit(&name("web"), when(at), &ledger, &properties()).await.unwrap();
        session.end().await.unwrap();
        made.when.to_string()
    };
    for seconds in 0..3 {
        assert_eq!(commit("2026-12-01T120000Z").await, format!("2026-12-01T12000{seconds}Z"));
    }
    store.prune(&KeepRules { last: 1, ..KeepRules::default() }, false).await.unwrap();
    // Its own second is free, but older than the last backup.
    assert_eq!(commit("2026-12-01T120001Z").await, "2026-12-01T120003Z");
    // A wrong clock does not shift all later backups.
    assert_eq!(commit("2026-12-01T110002Z").await, "2026-12-01T110002Z");
}

#[tokio::test]
async fn no_index_is_written_without_its_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let session = store.begin().await.unwrap();
    let (mut ledger, _) = send(&session, "web", &image(1)).await.unwrap();
    let lost = ledger.get(0).unwrap();
    std::fs::remove_file(dir.path().join(chunk_key(&lost))).unwrap();
    let at = when("2026-11-24T190000Z");
    let error = session.commit(&name("web"), at, &ledger, &properties()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
    assert_eq!(session.missing(&[lost].into()).await.unwrap(), [lost].into());
    assert!(store.snapshots().await.unwrap().is_empty());
    // A run that resumes takes the missing chunks back.
    ledger.revoke(0);
    let error = session.commit(&name("web"), at, &ledger, &properties()).await.unwrap_err();
    assert!(error.to_string().contains("1 of 13 chunks"), "{error}");
    assert!(store.snapshots().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sweep_and_everybody_else_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let session = store.begin().await.unwrap();
    let attempt = |role| Lease::attempt(store.place(), role, store.retry());
    assert!(attempt(Role::Sweep).await.unwrap().is_none());
    let other = attempt(Role::Use).await.unwrap().expect("many may use a store");
    session.end().await.unwrap();
    assert!(attempt(Role::Sweep).await.unwrap().is_none());
    other.end().await.unwrap();
    let sweep = attempt(Role::Sweep).await.unwrap().expect("nobody is there");
    assert!(attempt(Role::Use).await.unwrap().is_none());
    // A newcomer waits, and continues when the sweep is over.
    let mut waiting = Box::pin(store.begin());
    assert!((&mut waiting).now_or_never().is_none());
    sweep.end().await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn writers_of_one_chunk_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (store_in(dir.path()), store_in(dir.path()));
    let sessions = [store.begin().await.unwrap(), other.begin().await.unwrap()];
    let bytes = image(9);
    let chunk = &bytes[..usize::try_from(CHUNK).unwrap()];
    let (digest, frame) =
        (Algorithm::Sha256.digest(chunk), Bytes::from(zstd::bulk::compress(chunk, 1).unwrap()));
    let disks: Vec<_> = sessions.iter().map(|session| session.disk(&name("web"), CHUNK, CHUNK)).collect();
    let writes: Vec<_> =
        (0..40).map(|n| disks[n % 2].write_at(0, Body::Chunk(digest, frame.clone()))).collect();
    let mut kept = Vec::new();
    for (n, mut write) in writes.into_iter().enumerate() {
        // Every third is dropped while in flight.
        if n % 3 == 0 {
            let _ = (&mut write).now_or_never();
        } else {
            kept.push(write);
        }
    }
    assert!(join_all(kept).await.into_iter().all(|receipt| receipt.is_ok()));
    disks[0].flush().await.unwrap();
    assert!(std::fs::read(dir.path().join(chunk_key(&digest))).unwrap() == frame);
    let error = disks[0].write_at(0, Body::Raw(frame)).await.unwrap_err();
    assert!(!error.kind().is_retryable());
}

/// A run is dropped at each of its steps: no index lacks a chunk, and the next run completes the backup.
#[tokio::test]
async fn a_run_that_ends_anywhere_leaves_no_index_without_its_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let mut made = 0;
    for polls in 0..60 {
        let of = id(&format!("web@2026-11-24T{:06}Z", 100_000 + polls));
        let bytes = image(u8::try_from(polls).unwrap());
        let mut run = Box::pin(back_up(&store, &of, &bytes));
        let mut done = false;
        for _ in 0..polls * 3 {
            // One step: until it waits for something.
            if (&mut run).now_or_never().is_some() {
                done = true;
                break;
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_micros(300)).await;
        }
        drop(run);
        made += u32::from(done);
        for id in store.snapshots().await.unwrap() {
            let index = store.load(&id).await.unwrap();
            assert_eq!(missing_in(dir.path(), &index), [""; 0], "{id} after {polls}");
        }
    }
    let of = id("web@2026-11-25T190000Z");
    back_up(&store, &of, &image(1)).await.unwrap();
    let disk = store.disk(&of).await.unwrap();
    assert!(contents(&disk).await.unwrap() == image(1), "{made} were made");
}

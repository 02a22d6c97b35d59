//! Which backups are kept, what is deleted, and when nothing is.

use super::super::index::chunk_key;
use super::super::prune::{KeepRules, Reason};
use super::super::verify::{Fault, ReadData, VerifyOptions};
use super::super::{SnapshotId, When};
use super::memory::MemoryPlace;
use super::{back_up, id, image, missing_in, send, store_at, store_in};
use crate::error::Kind;
use std::time::Duration;

fn times(all: &[&str]) -> Vec<When> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

/// The rows of which something is kept, each with its reasons.
fn kept(rules: &KeepRules, all: &[&str]) -> Vec<(usize, Vec<Reason>)> {
    let decided = rules.decide(&times(all));
    decided.into_iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).collect()
}

#[test]
fn rules_keep_the_last_of_each_period() {
    use Reason::{Daily, Hourly, Last, Monthly, Weekly, Within, Yearly};
    let none = KeepRules::default;
    let all = [
        "2024-12-31T120000Z", // 0
        "2025-01-01T120000Z", // 1
        "2026-10-31T235959Z", // 2
        "2026-11-01T000000Z", // 3, a Sunday
        "2026-11-02T000000Z", // 4, a Monday
        "2026-11-08T100000Z", // 5, the Sunday of that week
        "2026-11-08T105959Z", // 6
        "2026-11-08T110000Z", // 7
    ];
    assert_eq!(kept(&none(), &all), []);
    assert!(none().is_empty() && KeepRules { within: Some(Duration::ZERO), ..none() }.is_empty());
    assert_eq!(kept(&KeepRules { last: 2, ..none() }, &all), [(6, vec![Last]), (7, vec![Last])]);
    assert_eq!(
        kept(&KeepRules { hourly: 3, ..none() }, &all),
        [(4, vec![Hourly]), (6, vec![Hourly]), (7, vec![Hourly])]
    );
    assert_eq!(
        kept(&KeepRules { daily: 3, ..none() }, &all),
        [(3, vec![Daily]), (4, vec![Daily]), (7, vec![Daily])]
    );
    assert_eq!(
        kept(&KeepRules { weekly: 3, ..none() }, &all),
        [(1, vec![Weekly]), (3, vec![Weekly]), (7, vec![Weekly])]
    );
    assert_eq!(
        kept(&KeepRules { monthly: 3, ..none() }, &all),
        [(1, vec![Monthly]), (2, vec![Monthly]), (7, vec![Monthly])]
    );
    assert_eq!(
        kept(&KeepRules { yearly: 9, ..none() }, &all),
        [(0, vec![Yearly]), (1, vec![Yearly]), (7, vec![Yearly])]
    );
    let day = Duration::from_hours(24);
    // Accurate to the second, relative to the newest.
    let within = KeepRules { within: Some(day * 6 + Duration::from_hours(11)), ..none() };
    assert_eq!(kept(&within, &all).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [4, 5, 6, 7]);
    let both = KeepRules { last: 1, within: Some(Duration::from_secs(1)), ..none() };
    assert_eq!(kept(&both, &all), [(6, vec![Within]), (7, vec![Last, Within])]);
    assert_eq!(kept(&KeepRules { last: 1, ..none() }, &[]), []);
}

fn last(n: u32) -> KeepRules {
    KeepRules { last: n, ..KeepRules::default() }
}

#[tokio::test]
async fn a_prune_removes_backups_and_the_chunks_that_only_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let all = [id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z"), id("db@2026-11-20T190000Z")];
    for (seed, of) in (1..).zip(&all) {
        back_up(&store, of, &image(seed)).await.unwrap();
    }
    assert_eq!(store.prune(&KeepRules::default(), false).await.unwrap_err().kind(), Kind::Usage);
    let before = store.entries("").await.unwrap();
    let dry = store.prune(&last(1), true).await.unwrap();
    assert_eq!(store.entries("").await.unwrap(), before, "a dry run changes nothing");
    // Left behind by a killed run.
    std::fs::write(dir.path().join("web/2026-11-23T190000Z.json"), b"{}").unwrap();
    std::fs::write(dir.path().join(".diskferry/new/half"), b"x").unwrap();
    let report = store.prune(&last(1), false).await.unwrap();
    assert_eq!((&report.removed, report.swept), (&vec![all[0].clone()], dry.swept));
    let (swept, size) =
        (report.swept.unwrap(), |key: &str| before.iter().find(|e| e.key == key).unwrap().meta.size);
    assert_eq!((swept.chunks, swept.kept_chunks), (1, 11));
    let gone: Vec<&str> = before
        .iter()
        .map(|e| e.key.as_str())
        .filter(|key| key.ends_with("cacnk") && !dir.path().join(key).exists())
        .collect();
    assert_eq!((gone.len(), swept.bytes), (1, size(gone[0])));
    assert!(
        !dir.path().join("web/2026-11-23T190000Z.json").exists()
            && !dir.path().join(".diskferry/new/half").exists()
    );
    assert!(
        !dir.path().join(all[0].properties_key()).exists()
            && dir.path().join(all[1].properties_key()).exists()
    );
    assert!(!dir.path().join(&gone[0][..4]).exists(), "the directory goes with its last chunk");
    let stays: Vec<SnapshotId> = report.kept.into_iter().map(|(id, _)| id).collect();
    assert_eq!(stays, [all[2].clone(), all[1].clone()]);
    for of in &stays {
        assert_eq!(missing_in(dir.path(), &store.load(of).await.unwrap()), [""; 0]);
    }
    let again = store.prune(&last(1), false).await.unwrap();
    assert_eq!((again.removed.len(), again.swept.unwrap().chunks), (0, 0));
}

#[tokio::test]
async fn chunks_stay_while_somebody_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    for (seed, of) in (1..).zip(["web@2026-11-24T190000Z", "web@2026-11-25T190000Z"]) {
        back_up(&store, &id(of), &image(seed)).await.unwrap();
    }
    let session = store.begin().await.unwrap();
    let (ledger, _) = send(&session, "new", &image(3)).await.unwrap();
    let report = store.prune(&last(1), false).await.unwrap();
    assert_eq!((report.removed.len(), report.swept), (1, None));
    let of = id("new@2026-11-25T200000Z");
    session.commit(&of.name, of.when, &ledger, &super::properties()).await.unwrap();
    session.end().await.unwrap();
    let report = store.prune(&last(1), false).await.unwrap();
    assert_eq!(report.swept.unwrap().chunks, 1, "what only the first one needs");
    assert_eq!(missing_in(dir.path(), &store.load(&of).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn nothing_is_swept_where_an_index_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let of = [id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z")];
    for (seed, of) in (1..).zip(&of) {
        back_up(&store, of, &image(seed)).await.unwrap();
    }
    let chunks =
        async || store.entries("").await.unwrap().iter().filter(|e| e.key.ends_with("cacnk")).count();
    let before = chunks().await;
    std::fs::write(dir.path().join(of[1].index_key()), b"damaged").unwrap();
    let error = store.prune(&last(1), false).await.unwrap_err();
    assert!(error.to_string().contains(&of[1].index_key()), "{error}");
    assert!(error.hint_text().unwrap().contains("no chunk was deleted"));
    assert_eq!(chunks().await, before);
}

/// A prune removes indexes while others use the store.
#[tokio::test]
async fn an_index_that_goes_after_it_was_listed_is_no_fault() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let all = [id("db@2026-11-24T190000Z"), id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z")];
    for (seed, of) in (1..).zip(&all) {
        back_up(&store, of, &image(seed)).await.unwrap();
    }
    let gone = |of: &SnapshotId| {
        place.sleep_at(&format!("get {}", of.index_key()), Duration::ZERO, &of.index_key());
    };
    gone(&all[1]);
    let report = store.verify(&VerifyOptions { ids: Vec::new(), read: ReadData::All }).await.unwrap();
    assert_eq!((report.backups, report.faults.len()), (2, 0), "{:?}", report.faults);
    // Naming it explicitly reports it as missing.
    let named = VerifyOptions { ids: vec![all[1].clone()], read: ReadData::None };
    assert_eq!(store.verify(&named).await.unwrap().faults.len(), 1);
    gone(&all[0]);
    let swept = store.prune(&last(1), false).await.unwrap().swept.unwrap();
    assert_eq!(swept.chunks, 2, "what the two that are gone needed alone");
}

#[tokio::test]
async fn a_verification_finds_what_is_missing_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    let all = [id("db@2026-11-24T190000Z"), id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z")];
    for (seed, of) in (1..).zip(&all) {
        back_up(&store, of, &image(seed)).await.unwrap();
    }
    let options = |read| VerifyOptions { ids: Vec::new(), read };
    let report = store.verify(&options(ReadData::All)).await.unwrap();
    assert_eq!((report.backups, report.chunks, report.read, report.faults.len()), (3, 12, 12, 0));
    assert_eq!(store.verify(&options(ReadData::None)).await.unwrap().read, 0);
    let sampled = store.verify(&options(ReadData::OneOf(3))).await.unwrap().read;
    assert!(sampled > 0 && sampled < 12, "{sampled}");
    // One chunk of one backup is gone, a chunk that each has twice is damaged, and an index too.
    let index = store.load(&all[1]).await.unwrap();
    let (own, shared) = (index.chunk(10).unwrap().digest, index.chunk(6).unwrap().digest);
    std::fs::remove_file(dir.path().join(chunk_key(&own))).unwrap();
    let path = dir.path().join(chunk_key(&shared));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(dir.path().join(all[0].index_key()), b"").unwrap();
    let quick = store.verify(&options(ReadData::None)).await.unwrap();
    assert_eq!(quick.faults.len(), 2);
    let report = store.verify(&options(ReadData::All)).await.unwrap();
    assert!(matches!(&report.faults[0], Fault::Index { key, .. } if *key == all[0].index_key()));
    let chunks: Vec<_> = report.faults[1..]
        .iter()
        .map(|fault| match fault {
            Fault::Chunk { digest, of, error } => (*digest, of.len(), error.to_string()),
            Fault::Index { .. } => panic!("one index is damaged"),
        })
        .collect();
    assert_eq!(chunks.len(), 2);
    assert!(
        chunks.iter().any(|(digest, of, error)| *digest == own && *of == 1 && error.contains("is missing"))
    );
    assert!(
        chunks
            .iter()
            .any(|(digest, of, error)| *digest == shared && *of == 2 && error.contains("is damaged"))
    );
    let only = VerifyOptions { ids: vec![all[2].clone()], read: ReadData::None };
    assert_eq!(store.verify(&only).await.unwrap().faults.len(), 0);
}

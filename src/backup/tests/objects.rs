//! Stores in an object store: moto's S3, and one in memory whose clock and faults are controlled.

use super::super::lease::{Lease, Role};
use super::super::place::{Objects, Place};
use super::super::prune::KeepRules;
use super::directory::{conforms, keys};
use super::memory::MemoryPlace;
use super::{back_up, contents, id, image, name, properties, send, store_at, when};
use crate::disk::Buffers;
use crate::disk::ReadAt;
use crate::disk::azure::tests::azurite;
use crate::error::Kind;
use std::time::Duration;

#[path = "../../../tests/support/moto.rs"]
mod moto;

use moto::{BUCKET, Moto};

/// The default account key of Azurite (Azurite's README, `Default Storage Account`).
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

const LAST: KeepRules =
    KeepRules { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

fn open(moto: &Moto, prefix: &str) -> Objects {
    Objects::open(&format!("s3://{BUCKET}{prefix}"), moto.variables().into_iter()).unwrap()
}

#[tokio::test]
async fn a_bucket_and_a_prefix_are_places() {
    let Some(moto) = Moto::start() else { return };
    conforms(&open(&moto, "/some/prefix")).await;
    // A prefix consists of complete path components.
    conforms(&open(&moto, "/some/pre")).await;
    conforms(&MemoryPlace::default()).await;
    assert_eq!(keys(&open(&moto, ""), "some/pre/a/").await, ["some/pre/a/c"]);
    let written = open(&moto, "/some/pre").head("a/c").await.unwrap().unwrap().modified;
    assert!(written.elapsed().is_ok_and(|age| age.as_secs() < 60));
    let other = open(&moto, "/empty");
    assert_eq!(other.name(), format!("s3://{BUCKET}/empty"));
}

#[tokio::test]
async fn backups_go_to_a_bucket_and_come_back() {
    let Some(moto) = Moto::start() else { return };
    let store = || store_at(open(&moto, "/backups of/größe"));
    let (first, second) = (id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z"));
    back_up(&store(), &first, &image(1)).await.unwrap();
    let copied = back_up(&store(), &second, &image(2)).await.unwrap();
    assert_eq!((copied.unchanged, copied.sent), (12, 1));
    let disk = store().disk(&second).await.unwrap();
    assert!(contents(&disk).await.unwrap() == image(2));
    let report = store().prune(&LAST, false).await.unwrap();
    assert_eq!((report.removed, report.swept.unwrap().chunks), (vec![first], 1));
    assert!(contents(&disk).await.unwrap() == image(2));
    assert_eq!(store().properties(&second).await.unwrap().unwrap().drive, "d-1");
    // No lease is left.
    assert_eq!(keys(&open(&moto, "/backups of/größe"), ".diskferry/leases/").await, [""; 0]);
}

#[tokio::test]
async fn a_container_is_a_place() {
    let Some(azurite) = azurite::Azurite::start() else { return };
    let endpoint = azurite.url().replace(&format!("/{}", azurite::CONTAINER), "");
    let open = |prefix: &str| {
        let variables = [
            ("AZURE_STORAGE_ACCOUNT_NAME", azurite::ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
            ("AZURE_ALLOW_HTTP", "true"),
        ];
        let variables = variables.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Objects::open(&format!("az://{}{prefix}", azurite::CONTAINER), variables).unwrap()
    };
    conforms(&open("/some/prefix")).await;
    let (store, of) = (store_at(open("/b")), id("web@2026-11-24T190000Z"));
    back_up(&store, &of, &image(1)).await.unwrap();
    assert!(contents(&store.disk(&of).await.unwrap()).await.unwrap() == image(1));
    assert_eq!(store.prune(&LAST, false).await.unwrap().swept.unwrap().kept_chunks, 10);
}

#[tokio::test]
async fn refusals_are_told_apart_and_hold_no_secret() {
    let Some(moto) = Moto::start() else { return };
    let none = Objects::open("s3://no-such-bucket/x", moto.variables().into_iter()).unwrap();
    let error = none.list("", None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    let url = moto.url();
    drop(moto);
    let variables = |more: &[(&str, &str)]| {
        let all = [
            ("AWS_ENDPOINT", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "an-id"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret-key"),
        ];
        let all = all.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        all.collect::<Vec<_>>().into_iter()
    };
    let gone = Objects::open("s3://b/x", variables(&[("AWS_ALLOW_HTTP", "true")])).unwrap();
    let error = gone.head("a").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connection, "{error}");
    assert!(error.to_string().contains("s3://b/x"), "{error}");
    assert!(!format!("{error:?}").contains("a-secret-key"));
    for bad in
        ["s3://user:a-secret-key@b/x", "s3://b/x?X-Amz-Signature=a-secret-key", "s3://", "gopher://b/x"]
    {
        let error = Objects::open(bad, variables(&[])).err().unwrap();
        assert_eq!(error.kind(), Kind::Usage, "{bad}");
        let said = format!("{error:?} {:?}", error.hint_text());
        assert!(!said.contains("a-secret-key"), "{said}");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_make_two_backups() {
    let place = MemoryPlace::default();
    place.fail("create web/2026-11-24T190000Z.json", Kind::Timeout, true);
    place.fail("create web/2026-11-24T190000Z.caibx", Kind::Connection, true);
    back_up(&store_at(place.clone()), &id("web@2026-11-24T190000Z"), &image(1)).await.unwrap();
    assert_eq!(place.keys("web/"), ["web/2026-11-24T190000Z.caibx", "web/2026-11-24T190000Z.json"]);
}

#[tokio::test]
async fn what_a_store_has_is_not_asked_for_again() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    back_up(&store, &id("web@2026-11-24T190000Z"), &image(1)).await.unwrap();
    place.calls();
    back_up(&store, &id("web@2026-11-25T190000Z"), &image(1)).await.unwrap();
    let asked = place.calls().into_iter().filter(|call| call.contains(".cacnk")).collect::<Vec<_>>();
    assert_eq!(asked, [""; 0]);
    // Zeros are not fetched.
    let disk = store.disk(&id("web@2026-11-25T190000Z")).await.unwrap();
    place.calls();
    let zeros = disk.read_at(2 * super::CHUNK + 1, 2 * super::CHUNK, Buffers::new(1).take(0)).await.unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0) && place.calls().is_empty());
    // A chunk that is split by many reads is fetched once.
    for at in 0..100 {
        let read = disk.read_at(at * 100, 100, Buffers::new(1).take(0));
        assert!(read.await.unwrap().as_slice() == &image(1)[usize::try_from(at * 100).unwrap()..][..100]);
    }
    assert_eq!(place.calls().len(), 1);
}

#[tokio::test]
async fn leases_exclude_each_other_by_the_clock_of_the_store() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let attempt = |role| Lease::attempt(store.place(), role, store.retry());
    let first = attempt(Role::Use).await.unwrap().unwrap();
    let second = attempt(Role::Use).await.unwrap().unwrap();
    assert!(attempt(Role::Sweep).await.unwrap().is_none());
    assert_eq!(place.keys(".diskferry/leases/").len(), 2, "one that is refused leaves nothing");
    second.end().await.unwrap();
    place.pass(minutes(4));
    assert!(attempt(Role::Sweep).await.unwrap().is_none());
    assert!(first.confirm().await.unwrap());
    place.pass(minutes(4));
    assert!(attempt(Role::Sweep).await.unwrap().is_none(), "it was renewed");
    place.pass(minutes(1));
    let sweep = attempt(Role::Sweep).await.unwrap().expect("the other one is lost");
    assert!(attempt(Role::Use).await.unwrap().is_none());
    // The holder of a lost lease learns of it, once.
    assert!(!first.confirm().await.unwrap());
    assert!(first.confirm().await.unwrap());
    first.end().await.unwrap();
    // A lost sweep is not believed to be over at once.
    place.pass(minutes(5));
    let third = attempt(Role::Use).await.unwrap().expect("the sweep is lost");
    assert!(!third.confirm().await.unwrap());
    assert!(!sweep.confirm().await.unwrap());
    third.end().await.unwrap();
    sweep.end().await.unwrap();
    assert_eq!(place.keys(".diskferry/leases/"), [""; 0]);
}

/// Of two that arrive at once never both are admitted, however their requests interleave.
#[tokio::test]
async fn of_a_sweep_and_a_backup_that_come_at_once_one_waits() {
    let mut both_refused = 0;
    for delay in 0..12 {
        let store = store_at(MemoryPlace::default());
        let one = Lease::attempt(store.place(), Role::Use, store.retry());
        let other = async {
            for _ in 0..delay {
                tokio::task::yield_now().await;
            }
            Lease::attempt(store.place(), Role::Sweep, store.retry()).await
        };
        let (one, other) = tokio::join!(one, other);
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.is_none() || other.is_none(), "after {delay}");
        both_refused += u32::from(one.is_none() && other.is_none());
    }
    assert!(both_refused < 12);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_each_minute() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let lease = Lease::attempt(store.place(), Role::Use, store.retry()).await.unwrap().unwrap();
    for _ in 0..20 {
        tokio::time::sleep(minutes(1)).await;
        place.pass(minutes(1));
    }
    assert!(lease.confirm().await.unwrap());
    lease.end().await.unwrap();
    tokio::time::sleep(minutes(10)).await;
    assert_eq!(place.keys(".diskferry/leases/"), [""; 0], "it does not come back");
}

#[tokio::test]
async fn a_backup_whose_lease_lapsed_looks_at_every_chunk() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let session = store.begin().await.unwrap();
    let (ledger, _) = send(&session, "web", &image(1)).await.unwrap();
    place.pass(minutes(6));
    // A prune deletes chunks that no index needs.
    let report = store.prune(&LAST, false).await.unwrap();
    assert_eq!(report.swept.unwrap().chunks, 10);
    let at = when("2026-11-24T190000Z");
    let error = session.commit(&name("web"), at, &ledger, &properties()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
    assert_eq!(place.keys("web/"), [""; 0]);
    // The next attempt writes them again.
    let (ledger, copied) = send(&session, "web", &image(1)).await.unwrap();
    assert!(copied.sent > 0);
    session.commit(&name("web"), at, &ledger, &properties()).await.unwrap();
    session.end().await.unwrap();
}

/// The machine sleeps between the check and the index: the index is removed again if its chunks are gone.
#[tokio::test]
async fn an_index_that_came_too_late_is_taken_back() {
    let place = MemoryPlace::default();
    let store = store_at(place.clone());
    let session = store.begin().await.unwrap();
    let (ledger, _) = send(&session, "web", &image(1)).await.unwrap();
    place.sleep_at("create web/2026-11-24T190000Z.caibx", minutes(6), ".cacnk");
    let at = when("2026-11-24T190000Z");
    let error = session.commit(&name("web"), at, &ledger, &properties()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
    assert_eq!(place.keys("web/"), [""; 0]);
}

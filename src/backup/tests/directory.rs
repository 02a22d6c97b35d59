//! The contract of places, checked over a directory, and properties of directories alone.

use super::super::place::{Directory, OWN, Place};
use crate::error::Kind;
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// All keys with a prefix.
pub(super) async fn keys(place: &dyn Place, prefix: &str) -> Vec<String> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = place.list(prefix, from).await.unwrap();
        all.extend(page.entries.into_iter().map(|entry| entry.key));
        from = page.next;
        if from.is_none() {
            all.sort();
            return all;
        }
    }
}

/// Checks the contract of an empty place.
pub(super) async fn conforms(place: &dyn Place) {
    assert_eq!(keys(place, "").await, [""; 0]);
    assert!(place.head("a/b").await.unwrap().is_none());
    assert_eq!(place.get("a/b", 10).await.unwrap_err().kind(), Kind::NotFound);
    place.delete("a/b").await.unwrap();
    place.put("a/b", bytes("one")).await.unwrap();
    place.put("a/b", bytes("two!")).await.unwrap();
    assert_eq!(place.get("a/b", 4).await.unwrap(), bytes("two!"));
    let error = place.get("a/b", 3).await.unwrap_err();
    assert!(error.to_string().contains("limit of 3") && !error.kind().is_retryable(), "{error}");
    let meta = place.head("a/b").await.unwrap().unwrap();
    assert_eq!(meta.size, 4);
    assert!(place.create("größe/x+1.json", bytes("new")).await.unwrap());
    assert!(!place.create("größe/x+1.json", bytes("newer")).await.unwrap());
    assert_eq!(place.get("größe/x+1.json", 10).await.unwrap(), bytes("new"));
    for key in ["a/c", "aa/d", "top"] {
        place.put(key, bytes(key)).await.unwrap();
    }
    place.put(&format!("{OWN}leases/x"), bytes("x")).await.unwrap();
    place.sync().await.unwrap();
    assert_eq!(keys(place, "").await, ["a/b", "a/c", "aa/d", "größe/x+1.json", "top"]);
    assert_eq!(keys(place, "a/").await, ["a/b", "a/c"]);
    assert_eq!(keys(place, &format!("{OWN}leases/")).await, [format!("{OWN}leases/x")]);
    assert_eq!(keys(place, "none/").await, [""; 0]);
    let top = place.top().await.unwrap();
    let mut directories = top.directories;
    directories.sort();
    assert_eq!(directories, ["a", "aa", "größe"]);
    assert_eq!(
        top.entries.iter().map(|entry| (entry.key.as_str(), entry.meta.size)).collect::<Vec<_>>(),
        [("top", 3)]
    );
    place.delete("a/b").await.unwrap();
    place.delete("a/b").await.unwrap();
    assert_eq!(keys(place, "a/").await, ["a/c"]);
}

#[tokio::test]
async fn a_directory_is_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let place = Directory::create(&dir.path().join("new/store")).unwrap();
    conforms(&place).await;
    let written = place.head("a/c").await.unwrap().unwrap().modified;
    assert!(written.elapsed().is_ok_and(|age| age.as_secs() < 60));
    let mode = |key| std::fs::metadata(place.path(key)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a/c"), mode("a"), mode("größe/x+1.json")), (0o600, 0o700, 0o600));
    // No incomplete file is left.
    assert_eq!(std::fs::read_dir(place.path(&format!("{OWN}new"))).unwrap().count(), 0);
    assert_eq!(Directory::open(&dir.path().join("none")).unwrap_err().kind(), Kind::NotFound);
    assert!(Directory::open(&place.path("top")).is_err());
}

#[tokio::test]
async fn a_listing_of_many_directories_comes_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let place = Directory::create(dir.path()).unwrap();
    for n in 0..5000_u32 {
        let directory = dir.path().join(format!("{:04x}", n / 50));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(n.to_string()), b"").unwrap();
    }
    std::fs::write(dir.path().join("top"), b"").unwrap();
    let first = place.list("", None).await.unwrap();
    assert!(first.next.is_some() && first.entries.len() < 4200);
    let all = keys(&place, "").await;
    assert_eq!(all.len(), 5001);
}

#[tokio::test]
async fn what_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let place = Directory::create(dir.path()).unwrap();
    std::fs::write(dir.path().join("a"), b"").unwrap();
    let error = place.put("a/b", bytes("x")).await.unwrap_err();
    assert!(error.to_string().contains("writing") && !error.kind().is_retryable(), "{error}");
    assert!(place.head("a/b").await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(place.path(&format!("{OWN}new"))).unwrap().count(), 0);
    std::fs::write(place.path(&format!("{OWN}new/left")), b"half").unwrap();
    assert_eq!(place.sweep_unfinished().unwrap(), 1);
}

//! The conformance tests over images in stores.

use crate::backup::tests::casync_program::{casync, is_here};
use crate::backup::tests::{back_up, id, retry, store_in};
use crate::backup::{BackupStore, Selection};
use crate::disk::conformance::{image, reads};

#[tokio::test]
async fn images_in_stores() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(&dir.path().join("store"));
    let of = id("web@2026-11-24T190000Z");
    back_up(&store, &of, &image()).await.unwrap();
    reads(&store.disk(&of).await.unwrap(), &image()).await;
    if !is_here() {
        return;
    }
    std::fs::write(dir.path().join("image"), image()).unwrap();
    casync(dir.path(), &["make", "x.caibx", "image"]);
    let spec = dir.path().join("x.caibx");
    let found = BackupStore::resolve(spec.to_str().unwrap(), retry()).await.unwrap();
    let Selection::Index { store, path } = found else { panic!("it is an index") };
    reads(&store.disk_of_file(&path).await.unwrap(), &image()).await;
}

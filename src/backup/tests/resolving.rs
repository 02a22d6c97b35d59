//! What the argument of a restore selects.

use super::super::{BackupStore, Selection, SnapshotId};
use super::{back_up, id, image, retry, store_in};
use crate::error::Kind;

async fn found(spec: &str) -> Result<Vec<SnapshotId>, Kind> {
    match BackupStore::resolve(spec, retry()).await {
        Ok(Selection::Backups { ids, .. }) => Ok(ids),
        Ok(Selection::Index { .. }) => panic!("{spec} is no index"),
        Err(error) => Err(error.kind()),
    }
}

#[tokio::test]
async fn a_store_a_name_and_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("my@store");
    let store = store_in(&root);
    let all = [id("db@2026-11-24T190000Z"), id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z")];
    let [db, old, new] = all.clone();
    for of in &all {
        back_up(&store, of, &image(1)).await.unwrap();
    }
    let at = |rest: &str| format!("{}{rest}", root.display());
    assert_eq!(found(&at("")).await, Ok(vec![db.clone(), new.clone()]));
    assert_eq!(found(&format!("file://{}/", root.display())).await, Ok(vec![db.clone(), new.clone()]));
    assert_eq!(found(&at("/web")).await, Ok(vec![new.clone()]));
    assert_eq!(found(&format!("file://{}/web", root.display())).await, Ok(vec![new]));
    assert_eq!(found(&at("/web@2026-11-24T190000Z")).await, Ok(vec![old.clone()]));
    assert_eq!(found(&at("/db/")).await, Ok(vec![db]));
    for none in [at("/x"), at("/web@2026-11-26T190000Z"), at("/x/y"), dir.path().display().to_string()] {
        assert_eq!(found(&none).await, Err(Kind::NotFound), "{none}");
    }
    assert_eq!(found(&at("/web@yesterday")).await, Err(Kind::Usage));
    assert_eq!(found("ftp://host/store").await, Err(Kind::Usage));
    let index = root.join(old.index_key());
    let Selection::Index { store: around, path } =
        BackupStore::resolve(index.to_str().unwrap(), retry()).await.unwrap()
    else {
        panic!("it is an index");
    };
    assert_eq!((around.name(), path), (store.name(), index));
}

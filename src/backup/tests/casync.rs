//! casync reads what diskferry writes, and the other way round.

use super::super::index::Index;
use super::super::prune::KeepRules;
use super::super::{BackupStore, Selection};
use super::casync_program::{casync, is_here};
use super::{CHUNK, back_up, contents, id, image, missing_in, retry, store_in};
use crate::disk::ReadAt;
use crate::engine::copy::Held;

#[tokio::test]
async fn casync_extracts_what_is_backed_up() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(&dir.path().join("store"));
    let of = [id("web@2026-11-24T190000Z"), id("web@2026-11-25T190000Z"), id("db@2026-11-25T190000Z")];
    for (seed, of) in (1..).zip(&of) {
        back_up(&store, of, &image(seed)).await.unwrap();
    }
    for (seed, of) in (1..).zip(&of) {
        let index = format!("store/{}", of.index_key());
        casync(dir.path(), &["extract", "--store=store", &index, "out"]);
        assert!(std::fs::read(dir.path().join("out")).unwrap() == image(seed), "{of}");
        std::fs::remove_file(dir.path().join("out")).unwrap();
        let digest = casync(dir.path(), &["digest", "--store=store", &index]);
        std::fs::write(dir.path().join("image"), image(seed)).unwrap();
        assert_eq!(digest, casync(dir.path(), &["digest", "--what=blob", "image"]));
    }
    // After a prune casync finds no unneeded chunks.
    let report = store.prune(&KeepRules { last: 1, ..KeepRules::default() }, false).await.unwrap();
    assert_eq!((report.removed, report.swept.unwrap().chunks), (vec![of[0].clone()], 1));
    let indexes = of[1..].iter().map(|of| format!("store/{}", of.index_key()));
    let args: Vec<String> =
        ["gc", "--dry-run", "--store=store"].map(str::to_owned).into_iter().chain(indexes).collect();
    let said = casync(dir.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("remove 0 chunks, 11 chunks remaining"), "{said}");
}

#[tokio::test]
async fn what_casync_makes_is_read() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("image"), image(7)).unwrap();
    let fixed = format!("--chunk-size={CHUNK}:{CHUNK}:{CHUNK}");
    let kinds: [(&str, &[&str]); 6] = [
        ("default", &[]),
        ("sha256", &["--digest=sha256"]),
        ("fixed", &[&fixed, "--digest=sha256"]),
        ("fixed-512", &[&fixed, "--digest=sha512-256"]),
        ("xz", &["--compression=xz"]),
        ("gzip", &["--compression=gzip", &fixed]),
    ];
    for (name, options) in kinds {
        let (store, index) = (format!("--store={name}.castr"), format!("{name}.caibx"));
        casync(dir.path(), &[&["make", &store, &index, "image"], options].concat());
        let store = store_of(&dir.path().join(format!("{name}.castr")));
        let disk = store.disk_of_file(&dir.path().join(&index)).await.unwrap();
        assert!(contents(&disk).await.unwrap() == image(7), "{name}");
        assert_eq!(disk.index().is_fixed(), name.starts_with("fixed") || name == "gzip", "{name}");
        let zeros = disk.extents(0..disk.info().size).await.unwrap().into_iter().filter(|extent| extent.zero);
        if disk.index().is_fixed() {
            assert_eq!(
                zeros.map(|extent| extent.range).collect::<Vec<_>>(),
                vec![2 * CHUNK..5 * CHUNK],
                "{name}"
            );
        }
        // The parsed index encodes to the same bytes.
        let bytes = std::fs::read(dir.path().join(&index)).unwrap();
        assert!(Index::parse(&index, &bytes).unwrap().to_bytes() == bytes, "{name}");
        // Nothing is added to casync's store, and none of its chunks is deleted.
        assert!(!dir.path().join(format!("{name}.castr/.diskferry")).exists());
        let error = store.prune(&KeepRules { last: 1, ..KeepRules::default() }, false).await.unwrap_err();
        assert!(error.to_string().contains("was not created by"), "{error}");
        assert_eq!(missing_in(&dir.path().join(format!("{name}.castr")), disk.index()), [""; 0]);
    }
}

fn store_of(path: &std::path::Path) -> BackupStore {
    BackupStore::new(std::sync::Arc::new(super::Directory::open(path).unwrap()), retry())
}

/// An index is found with the chunks beside it, and a casync store keeps its chunks when a backup is added.
#[tokio::test]
async fn a_store_is_shared_with_casync() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("image"), image(7)).unwrap();
    casync(dir.path(), &["make", "x.caibx", "image"]);
    let spec = dir.path().join("x.caibx");
    let found = BackupStore::resolve(spec.to_str().unwrap(), retry()).await.unwrap();
    let Selection::Index { store, path } = found else { panic!("it is an index") };
    let disk = store.disk_of_file(&path).await.unwrap();
    assert!(contents(&disk).await.unwrap() == image(7));
    // An index of casync's in the store protects its chunks.
    let fixed = format!("--chunk-size={CHUNK}:{CHUNK}:{CHUNK}");
    casync(dir.path(), &["make", &fixed, "--digest=sha256", "--store=store", "other.caibx", "image"]);
    std::fs::rename(dir.path().join("other.caibx"), dir.path().join("store/other.caibx")).unwrap();
    let store = store_in(&dir.path().join("store"));
    let of = id("web@2026-11-25T190000Z");
    let copied = back_up(&store, &of, &image(7)).await.unwrap();
    assert_eq!(copied.sent, 0, "casync's chunks are there already");
    std::fs::remove_file(dir.path().join("store").join(of.index_key())).unwrap();
    let report = store.prune(&KeepRules { last: 1, ..KeepRules::default() }, false).await.unwrap();
    assert_eq!((report.foreign, report.swept.unwrap().chunks), (vec!["other.caibx".to_owned()], 0));
    casync(dir.path(), &["extract", "--store=store", "store/other.caibx", "out"]);
    assert!(std::fs::read(dir.path().join("out")).unwrap() == image(7));
    let session = store.begin().await.unwrap();
    let first = crate::digest::Algorithm::Sha256.digest(&image(7)[..65536]);
    assert!(Held::holds(&*session.held(), 0, &first));
}

use super::*;
use crate::disk::ReadAt;
use crate::disk::file::PartDisk;

fn part(target: &Path, size: u64) -> PartFile {
    let part = PartFile::create(target, |_| None).unwrap();
    part.set_len(size).unwrap();
    part
}

#[test]
fn zeros_become_holes_and_the_name_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let part = part(&target, 4 << 20);
    assert!(part.write(0, &vec![0; 1 << 20]).unwrap());
    let mut bytes = vec![0; 1 << 20];
    bytes[500_000] = 1;
    assert!(!part.write(1 << 20, &bytes).unwrap());
    assert!(!target.exists());
    part.finish(false).unwrap();
    let meta = target.metadata().unwrap();
    assert_eq!(meta.len(), 4 << 20);
    assert!(meta.blocks() * 512 <= 64 << 10, "{} bytes on disk", meta.blocks() * 512);
    assert!(!PartFile::path_of(&target).exists());
    assert_eq!(std::fs::read(&target).unwrap()[(1 << 20) + 500_000], 1);
}

/// Zeros need not be written where the file has a hole, unless an earlier run wrote there.
#[tokio::test]
async fn a_part_tells_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let first = part(&target, 4 << 20);
    first.write(1 << 20, &vec![7; 1 << 20]).unwrap();
    let record = first.record().unwrap();
    drop(first);
    let part = PartFile::resume(&target, record).unwrap().unwrap();
    let told = PartDisk::new(part, 4 << 20).extents(0..4 << 20).await.unwrap();
    let told: Vec<_> = told.into_iter().map(|extent| (extent.range, extent.zero)).collect();
    assert_eq!(told, [(0..1 << 20, true), (1 << 20..2 << 20, false), (2 << 20..4 << 20, true)]);
}

#[test]
fn what_an_earlier_run_left_does_not_shine_through() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let first = part(&target, 100_000);
    first.write(0, &vec![7; 100_000]).unwrap();
    let record = first.record().unwrap();
    drop(first);
    let part = PartFile::resume(&target, record).unwrap().unwrap();
    assert!(part.write(10_000, &vec![0; 50_000]).unwrap());
    part.finish(false).unwrap();
    let bytes = std::fs::read(&target).unwrap();
    assert!(bytes[..10_000].iter().all(|b| *b == 7) && bytes[60_000..].iter().all(|b| *b == 7));
    assert!(bytes[10_000..60_000].iter().all(|b| *b == 0));
}

#[test]
fn a_part_that_is_not_ours_is_neither_taken_nor_touched() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let stray = PartFile::path_of(&target);
    std::fs::write(&stray, "precious").unwrap();
    let refused = PartFile::create(&target, |_| None).unwrap_err();
    assert_eq!(refused.kind(), Kind::Exists);
    let other = PartRecord { device: 1, inode: 1, born: None };
    assert!(PartFile::resume(&target, other).unwrap().is_none());
    PartFile::discard(&target, other).unwrap();
    assert_eq!(std::fs::read(&stray).unwrap(), b"precious");
    // A link, even a dangling one, is not followed.
    std::fs::remove_file(&stray).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &stray).unwrap();
    assert!(PartFile::create(&target, |_| None).is_err());
    assert!(!dir.path().join("elsewhere").exists());
    // A run that was killed before it could record the inode leaves an empty file.
    std::fs::remove_file(&stray).unwrap();
    std::fs::write(&stray, "").unwrap();
    let taken = PartFile::create(&target, |_| None).unwrap();
    assert_eq!(PartFile::create(&target, |_| None).unwrap_err().kind(), Kind::Exists, "it is locked");
    taken.finish(false).unwrap();
}

#[test]
fn a_file_that_has_its_name_already_is_found_by_its_inode() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let first = part(&target, 10);
    let record = first.record().unwrap();
    first.finish(false).unwrap();
    let again = PartFile::resume(&target, record).unwrap().unwrap();
    assert!(again.is_named());
    PartFile::discard(&target, record).unwrap_err();
    drop(again);
    PartFile::discard(&target, record).unwrap();
    assert!(target.exists(), "it is no temporary file any more");
    PartFile::resume(&target, record).unwrap().unwrap().finish(false).unwrap();
    assert!(target.exists());
}

#[test]
fn a_file_that_came_meanwhile_is_not_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let part = part(&target, 10);
    std::fs::write(&target, "mine").unwrap();
    assert_eq!(part.clone().finish(false).unwrap_err().kind(), Kind::Exists);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    part.finish(true).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), [0; 10]);
}

#[test]
fn a_part_that_was_swapped_is_not_given_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("image");
    let part = part(&target, 10);
    std::fs::remove_file(PartFile::path_of(&target)).unwrap();
    std::fs::write(PartFile::path_of(&target), "not the image").unwrap();
    assert!(part.finish(true).unwrap_err().to_string().contains("moved or replaced"));
    assert!(!target.exists());
}

use super::*;
use std::io::Write;

#[test]
fn a_change_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 100]).unwrap();
    let source = FileDisk::open(file.path()).unwrap();
    source.check().unwrap();
    file.as_file().set_len(50).unwrap();
    let said = source.check().unwrap_err().to_string();
    assert!(said.contains("truncated from 100 to 50"), "{said}");
    file.as_file().set_len(200).unwrap();
    let said = source.check().unwrap_err().to_string();
    assert!(said.contains("its size was 100 and is 200"), "{said}");
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(FileDisk::open(empty.path()).unwrap_err().kind(), Kind::Source);
}

/// A tool that restores the modification time (`cp -p`, `rsync -t`, `touch -d`) cannot restore ctime.
#[test]
fn a_rewrite_with_its_modification_time_put_back_is_a_change() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 100]).unwrap();
    let before = file.as_file().metadata().unwrap().modified().unwrap();
    let source = FileDisk::open(file.path()).unwrap();
    let ctime = |file: &File| file.metadata().map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    let was = ctime(file.as_file());
    // The kernel's file clock moves in ticks; rewrite until it has advanced.
    while ctime(file.as_file()) == was {
        file.as_file().write_all_at(&[2; 100], 0).unwrap();
        file.as_file().set_modified(before).unwrap();
    }
    let said = source.check().unwrap_err().to_string();
    assert!(said.contains("was modified, its modification time put back"), "{said}");
}

#[test]
fn a_file_cut_short_while_it_is_read_is_an_error_at_its_offset() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let source = FileDisk::open(file.path()).unwrap();
    file.as_file().set_len(700_000).unwrap();
    let error = source.read_small(512 << 10, 512 << 10).unwrap_err();
    assert!(error.to_string().contains("it was truncated from 1048576 to 700000 bytes"), "{error}");
    assert_eq!((error.kind(), error.at_offset()), (Kind::Source, Some(700_000)));
    assert!(source.read_small(1 << 20, 1).unwrap_err().to_string().contains("outside"));
    assert!(source.read_small(u64::MAX, 2).is_err());
}

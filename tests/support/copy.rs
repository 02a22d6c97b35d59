//! Copies of an emulator's data directory, to put a remote back to an older state.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Copies a directory with everything in it, and keeps its holes. What is at `to` is removed first.
///
/// Take a copy while nothing is written (`Emulator::settle`), with the counters on disk
/// (`Emulator::save_counters`, or a stopped emulator). Put it back while the emulator is stopped.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            copy_sparse(&source, &target)?;
        }
    }
    Ok(())
}

fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    let size = source.metadata()?.len();
    target.set_len(size)?;
    target.set_permissions(source.metadata()?.permissions())?;
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < size {
        let data = match seek(&source, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = data;
        let end = seek(&source, SeekFrom::Hole(data))?;
        while at < end {
            let step = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            source.read_exact_at(&mut buffer[..step], at)?;
            target.write_all_at(&buffer[..step], at)?;
            at += step as u64;
        }
    }
    Ok(())
}

#[test]
fn a_copy_has_the_bytes_and_the_holes() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::create_dir_all(from.join("deep")).unwrap();
    std::fs::create_dir_all(&to).unwrap();
    std::fs::write(to.join("stale"), "left over").unwrap();
    std::fs::write(from.join("deep/small.json"), "{}").unwrap();
    let sparse = File::create(from.join("drive.raw")).unwrap();
    sparse.set_len((8 << 30) + 5).unwrap();
    let places = [0, (1 << 30) + 777, (8 << 30) + 1];
    for at in places {
        sparse.write_all_at(b"data", at).unwrap();
    }
    copy_tree(&from, &to).unwrap();
    assert!(!to.join("stale").exists());
    assert_eq!(std::fs::read(to.join("deep/small.json")).unwrap(), b"{}");
    let copy = File::open(to.join("drive.raw")).unwrap();
    let meta = copy.metadata().unwrap();
    assert_eq!(meta.len(), (8 << 30) + 5);
    assert!(meta.blocks() <= sparse.metadata().unwrap().blocks() + 64, "{} blocks", meta.blocks());
    for at in places {
        let mut bytes = [0; 4];
        copy.read_exact_at(&mut bytes, at).unwrap();
        assert_eq!(&bytes, b"data");
    }
}

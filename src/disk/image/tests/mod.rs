//! The readers compared with `qemu-img`, and their behaviour on invalid files.

mod hostile;
mod hostile_microsoft;
mod hostile_vmdk;
mod matrix;
mod packed;

use super::{OpenContext, OpenOptions, Opened, open};
use crate::disk::conformance::qemu_img;
use crate::disk::{Extent, ReadAt};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::stop::Stop;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Never stops.
fn asked() -> OpenContext {
    OpenContext { observer: crate::event::no_observer(), stop: Stop::never() }
}

/// Collects the notes.
fn noted() -> (OpenContext, Arc<Mutex<Vec<String>>>) {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&notes);
    let observer: Observer = Arc::new(move |event| {
        if let Event::Note(text) = event {
            into.lock().unwrap().push(text.clone());
        }
    });
    (OpenContext { observer, stop: Stop::never() }, notes)
}

/// Opens an image as a disk. Also returns its description.
fn disk_with(path: &Path, options: &OpenOptions) -> Result<(Arc<dyn ReadAt>, String)> {
    match open(path, options, &asked())? {
        (Opened::Disk(disk), reading) => Ok((disk, reading)),
        (Opened::Stream(stream), reading) => panic!("{reading} is a stream: {stream:?}"),
    }
}

fn disk(path: &Path) -> Arc<dyn ReadAt> {
    disk_with(path, &OpenOptions::default()).unwrap().0
}

/// Returns why an image is refused.
fn refused(path: &Path, options: &OpenOptions) -> Error {
    match open(path, options, &asked()) {
        Ok((_, reading)) => panic!("{} was opened as {reading}", path.display()),
        Err(error) => error,
    }
}

/// Reads all bytes in unaligned pieces.
fn bytes_of(disk: &dyn ReadAt) -> Result<Vec<u8>> {
    let (mut all, mut piece, mut at) = (Vec::new(), vec![9; 3], 0);
    for step in (0_u64..).map(|n| [700_001, 65_536, 1 << 20, 513][usize::try_from(n % 4).unwrap()]) {
        let len = step.min(disk.info().size - at);
        if len == 0 {
            break;
        }
        disk.local().expect("it is on this machine").read_into(at, len, &mut piece)?;
        all.extend_from_slice(&piece);
        at += len;
    }
    Ok(all)
}

/// Returns the extents of the whole image.
fn extents(disk: &dyn ReadAt) -> Result<Vec<Extent>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(disk.extents(0..disk.info().size))
}

/// Returns how many bytes are reported as zero, after checking that they are and that the extents cover the
/// image.
fn zeros(disk: &dyn ReadAt, bytes: &[u8]) -> u64 {
    let (mut at, mut zeros) = (0, 0);
    for extent in extents(disk).unwrap() {
        assert!(extent.range.start == at && extent.range.end > at, "{extent:?} after {at}");
        let range = usize::try_from(extent.range.start).unwrap()..usize::try_from(extent.range.end).unwrap();
        if extent.zero {
            assert!(crate::disk::zero::is_zero(&bytes[range.clone()]), "{extent:?} is not zeros");
            zeros += range.len() as u64;
        }
        at = extent.range.end;
    }
    assert_eq!(at, bytes.len() as u64);
    zeros
}

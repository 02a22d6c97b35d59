//! Image formats. Whatever the bytes, opening and reading end in bounded time and memory. The bytes read do
//! not depend on how they are requested, and what is reported as zeros is zeros.

use super::input::{Input, wait};
use diskferry::disk::Extent;
use diskferry::disk::format::{Format, SourceFormat};
use diskferry::disk::image::{OpenContext, OpenOptions, Opened, open};
use diskferry::{event, stop::Stop};
use std::io::Write;

/// The most bytes to read at each end of an image.
const MOST: u64 = 256 << 10;

/// The input is the format to request, if any, then the file.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let format = match input.byte() {
        0 => SourceFormat::Exactly(Format::Qcow2),
        1 => SourceFormat::Exactly(Format::Vmdk),
        2 => SourceFormat::Exactly(Format::Vhd),
        3 => SourceFormat::Exactly(Format::Vhdx),
        _ => SourceFormat::Auto,
    };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(input.rest()).expect("room for it");
    let options = OpenOptions { format, size_at_most: Some(4 << 20), ..OpenOptions::default() };
    let asked = OpenContext { observer: event::no_observer(), stop: Stop::never() };
    // An error is a valid result.
    let Ok((Opened::Disk(disk), _)) = open(file.path(), &options, &asked) else { return };
    let size = disk.info().size;
    assert!(size > 0);
    for window in [0..size.min(MOST), size.saturating_sub(MOST)..size] {
        let local = disk.local().expect("it is a file of this machine");
        let extents = wait(disk.extents(window.clone()));
        if let Ok(extents) = &extents {
            covers(extents, window.start, window.end);
        }
        let mut whole = Vec::new();
        let read = local.read_into(window.start, window.end - window.start, &mut whole);
        if read.is_err() {
            continue;
        }
        let mut piece = Vec::new();
        for Extent { range, zero } in extents.expect("what can be read can be told of") {
            let at = usize::try_from(range.start - window.start).expect("a small window");
            let len = range.end - range.start;
            local.read_into(range.start, len, &mut piece).expect("what was read can be read again");
            assert!(piece[..] == whole[at..at + piece.len()]);
            assert!(!zero || piece.iter().all(|byte| *byte == 0));
        }
    }
}

fn covers(extents: &[Extent], start: u64, end: u64) {
    let mut at = start;
    for extent in extents {
        assert!(extent.range.start == at && extent.range.end > at, "{extents:?}");
        at = extent.range.end;
    }
    assert_eq!(at, end);
}

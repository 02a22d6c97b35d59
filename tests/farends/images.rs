//! Images to be moved, and what they may take where they arrive.

use crate::support::qemu_img::run;
use crate::world::{noise, write_image};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const MIB: u64 = 1 << 20;

/// The chunks of all tests: small ones, so that there are many.
pub const CHUNK: u64 = 128 << 10;

/// The size of the images that are moved by each server.
pub fn size() -> u64 {
    let mib: Option<u64> = std::env::var("FARENDS_MIB").ok().map(|text| text.parse().expect("a number"));
    mib.unwrap_or(64) * MIB
}

/// A file system of `size` bytes, a third of it full of text and of noise and the rest holes, as mke2fs makes it; where that is
/// not installed, an image that has the same in it and is no file system.
pub fn file_system(dir: &Path, name: &str, size: u64) -> PathBuf {
    let image = dir.join(name);
    // It is where administrators find it.
    let places = ["mke2fs", "/usr/sbin/mke2fs", "/sbin/mke2fs"];
    let Some(mke2fs) = places.into_iter().find(|program| Command::new(program).arg("-V").output().is_ok())
    else {
        crate::skipped::skipped("mke2fs is not installed, so the image has no file system");
        write_image(&image, size);
        return image;
    };
    let files = dir.join(format!("{name}.files"));
    std::fs::create_dir(&files).unwrap();
    let each = usize::try_from(size / 48).unwrap();
    for n in 0..16 {
        let bytes = if n % 2 == 0 {
            noise(n + size, each)
        } else {
            format!("line {n} of a text\n").into_bytes().repeat(each / 18)
        };
        std::fs::write(files.join(format!("file-{n}")), bytes).unwrap();
    }
    let (files_text, image_text, kib) =
        (files.to_str().unwrap(), image.to_str().unwrap(), format!("{}k", size >> 10));
    run(mke2fs, dir, &["-q", "-t", "ext4", "-d", files_text, image_text, &kib]);
    std::fs::remove_dir_all(files).unwrap();
    assert_eq!(std::fs::metadata(&image).unwrap().len(), size);
    image
}

/// The bytes of the chunks of an image that are not zeros: the most that may be sent, and be allocated.
pub fn data(image: &Path) -> u64 {
    let bytes = std::fs::read(image).unwrap();
    let chunks = bytes.chunks(usize::try_from(CHUNK).unwrap());
    chunks.filter(|chunk| chunk.iter().any(|byte| *byte != 0)).map(|chunk| chunk.len() as u64).sum()
}

/// The bytes that a file takes on its disk.
pub fn allocated(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().blocks() * 512
}

/// Compares two files, which may be large.
pub fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

//! The images of a schedule: their bytes, their changes, and the arguments of a transfer.

use crate::random::Random;
use crate::schedule::{Change, Direction, Run, Setup, Which};
use crate::world::World;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Returns the name of a source's file.
pub fn file_name(which: Which) -> &'static str {
    match which {
        Which::A => "a.img",
        Which::B => "b.img",
    }
}

/// Returns the name of a source's packed file.
pub fn packed_name(which: Which) -> &'static str {
    match which {
        Which::A => "a.gz",
        Which::B => "b.gz",
    }
}

/// Returns the bytes of an image.
///
/// Each chunk is of one kind, so that two versions of it differ everywhere or nowhere. A remote without
/// counters is therefore never asked to notice what a sample cannot.
pub fn image(setup: &Setup, version: u64) -> Vec<u8> {
    let mut random = Random::new(setup.content.wrapping_mul(1000).wrapping_add(version));
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < setup.size {
        let len = usize::try_from(setup.chunk.min(setup.size - bytes.len() as u64)).unwrap();
        let place = bytes.len();
        match random.below(4) {
            0 => bytes.resize(place + len, 0),
            1 => bytes.extend(random.bytes(len)),
            _ => {
                let line =
                    format!("chunk at {place} of version {version} of an image that compresses well\n");
                bytes.extend(line.bytes().cycle().take(len));
            }
        }
    }
    bytes
}

/// Writes an image. Its zeros are holes or data, at random.
pub fn write_image(path: &Path, bytes: &[u8], setup: &Setup) {
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let chunk = usize::try_from(setup.chunk).unwrap();
    for (index, piece) in bytes.chunks(chunk).enumerate() {
        let hole = index % 3 == 1 && piece.iter().all(|byte| *byte == 0);
        if !hole {
            file.write_all_at(piece, (index * chunk) as u64).unwrap();
        }
    }
}

pub fn pack(from: &[u8], to: &Path) {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(from).unwrap();
    std::fs::write(to, out.finish().unwrap()).unwrap();
}

/// Changes the file of a source.
pub fn change(path: &Path, change: Change, setup: &Setup, random: &mut Random) {
    let before = path.metadata().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    match change {
        Change::InPlace(offset) => {
            let bytes = random.bytes(1000);
            let offset = offset.min(before.len().saturating_sub(bytes.len() as u64));
            later(&file, &before, |file| {
                file.write_all_at(&bytes, offset).unwrap();
                file.set_modified(before.modified().unwrap()).unwrap();
            });
        }
        Change::Truncate => later(&file, &before, |file| file.set_len(before.len() / 2 + 512).unwrap()),
        Change::Append => {
            let bytes = random.bytes(512);
            later(&file, &before, |file| file.write_all_at(&bytes, before.len()).unwrap());
        }
        Change::Zeros(from) => later(&file, &before, |file| {
            file.set_len(from.min(before.len())).unwrap();
            file.set_len(before.len()).unwrap();
        }),
        Change::Replace => {
            let new = path.with_extension("new");
            let setup = Setup { size: before.len(), ..setup.clone() };
            write_image(&new, &image(&setup, 3 + random.below(1000)), &setup);
            let file = File::options().write(true).open(&new).unwrap();
            later(&file, &before, |file| file.set_modified(std::time::SystemTime::now()).unwrap());
            std::fs::rename(new, path).unwrap();
        }
    }
}

/// Repeats an action on a file until its time of change differs: the kernel's clock for it advances in steps.
fn later(file: &File, before: &std::fs::Metadata, act: impl Fn(&File)) {
    loop {
        act(file);
        let now = file.metadata().unwrap();
        if (now.ctime(), now.ctime_nsec()) != (before.ctime(), before.ctime_nsec()) {
            return;
        }
        std::thread::yield_now();
    }
}

/// The drives of a schedule's transfers.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The source drives of A and B.
    pub sources: [String; 2],
    /// The drive to write to.
    pub target: String,
    /// A neighbouring drive that no run may touch, and its bytes.
    pub beside: (String, Vec<u8>),
}

impl Objects {
    pub fn source(&self, which: Which) -> &str {
        &self.sources[usize::from(which == Which::B)]
    }
}

/// Returns the path of a download's FILE.
pub fn target_file(world: &World) -> PathBuf {
    world.path("out.img")
}

/// Returns the path of a download's FILE.part.
pub fn part_file(world: &World) -> PathBuf {
    world.path("out.img.part")
}

/// Returns the arguments of a run.
pub fn arguments(setup: &Setup, objects: &Objects, run: Run) -> Vec<String> {
    let which = run.which;
    let (file, drive, target) = (file_name(which), objects.source(which), &objects.target);
    let key = match which {
        Which::A => "a",
        Which::B => "b",
    };
    let words: Vec<String> = match setup.direction {
        Direction::Named => vec!["upload".into(), file.into(), format!("oh:{target}")],
        Direction::New => vec!["upload".into(), file.into(), "oh:".into()],
        Direction::Stdin => {
            vec!["upload".into(), "-".into(), format!("oh:{target}"), "--size".into(), setup.size.to_string()]
        }
        Direction::StdinNew => {
            let (name, size) = (file.to_owned(), setup.size.to_string());
            vec!["upload".into(), "-".into(), "oh:".into(), "--name".into(), name, "--size".into(), size]
        }
        Direction::Appliance => vec!["migrate".into(), format!("spot:appliance/gz-{key}"), "oh:".into()],
        Direction::Download => vec!["download".into(), format!("oh:{drive}"), "out.img".into()],
        Direction::Migrate => vec!["migrate".into(), format!("src:{drive}"), format!("oh:{target}")],
        Direction::MigrateNew => vec!["migrate".into(), format!("src:{drive}"), "oh:".into()],
        Direction::Ranges => vec!["download".into(), format!("spot:appliance/raw-{key}"), "out.img".into()],
        Direction::Unpack => {
            vec!["download".into(), format!("spot:appliance/gz-{key}"), "out.img".into(), "--unpack".into()]
        }
    };
    let mut args = words;
    args.extend(["--chunk-size".into(), setup.chunk.to_string()]);
    args.extend(["--verify".into(), if run.unverified { "none" } else { setup.verify }.into()]);
    args.extend(setup.options.iter().cloned());
    args.extend(run.restart.then(|| "--restart".into()));
    args.extend((run.force && setup.direction.to_file()).then(|| "--force".into()));
    if setup.full {
        args.extend(["--resume".into(), "full".into()]);
    }
    args
}

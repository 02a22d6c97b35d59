//! Packed images: inspecting one and unpacking it agree, and memory does not grow with what an archive
//! claims.

use super::input::{Input, wait};
use bytes::Bytes;
use diskferry::disk::stream::pipe::pipe;
use diskferry::disk::stream::unpack::{Contents, Packing, look, unpack};
use diskferry::disk::stream::xz_index::raw_size;
use std::io::{Read, Write};

/// The most bytes to take of an image: a small archive may hold a large one.
const MOST: usize = 4 << 20;

/// The input is how it is packed, the length of the pieces it arrives in, and a file as it is or an image to
/// pack.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (packing, piece) = (input.byte(), usize::from(input.byte()) * 64 + 1);
    let rest = input.rest();
    match packing {
        0 => round_trip(rest, piece, |image| zstd::encode_all(image, 1).expect("zstd")),
        1 => round_trip(rest, piece, gzip),
        2 => round_trip(rest, piece, |image| gzip(&zstd::encode_all(image, 3).expect("zstd"))),
        _ => found(rest, piece),
    }
}

/// What was packed is restored, unless it is packed itself or known not to be a raw image.
fn round_trip(image: &[u8], piece: usize, pack: impl Fn(&[u8]) -> Vec<u8>) {
    let plain = look(image).is_ok_and(|contents| contents.layers.is_empty());
    if plain {
        assert!(unpacked(&pack(image), piece).is_ok_and(|(out, whole)| whole && out == image));
    } else {
        found(&pack(image), piece);
    }
}

fn found(file: &[u8], piece: usize) {
    let looked = look(file);
    let outcome = unpacked(file, piece);
    match (&looked, &outcome) {
        (Ok(contents), Ok((image, true))) => agree(contents, file, image),
        (Err(looked), Ok(_)) => panic!("it was unpacked, though {looked}"),
        // Both fail for the same reason, except that damage before it can end the unpacking earlier.
        (Err(looked), Err(unpacked)) => {
            assert!(
                unpacked.contains("damaged") || unpacked.contains(&looked.to_string()),
                "{looked}, {unpacked}"
            );
        }
        _ => {}
    }
}

fn agree(contents: &Contents, file: &[u8], image: &[u8]) {
    if contents.layers.is_empty() {
        assert!(image == file && contents.size.is_none());
    }
    if contents.layers == [Packing::Tar] {
        assert_eq!(contents.size, Some(image.len() as u64));
    }
    if contents.layers == [Packing::Xz] {
        let read = async |offset: u64, len: u64| {
            let (offset, len) =
                (usize::try_from(offset).expect("small"), usize::try_from(len).expect("small"));
            Ok(file[offset..offset + len].to_vec())
        };
        let told = wait(raw_size(file.len() as u64, read)).expect("reading does not fail here");
        assert!(told.is_none_or(|told| told == image.len() as u64), "{told:?} and {}", image.len());
    }
}

/// Returns the image, up to the limit, and whether it is complete; or the error.
fn unpacked(file: &[u8], piece: usize) -> Result<(Vec<u8>, bool), String> {
    // The pipe buffers this many pieces before anybody reads, so that writing needs no thread.
    const PIECES: usize = 12;
    let (writer, reader) = pipe();
    for piece in file.chunks(piece.max(file.len().div_ceil(PIECES))) {
        assert!(writer.send_blocking(Bytes::copy_from_slice(piece)), "the reader is here");
    }
    writer.end_blocking(Ok(()));
    let reader = unpack(reader).expect("a thread");
    let failure = reader.failure();
    let mut image = Vec::new();
    let outcome = reader.take(MOST as u64).read_to_end(&mut image);
    match outcome {
        Ok(len) => Ok((image, len < MOST)),
        Err(error) => {
            let error = failure.behind(error, "reading");
            let said = error.to_string();
            assert!(!said.contains("bug in diskferry"), "{said}");
            assert!(said.len() < 4000, "{} characters", said.len());
            Err(said)
        }
    }
}

fn gzip(image: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(image).and_then(|()| encoder.finish()).expect("gzip into memory")
}

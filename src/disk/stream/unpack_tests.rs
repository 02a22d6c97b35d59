use super::*;
use std::io::Write;

/// An image that is neither constant nor random.
fn image() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i / 1000).to_le_bytes()[0] ^ (i % 7).to_le_bytes()[0]).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = ::tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        out.append_data(&mut header, name, *bytes).unwrap();
    }
    out.into_inner().unwrap()
}

fn unpacked(packed: Vec<u8>) -> Result<Vec<u8>> {
    let (writer, reader) = pipe();
    let thread = std::thread::spawn(move || {
        for piece in packed.chunks(10_000) {
            if !writer.send_blocking(Bytes::copy_from_slice(piece)) {
                return;
            }
        }
        writer.end_blocking(Ok(()));
    });
    let mut reader = unpack(reader)?;
    let failure = reader.failure();
    let mut all = Vec::new();
    let read = reader.read_to_end(&mut all);
    drop(reader);
    thread.join().unwrap();
    read.map(|_| all).map_err(|e| failure.behind(e, "reading"))
}

#[test]
fn an_image_comes_out_of_every_packing() {
    let image = image();
    // Written by xz 5.4: `printf 'diskferry\n' | xz -9`.
    let xz = std::fs::read("testdata/packed/words.xz").unwrap();
    assert_eq!(unpacked(xz).unwrap(), b"diskferry\n");
    for (packed, layers) in [
        (image.clone(), ""),
        (gzip(&image), "gzip"),
        ([gzip(&image[..1000]), gzip(&image[1000..])].concat(), "gzip"),
        (zstd(&image), "zstd"),
        (bzip2(&image), "bzip2"),
        ([bzip2(&image[..1000]), bzip2(&image[1000..])].concat(), "bzip2"),
        (bzip2(&tar(&[("disk.raw", &image)])), "tar in bzip2"),
        (tar(&[("disk.raw", &image)]), "tar"),
        (gzip(&tar(&[("x/meta.xml", b"<x/>"), ("disk.raw", &image), ("SHA256SUMS", b"")])), "tar in gzip"),
        (zstd(&tar(&[("box.ovf", b"<x/>"), ("disk.img.gz", &gzip(&image))])), "gzip in tar in zstd"),
    ] {
        let contents = look(&packed[..packed.len().min(1 << 20)]).unwrap();
        assert_eq!(contents.describe(), layers);
        let told = layers.starts_with("tar").then_some(image.len() as u64);
        assert_eq!(contents.size, told, "{layers}");
        assert!(unpacked(packed).unwrap() == image, "{layers}");
    }
}

#[test]
fn a_short_image_and_an_empty_one_are_read_to_their_end() {
    assert_eq!(unpacked(gzip(b"x")).unwrap(), b"x");
    assert_eq!(unpacked(Vec::new()).unwrap(), b"");
}

#[test]
fn what_is_damaged_or_cut_short_is_an_error_and_never_a_short_image() {
    let image = image();
    for packed in [
        gzip(&image),
        zstd(&image),
        bzip2(&image),
        gzip(&tar(&[("disk.raw", &image)])),
        tar(&[("disk.raw", &image)]),
    ] {
        for len in [packed.len() - 1, packed.len() / 2] {
            // The padding of an archive may be cut off.
            if packed.len() - len == 1 && packing_of(&packed) == Some(Packing::Tar) {
                continue;
            }
            let error = unpacked(packed[..len].to_vec()).unwrap_err();
            assert_eq!(error.kind(), Kind::Source, "{error}");
            assert!(error.to_string().contains("damaged or truncated"), "{error}");
        }
    }
    let mut flipped = gzip(&image);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    assert!(unpacked(flipped).is_err());
}

#[test]
fn an_image_of_another_kind_is_refused_by_name() {
    for (bytes, says) in [
        (&b"QFI\xfb and so on"[..], "QCOW2"),
        (b"KDMV and so on", "VMDK"),
        (b"<<< Oracle VM VirtualBox", "VDI"),
    ] {
        for packed in [bytes.to_vec(), gzip(bytes), tar(&[("disk.vmdk", bytes)])] {
            let error = unpacked(packed.clone()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(look(&packed).unwrap_err().to_string().contains(says));
        }
    }
    let none = unpacked(tar(&[("box.ovf", b"<x/>")])).unwrap_err();
    assert!(none.to_string().contains("contains no image"), "{none}");
}

#[test]
fn the_error_of_whoever_feeds_the_stream_comes_through() {
    let packed = gzip(&image());
    let (writer, reader) = pipe();
    std::thread::spawn(move || {
        assert!(writer.send_blocking(Bytes::copy_from_slice(&packed[..1000])));
        writer.end_blocking(Err(Error::new(Kind::Interrupted, "stopped")));
    });
    let mut reader = unpack(reader).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(reader.failure().behind(error, "reading").kind(), Kind::Interrupted);
}

/// A zstd frame header with this window, and 5 raw bytes.
fn frame(window_log: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, (len << 3) | 1, 0, 0];
    frame.extend_from_slice(content);
    frame
}

#[test]
fn layers_share_the_memory_that_unpacking_may_take() {
    assert_eq!(unpacked(frame(26, b"hello")).unwrap(), b"hello");
    assert_eq!(unpacked(frame(26, &frame(21, b"hi"))).unwrap(), b"hi");
    for packed in [frame(27, b"hello"), frame(26, &frame(22, b"hi"))] {
        for error in [unpacked(packed.clone()).unwrap_err(), look(&packed).unwrap_err()] {
            assert!(error.to_string().contains("memory"), "{error}");
            assert!(error.hint_text().is_some());
        }
    }
}

#[test]
fn a_long_name_is_read_and_a_longer_one_is_refused() {
    let named = |len: usize| tar(&[(&*format!("{}/disk", "d".repeat(len)), b"hello")]);
    let fits = named(500_000);
    assert_eq!(unpacked(fits.clone()).unwrap(), b"hello");
    assert_eq!(look(&fits).unwrap().member.map(|name| name.len()), Some(500_005));
    for long in [named(1_100_000), zstd(&named(1_100_000))] {
        for error in [unpacked(long.clone()).unwrap_err(), look(&long).unwrap_err()] {
            assert!(error.to_string().contains("record of the archive is larger"), "{error}");
        }
    }
    // After the image, too.
    let mut behind = tar(&[("disk", &image())]);
    behind.truncate(512 + 3_000_000_usize.next_multiple_of(512));
    behind.extend(named(1_100_000));
    assert!(unpacked(behind).unwrap_err().to_string().contains("record"));
}

#[test]
fn what_comes_in_front_of_the_image_is_bounded() {
    let long = vec![0; 65 << 20];
    for error in [
        unpacked(zstd(&tar(&[("box.ovf", &long), ("disk", b"hello")]))).unwrap_err(),
        look(&zstd(&tar(&[("box.ovf", &long), ("disk", b"hello")]))).unwrap_err(),
        // Empty members, one after the other.
        unpacked(zstd(&gzip(b"").repeat(4 << 20))).unwrap_err(),
    ] {
        assert!(error.to_string().contains("64 MiB before the image"), "{error}");
    }
    // What follows the image is read to its end.
    let image = unpacked(zstd(&tar(&[("disk", b"hello"), ("other", &long)]))).unwrap();
    assert_eq!(image, b"hello");
}

#[test]
fn nobody_waits_for_a_thread_that_unpacks_for_nobody() {
    // A terabyte after the image, in blocks of "128 KiB of this byte".
    let archive = tar(&[("disk", b"hello")]);
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    bomb.extend_from_slice(&(1024_u32 << 3).to_le_bytes()[..3]);
    bomb.extend_from_slice(&archive[..1024]);
    bomb.extend([2, 0, 0x10, 0].repeat(8 << 20));
    let bomb = zstd(&bomb);
    let (writer, reader) = pipe();
    assert!(writer.send_blocking(Bytes::from(bomb)));
    let mut reader = unpack(reader).unwrap();
    let mut image = [0; 5];
    reader.read_exact(&mut image).unwrap();
    assert_eq!(&image, b"hello");
    drop(reader);
    // The thread drops its end.
    let start = std::time::Instant::now();
    while writer.send_blocking(Bytes::from_static(b"x")) {
        assert!(start.elapsed().as_secs() < 10, "the thread goes on");
    }
}

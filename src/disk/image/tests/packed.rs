//! Compressed images and images in archives.

use super::matrix::{MIB, contents, write_sparse};
use super::qemu_img::{is_here, qemu_img, run};
use super::{OpenContext, OpenOptions, Opened, asked, bytes_of, disk_with, noted, open, refused, zeros};
use crate::disk::stream::Stream;
use crate::disk::{Buffers, Identity, ReadStream};
use crate::error::{Error, Kind, Result};
use std::io::Write;
use std::path::Path;

/// Reads all bytes of a stream.
fn drained(stream: Stream) -> Result<Vec<u8>> {
    let size = stream.info().size;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut stream, buffers, mut all) = (stream.start()?, Buffers::new(2), Vec::new());
        while (all.len() as u64) < size {
            all.extend_from_slice(
                &stream.next((1 << 20).min(size - all.len() as u64), buffers.take(0)).await?,
            );
        }
        Ok(all)
    })
}

fn stream_with(path: &Path, options: &OpenOptions, asked: &OpenContext) -> Result<(Stream, String)> {
    match open(path, options, asked)? {
        (Opened::Stream(stream), reading) => Ok((*stream, reading)),
        (Opened::Disk(_), reading) => panic!("{reading} is a disk"),
    }
}

fn stream(path: &Path) -> (Vec<u8>, String) {
    let (stream, reading) = stream_with(path, &OpenOptions::default(), &asked()).unwrap();
    (drained(stream).unwrap(), reading)
}

/// Compresses a file with a tool, or with a library if the tool is not installed.
fn pack(dir: &Path, file: &str, how: &str) {
    let bytes = std::fs::read(dir.join(file)).unwrap();
    let out = std::fs::File::create(dir.join(format!("{file}.{how}"))).unwrap();
    match how {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            out.write_all(&bytes).unwrap();
            out.finish().unwrap();
        }
        "zstd" => {
            let mut out = zstd::Encoder::new(out, 1).unwrap();
            out.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
            out.include_contentsize(true).unwrap();
            out.write_all(&bytes).unwrap();
            out.finish().unwrap();
        }
        "zstd-unsized" => zstd::stream::copy_encode(&bytes[..], out, 1).unwrap(),
        "bzip2" => {
            let mut out = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
            out.write_all(&bytes).unwrap();
            out.finish().unwrap();
        }
        _ => {
            drop(out);
            std::fs::write(dir.join(format!("{file}.xz")), run("xz", dir, &["-1kc", file]).stdout).unwrap();
        }
    }
}

const PACKINGS: [&str; 5] = ["gzip", "xz", "zstd", "zstd-unsized", "bzip2"];

#[test]
fn a_raw_image_in_any_packing_is_a_stream_of_the_right_size() {
    let dir = tempfile::tempdir().unwrap();
    // A multiple of 1 MiB, so that a declared size is trusted; and not a multiple.
    for (size, told) in [(2 * MIB, true), (2 * MIB + 1234, false)] {
        let bytes = contents(size);
        std::fs::write(dir.path().join("raw"), &bytes).unwrap();
        for how in PACKINGS {
            pack(dir.path(), "raw", how);
            let path = dir.path().join(format!("raw.{how}"));
            let (asked, notes) = noted();
            let (stream, reading) = stream_with(&path, &OpenOptions::default(), &asked).unwrap();
            assert_eq!(reading, format!("raw in {}", how.trim_end_matches("-unsized")));
            assert_eq!(stream.info().size, size as u64);
            let counted =
                notes.lock().unwrap().iter().any(|note| note.contains("once to determine the size"));
            assert_eq!(counted, !(told && matches!(how, "xz" | "zstd")), "{how} {size}");
            assert!(drained(stream).unwrap() == bytes, "{how}");
            // With its size given nothing is counted, and a wrong size is an error.
            for (given, says) in [
                (size as u64, None),
                (size as u64 + 1, Some("ended early")),
                (size as u64 - 1, Some("goes on")),
            ] {
                let options = OpenOptions { size: Some(given), ..OpenOptions::default() };
                let (stream, _) = stream_with(&path, &options, &asked).unwrap();
                let drained = drained(stream);
                match says.filter(|_| counted) {
                    Some(says) => assert!(drained.unwrap_err().to_string().contains(says)),
                    None => assert!(drained.unwrap() == bytes),
                }
            }
        }
    }
}

#[test]
fn a_stream_that_may_end_early_is_padded() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(MIB);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    pack(dir.path(), "raw", "gzip");
    let at_most = |most: usize| OpenOptions { size_at_most: Some(most as u64), ..OpenOptions::default() };
    let path = dir.path().join("raw.gzip");
    let (stream, _) = stream_with(&path, &at_most(3 * MIB), &asked()).unwrap();
    assert!(drained(stream).unwrap() == [bytes, vec![0; 2 * MIB]].concat());
    let (stream, _) = stream_with(&path, &at_most(MIB - 1), &asked()).unwrap();
    let error = drained(stream).unwrap_err();
    assert!(error.hint_text().unwrap().contains("--size-at-most"), "{error}");
    assert_eq!(refused(&dir.path().join("raw"), &at_most(MIB)).kind(), Kind::Usage);
}

#[test]
fn an_image_of_another_format_in_any_packing_is_a_disk() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(3 * MIB);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    for (format, theirs, options) in [
        ("qcow2", "qcow2", ""),
        ("vmdk", "vmdk", "-o subformat=streamOptimized"),
        ("vhd", "vpc", "-o force_size=on"),
        ("vhdx", "vhdx", ""),
    ] {
        qemu_img(dir.path(), &format!("convert -f raw -O {theirs} {options} raw {format}"));
        for how in PACKINGS {
            pack(dir.path(), format, how);
            let path = dir.path().join(format!("{format}.{how}"));
            let (disk, reading) = disk_with(&path, &OpenOptions::default()).unwrap();
            assert_eq!(reading, format!("{format} in {}", how.trim_end_matches("-unsized")));
            assert!(bytes_of(&*disk).unwrap() == bytes, "{reading}");
            let Some(Identity::Image { path: known, files, .. }) = &disk.info().identity else { panic!() };
            assert!(
                known.file_name() == path.file_name() && files.len() == 1,
                "the temporary file is no part of it"
            );
            // A change to the compressed file changes the image.
            let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.set_len(file.metadata().unwrap().len() + 1).unwrap();
            assert!(disk.local().unwrap().check_unchanged().unwrap_err().to_string().contains("changed"));
        }
    }
    // Limited to the permitted size.
    pack(dir.path(), "qcow2", "gzip");
    let options = OpenOptions { size_at_most: Some(MIB as u64), ..OpenOptions::default() };
    let error = refused(&dir.path().join("qcow2.gzip"), &options);
    assert!(error.to_string().contains("decompresses to more than 1048576 bytes"), "{error}");
}

#[test]
fn the_footer_of_a_fixed_vhd_is_no_part_of_the_disk() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(3 * MIB);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    qemu_img(dir.path(), "convert -f raw -O vpc -o subformat=fixed,force_size=on raw vhd");
    assert_eq!(std::fs::metadata(dir.path().join("vhd")).unwrap().len(), 3 * MIB as u64 + 512);
    for how in PACKINGS {
        pack(dir.path(), "vhd", how);
        let (read, reading) = stream(&dir.path().join(format!("vhd.{how}")));
        assert_eq!(reading, format!("vhd in {}", how.trim_end_matches("-unsized")));
        assert!(read == bytes, "{how}");
    }
    let vhd = OpenOptions { format: "vhd".parse().unwrap(), ..OpenOptions::default() };
    pack(dir.path(), "raw", "gzip");
    let error = refused(&dir.path().join("raw.gzip"), &vhd).to_string();
    assert!(error.contains("does not end with a VHD footer"), "{error}");
}

/// Creates an archive of these files.
fn tar(path: &Path, files: &[(&str, &[u8])]) {
    let mut out = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        out.append_data(&mut header, name, *bytes).unwrap();
    }
    out.finish().unwrap();
}

fn member(name: &str) -> OpenOptions {
    OpenOptions { member: Some(name.to_owned()), ..OpenOptions::default() }
}

#[test]
fn a_file_of_an_archive_is_read_where_it_is() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let bytes = contents(12 * MIB);
    write_sparse(&at.join("raw"), &bytes);
    qemu_img(at, "convert -f raw -O vmdk -o subformat=streamOptimized raw vmdk");
    let vmdk = std::fs::read(at.join("vmdk")).unwrap();
    let ova = at.join("box.ova");
    tar(&ova, &[("box.ovf", b"<Envelope/>"), ("box.mf", b"SHA1"), ("box-disk1.vmdk", &vmdk)]);
    let (disk, reading) = disk_with(&ova, &OpenOptions::default()).unwrap();
    assert_eq!(reading, "vmdk in tar");
    assert!(bytes_of(&*disk).unwrap() == bytes);
    assert!(zeros(&*disk, &bytes) >= 3 * MIB as u64);
    // Two images: the user has to choose.
    let other = vec![9; 70_001];
    tar(
        &ova,
        &[
            ("box.ovf", b"<Envelope/>"),
            ("a\u{1b}.vmdk", &vmdk),
            ("dir/b.raw", &other),
            ("notes.txt", b"hello"),
        ],
    );
    let error = refused(&ova, &OpenOptions::default());
    assert!(error.to_string().contains("more than one image: `a\\u{1b}.vmdk`, `dir/b.raw`"), "{error}");
    assert!(error.hint_text().unwrap().contains("--member"));
    let (disk, reading) = disk_with(&ova, &member("dir/b.raw")).unwrap();
    assert!(reading == "raw in tar" && bytes_of(&*disk).unwrap() == other);
    assert!(bytes_of(&*disk_with(&ova, &member("./a\u{1b}.vmdk")).unwrap().0).unwrap() == bytes);
    let raw = OpenOptions { format: "raw".parse().unwrap(), ..member("a\u{1b}.vmdk") };
    assert!(bytes_of(&*disk_with(&ova, &raw).unwrap().0).unwrap() == vmdk, "as it is");
    let error = refused(&ova, &member("c"));
    assert!(error.to_string().contains("no member of the name"), "{error}");
    assert!(error.hint_text().unwrap().contains("`dir/b.raw`"));
    assert_eq!(refused(&at.join("vmdk"), &member("x")).kind(), Kind::Usage);
    // Compressed, so it has to be decompressed.
    pack(at, "box.ova", "gzip");
    let packed = at.join("box.ova.gzip");
    assert!(refused(&packed, &OpenOptions::default()).to_string().contains("more than one image"));
    let (disk, reading) = disk_with(&packed, &member("a\u{1b}.vmdk")).unwrap();
    assert!(reading == "vmdk in tar in gzip" && bytes_of(&*disk).unwrap() == bytes);
    let (inner, _) = stream_with(&packed, &member("dir/b.raw"), &asked()).unwrap();
    assert!(drained(inner).unwrap() == other);
    assert!(refused(&packed, &member("c")).to_string().contains("no member of the name"));
    // Compressed inside the archive.
    pack(at, "raw", "zstd");
    tar(&ova, &[("disk.raw.zst", &std::fs::read(at.join("raw.zstd")).unwrap())]);
    let (read, reading) = stream(&ova);
    assert!(reading == "raw in zstd in tar" && read == bytes);
}

#[test]
fn an_archive_that_is_damaged_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let bytes = contents(MIB);
    tar(&path, &[("disk.raw", &bytes)]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..MIB / 2]).unwrap();
    let error = refused(&path, &OpenOptions::default()).to_string();
    assert!(error.contains("truncated"), "{error}");
    // A name of two MiB.
    tar(&path, &[(&"d/".repeat(MIB), &bytes)]);
    let error = refused(&path, &OpenOptions::default()).to_string();
    assert!(error.contains("larger than 1 MiB"), "{error}");
    tar(&path, &[("readme.txt", b"x")]);
    assert!(refused(&path, &OpenOptions::default()).to_string().contains("contains no image"));
    tar(&path, &[("disk.raw", b"")]);
    assert!(refused(&path, &OpenOptions::default()).to_string().contains("is empty"));
}

#[test]
fn a_sparse_file_of_an_archive_is_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(12 * MIB);
    write_sparse(&dir.path().join("disk.raw"), &bytes);
    run("tar", dir.path(), &["--format=gnu", "-Scf", "gnu.tar", "disk.raw"]);
    let path = dir.path().join("gnu.tar");
    assert!(path.metadata().unwrap().len() < 8 * MIB as u64, "tar keeps the holes");
    let (read, reading) = stream(&path);
    assert!(reading == "raw in tar" && read == bytes);
    run("tar", dir.path(), &["--format=posix", "-Scf", "posix.tar", "disk.raw"]);
    let error = refused(&dir.path().join("posix.tar"), &OpenOptions::default());
    assert!(error.to_string().contains("sparse file in an unsupported form"), "{error}");
}

/// An archive of a few MiB that expands to terabytes: bounded in time and memory, whatever is in it.
#[test]
fn a_bomb_does_not_go_off() {
    let dir = tempfile::tempdir().unwrap();
    // zstd blocks of "128 KiB of this byte": 4 TiB in 128 MiB, compressed once more.
    let bomb = |first: &[u8]| {
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
        let len = u32::try_from(first.len() << 3).unwrap();
        bomb.extend_from_slice(&len.to_le_bytes()[..3]);
        bomb.extend_from_slice(first);
        bomb.extend([2, 0, 0x10, 0].repeat(1 << 20));
        zstd::encode_all(&bomb[..], 1).unwrap()
    };
    let path = dir.path().join("bomb");
    let limited = OpenOptions { size_at_most: Some(64 << 20), ..OpenOptions::default() };
    std::fs::write(&path, bomb(b"QFI\xfb\0\0\0\x03")).unwrap();
    let error = refused(&path, &limited);
    assert!(error.to_string().contains("decompresses to more than 67108864 bytes"), "{error}");
    // A stop takes effect in the middle of it.
    let (stopper, stop) = crate::stop::pair();
    let asked = OpenContext { stop, ..asked() };
    std::fs::write(&path, bomb(b"raw")).unwrap();
    let observer: crate::event::Observer = std::sync::Arc::new(move |_| stopper.stop());
    let error = open(&path, &OpenOptions::default(), &OpenContext { observer, ..asked })
        .err()
        .expect("it was counted");
    assert_eq!(error.kind(), Kind::Interrupted, "{error}");
    // A fixed VHD has to be read to its end before it can be recognized.
    let vhd = OpenOptions { format: "vhd".parse().unwrap(), ..limited };
    let error = refused(&path, &vhd);
    assert!(error.to_string().contains("decompresses to more than 67108864 bytes"), "{error}");
    // The size in an index or a header is bounded as well.
    let told = |error: Error| error.to_string();
    std::fs::write(dir.path().join("raw"), vec![0; MIB]).unwrap();
    pack(dir.path(), "raw", "xz");
    let path = dir.path().join("raw.xz");
    let options = OpenOptions { size_at_most: Some(1000), ..OpenOptions::default() };
    assert!(told(refused(&path, &options)).contains("decompresses to more than 1000 bytes"));
}

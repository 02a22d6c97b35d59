//! The contract of disks, tested over each of them: sizes, ends, extents, zeros, ranges outside, concurrency,
//! and dropped attempts.

use super::appliance::{Appliance, ApplianceDisk};
use super::elastic::drives::Drives;
use super::file::{FileDisk, PartDisk, PartFile};
use super::memory::MemoryDisk;
use super::store::{Create, DiskToMake, Store, Writable};
use super::{Body, Buffers, ReadAt, Wire, WriteAt};
use crate::auth::{Auth, oauth};
use crate::disk::appliance::Access;
use crate::emulator::{Config, Emulator};
use crate::engine::encode::codec::{Codec, Libdeflate};
use crate::provider::Provider;
use crate::transport::client::{Client, Options};
use crate::transport::retry::Retry;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::ops::Range;
use std::sync::Arc;

#[path = "../../tests/support/qemu_img.rs"]
pub(super) mod qemu_img;

/// Odd, and larger than a reply or buffer.
pub(in crate::disk) const SIZE: u64 = (9 << 20) + 4_321;

/// Bytes with a hole among them.
pub(in crate::disk) fn image() -> Vec<u8> {
    image_of(SIZE)
}

/// Like [`image`], for a disk of another size above 9 MiB.
pub(in crate::disk) fn image_of(size: u64) -> Vec<u8> {
    let byte = |n: u64| {
        let empty = (3 << 20..5 << 20).contains(&n);
        if empty { 0 } else { ((n / 3 * 0x9e37_79b9) >> 7).to_le_bytes()[0] | 1 }
    };
    (0..size).map(byte).collect()
}

/// Offsets and lengths of edge cases: nothing, one byte, unaligned, across pages, the last byte.
fn ranges(size: u64, limit: u64) -> Vec<Range<u64>> {
    let all = [
        0..1,
        1..2,
        511..1025,
        4095..8193,
        12_345..77_777,
        1 << 20..2 << 20,
        size - 1..size,
        size - 4_321..size,
    ];
    let long = (3 << 20) - 7..((3_u64 << 20) - 7).saturating_add(limit).min(size);
    all.into_iter().chain([long]).collect()
}

fn slice(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
}

/// Tests a readable disk with the contents `bytes`.
pub(in crate::disk) async fn reads(disk: &dyn ReadAt, bytes: &[u8]) {
    let (info, buffers, size) = (disk.info(), Buffers::new(2), bytes.len() as u64);
    assert_eq!(info.size, size, "{}", info.name);
    assert!(!info.name.is_empty() && info.read_limit > 0);
    let read = |range: Range<u64>| disk.read_at(range.start, range.end - range.start, buffers.take(0));
    for range in ranges(size, info.read_limit) {
        assert!(
            read(range.clone()).await.unwrap().as_slice() == slice(bytes, &range),
            "{} {range:?}",
            info.name
        );
    }
    // Reads append to the buffer.
    let mut some = buffers.take(0);
    some.extend_from_slice(b"before");
    assert!(disk.read_at(0, 3, some).await.unwrap().as_slice() == [b"before", &bytes[..3]].concat());
    // Nothing can be read beyond the end.
    for outside in [size..size + 1, size - 1..size + 1, u64::MAX - 1..u64::MAX] {
        let error = read(outside.clone()).await.err();
        let error = error.unwrap_or_else(|| panic!("{} {outside:?} was read", info.name));
        assert!(!error.kind().is_retryable(), "{} {outside:?}: {error}", info.name);
    }
    // Concurrent reads, some of them dropped while in flight.
    let wanted: Vec<Range<u64>> = (0..24).map(|n| n * 300_007..n * 300_007 + 100_000).collect();
    let mut pending: Vec<_> = wanted.iter().map(|range| Some(read(range.clone()))).collect();
    for dropped in pending.iter_mut().step_by(3) {
        let mut attempt = dropped.take().unwrap();
        let _ = (&mut attempt).now_or_never();
    }
    let kept = pending.into_iter().zip(&wanted).filter_map(|(attempt, range)| Some((attempt?, range)));
    for (range, got) in join_all(kept.map(|(attempt, range)| async move { (range, attempt.await) })).await {
        assert!(got.unwrap().as_slice() == slice(bytes, range), "{} {range:?}", info.name);
    }
    // Extents cover the window, and zero extents are zero.
    for window in [0..size, 1..size - 1, 3 << 20..5 << 20, (4 << 20) + 1..(4 << 20) + 2] {
        let extents = disk.extents(window.clone()).await.unwrap();
        let mut at = window.start;
        for extent in extents {
            assert!(extent.range.start == at && extent.range.end > at, "{} {window:?}", info.name);
            assert!(!extent.zero || slice(bytes, &extent.range).iter().all(|b| *b == 0), "{}", info.name);
            at = extent.range.end;
        }
        assert_eq!(at, window.end, "{}", info.name);
    }
    assert!(disk.changed().await.unwrap().is_none(), "{}", info.name);
    if let Some(local) = disk.local() {
        local.check_unchanged().unwrap();
        let mut got = vec![7; 10];
        for range in ranges(size, u64::MAX) {
            local.read_into(range.start, range.end - range.start, &mut got).unwrap();
            assert!(got == slice(bytes, &range), "{} {range:?}", info.name);
        }
        assert!(local.read_into(size - 1, 2, &mut got).is_err(), "{}", info.name);
    }
}

/// Tests a writable disk of zeros; `back` reads the same disk.
pub(in crate::disk) async fn writes(disk: &dyn WriteAt, back: &dyn ReadAt) {
    let (info, size) = (WriteAtInfo::of(disk), disk.info().size);
    let bytes = image_of(size);
    let raw = |range: &Range<u64>| Body::Raw(Bytes::from(slice(&bytes, range)));
    let mut now = vec![0; bytes.len()];
    let mut expect = |range: &Range<u64>, value: Vec<u8>| {
        now[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
            .copy_from_slice(&value);
    };
    for range in ranges(size, 1 << 20) {
        let _ = disk.write_at(range.start, raw(&range)).await.unwrap();
        expect(&range, slice(&bytes, &range));
    }
    // Repeat a write, then overwrite it.
    let again = 12_345..77_777;
    let _ = disk.write_at(again.start, raw(&again)).await.unwrap();
    let other = vec![3; 65_432];
    let _ = disk.write_at(again.start, Body::Raw(Bytes::from(other.clone()))).await.unwrap();
    expect(&again, other);
    // Zeros, by the disk's own operation or written.
    let zeros = 20_000..30_001;
    if disk.zero_at(zeros.clone()).await.unwrap().is_none() {
        let _ = disk.write_at(zeros.start, Body::Raw(Bytes::from(vec![0; 10_001]))).await.unwrap();
    }
    expect(&zeros, vec![0; 10_001]);
    if info.gzip {
        let range = 5 << 20..(5 << 20) + 123_456;
        let mut room = Vec::new();
        let body = Libdeflate::new(1).unwrap().gzip(&slice(&bytes, &range), &mut room).unwrap().to_vec();
        let _ = disk.write_at(range.start, Body::Gzip(body.into())).await.unwrap();
        expect(&range, slice(&bytes, &range));
    }
    // Concurrent writes; dropped ones are repeated.
    let chunks: Vec<Range<u64>> =
        (0..20).map(|n| (6 << 20) + n * 100_000..(6 << 20) + (n + 1) * 100_000).collect();
    for chunk in chunks.iter().step_by(4) {
        let mut attempt = disk.write_at(chunk.start, raw(chunk));
        let _ = (&mut attempt).now_or_never();
    }
    let all = chunks.iter().map(|chunk| disk.write_at(chunk.start, raw(chunk)));
    for receipt in join_all(all).await {
        let _ = receipt.unwrap();
    }
    for chunk in &chunks {
        expect(chunk, slice(&bytes, chunk));
    }
    disk.flush().await.unwrap();
    let buffers = Buffers::new(2);
    let mut read = Vec::new();
    while (read.len() as u64) < size {
        let at = read.len() as u64;
        let piece = back.read_at(at, (1 << 20).min(size - at), buffers.take(0)).await.unwrap();
        read.extend_from_slice(&piece);
    }
    let differs = read.iter().zip(&now).position(|(is, should)| is != should);
    assert_eq!(differs, None, "{}", info.name);
}

/// The properties of a disk that is read and written.
struct WriteAtInfo {
    name: String,
    gzip: bool,
}

impl WriteAtInfo {
    fn of(disk: &dyn WriteAt) -> Self {
        Self { name: disk.info().name.clone(), gzip: disk.info().wire == Wire::Gzip }
    }
}

/// A remote on an emulator.
struct Site {
    data: tempfile::TempDir,
    _emulator: Emulator,
    client: Client,
}

const USER: &str = "11111111-1111-4111-8111-111111111111";
const SECRET: &str = "a secret";

impl Site {
    fn new(provider: Provider) -> Self {
        let data = tempfile::tempdir().unwrap();
        let image = data.path().join("image");
        std::fs::write(&image, self::image()).unwrap();
        let emulator = Emulator::start(Config {
            appliances: vec![("key".to_owned(), image)],
            ..Config::new(provider, data.path().join("data"), USER, SECRET)
        })
        .unwrap();
        let pair = || oauth::Credentials { key: USER.to_owned(), secret: SECRET.to_owned().into() };
        let auth = if provider == Provider::SpotCloud {
            Auth::OAuth(Arc::new(oauth::Signer::new(pair(), Some(pair()))))
        } else {
            Auth::basic(USER, &SECRET.to_owned().into()).unwrap()
        };
        let url = emulator.url().parse().unwrap();
        let client = Client::new(provider, url, auth, &Options::default(), Arc::default()).unwrap();
        Self { data, _emulator: emulator, client }
    }

    fn retry() -> Retry {
        let stop = crate::stop::Stop::never();
        Retry { retries: 0, observer: crate::event::no_observer(), meters: Arc::default(), stop }
    }
}

#[tokio::test]
async fn memory() {
    reads(&MemoryDisk::new(image()), &image()).await;
    let disk = MemoryDisk::new(vec![0; usize::try_from(SIZE).unwrap()]);
    writes(&disk, &disk).await;
}

#[tokio::test]
async fn files() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let (file, bytes) = (std::fs::File::create(&path).unwrap(), image());
    // A hole where the zeros are.
    file.set_len(SIZE).unwrap();
    file.write_all_at(&bytes[..3 << 20], 0).unwrap();
    file.write_all_at(&bytes[5 << 20..], 5 << 20).unwrap();
    reads(&FileDisk::open(&path).unwrap(), &bytes).await;
    let part = PartFile::create(&dir.path().join("new"), |_| None).unwrap();
    part.set_len(SIZE).unwrap();
    let part = PartDisk::new(part, SIZE);
    writes(&part, &part).await;
    for (name, level) in [("qcow2", None), ("packed", Some(1))] {
        let part = PartFile::create(&dir.path().join(name), |_| None).unwrap();
        let part = PartDisk::qcow2(part, SIZE, level).unwrap();
        part.begin().unwrap();
        writes(&part, &part).await;
    }
}

#[tokio::test]
async fn zeros() {
    reads(&super::zero::ZeroDisk::new(SIZE), &vec![0; usize::try_from(SIZE).unwrap()]).await;
}

#[tokio::test]
async fn images_in_formats_and_archives() {
    use super::image::{OpenContext, OpenOptions, Opened, open};
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let bytes = image();
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    let mut archive = tar::Builder::new(std::fs::File::create(dir.path().join("tar")).unwrap());
    archive.append_path_with_name(dir.path().join("raw"), "raw").unwrap();
    archive.finish().unwrap();
    let mut images = vec!["tar".to_owned()];
    if qemu_img::is_here() {
        for (name, options) in [
            ("plain", ""),
            ("small", "-o cluster_size=512"),
            ("packed", "-c"),
            ("parts", "-o extended_l2=on"),
        ] {
            qemu_img::qemu_img(dir.path(), &format!("convert -f raw -O qcow2 {options} raw {name}"));
            // QEMU rounds to sectors; the size in the image is restored.
            let file = std::fs::OpenOptions::new().write(true).open(dir.path().join(name)).unwrap();
            file.write_all_at(&SIZE.to_be_bytes(), 24).unwrap();
            images.push(name.to_owned());
        }
    }
    for name in images {
        let asked = OpenContext { observer: crate::event::no_observer(), stop: crate::stop::Stop::never() };
        let Ok((Opened::Disk(disk), _)) = open(&dir.path().join(&name), &OpenOptions::default(), &asked)
        else {
            panic!("{name} is no disk");
        };
        reads(&*disk, &bytes).await;
    }
}

#[tokio::test]
async fn drives_of_the_elastic_kind() {
    for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
        let site = Site::new(provider);
        let drives = Drives::new(site.client.clone(), Site::retry()).unwrap();
        let new = DiskToMake { name: "disk", size: SIZE, keys: &[], transfer: "t", before: &[] };
        let made = drives.make(&new).await.unwrap();
        let Writable { to: disk, back } = drives.write(&made, "t").await.unwrap();
        writes(&*disk, &*back).await;
        let (bytes, mut at) = (image(), 0);
        while at < SIZE {
            let end = (at + (1 << 20)).min(SIZE);
            let body = Body::Raw(Bytes::from(slice(&bytes, &(at..end))));
            let _ = disk.write_at(at, body).await.unwrap();
            at = end;
        }
        // Write counters that did not move since opening are no change.
        let as_it_is = drives.facts(&made.disk).await.unwrap();
        let back = drives.read(&as_it_is, None).await.unwrap();
        reads(&*back, &bytes).await;
        let _ = disk.write_at(0, Body::Raw(Bytes::from_static(b"x"))).await.unwrap();
        let changed = back.changed().await.unwrap().expect("a write is a change");
        assert!(changed.to_string().contains("written to"), "{changed}");
    }
}

#[tokio::test]
async fn appliances() {
    let site = Site::new(Provider::SpotCloud);
    let appliance = Appliance::new(site.client.clone(), Site::retry(), "key").unwrap();
    let access = appliance.probe().await.unwrap();
    let disk = ApplianceDisk::new(appliance.clone(), &access).expect("the emulator has ranges");
    reads(&disk, &image()).await;
    // Another version under the same name is not read in place of the first.
    std::fs::write(site.data.path().join("image"), vec![9; usize::try_from(SIZE).unwrap()]).unwrap();
    let error = disk.read_at(0, 10, Buffers::new(2).take(10)).await.unwrap_err();
    assert!(error.to_string().contains("changed during the transfer"), "{error}");
    assert!(ApplianceDisk::new(appliance, &Access::Whole { size: Some(SIZE), why: "" }).is_none());
}

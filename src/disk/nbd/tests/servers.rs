//! Tests against qemu-nbd and nbdkit.

use super::support::{NbdServer, qemu_img};
use super::{Purpose, open, options, read, write};
use crate::disk::conformance::{SIZE, image_of, reads, writes};
use crate::disk::nbd::{NbdAddress, NbdDisk, NbdOptions, list};
use crate::disk::{Body, Buffers, ReadAt, WriteAt};
use crate::error::Kind;
use crate::meters::Meters;
use crate::stop::Stop;
use crate::transport::retry::Retry;
use bytes::Bytes;
use futures_util::future::join_all;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the conformance tests on a disk of zeros.
async fn conforms(address: &str, size: u64) -> NbdDisk {
    let disk = open(address, Purpose::Write, &options()).await.unwrap();
    writes(&disk, &disk).await;
    let bytes = image_of(size);
    for (n, chunk) in bytes.chunks(1 << 20).enumerate() {
        write(&disk, (n as u64) << 20, chunk).await.unwrap();
    }
    let zeros = 3 << 20..5 << 20;
    let _ = disk.zero_at(zeros).await.unwrap();
    disk.flush().await.unwrap();
    reads(&disk, &bytes).await;
    disk
}

fn raw(dir: &Path, size: u64) -> PathBuf {
    let path = dir.join("image");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

/// The number of bytes known to be zero without reading them.
async fn known_zeros(disk: &NbdDisk) -> u64 {
    let all = disk.extents(0..disk.export().size).await.unwrap();
    all.into_iter().filter(|extent| extent.zero).map(|extent| extent.range.end - extent.range.start).sum()
}

#[tokio::test]
async fn qemu_nbd_over_a_raw_image() {
    let dir = tempfile::tempdir().unwrap();
    // QEMU rounds the size of a raw image up to whole sectors.
    let size = SIZE.next_multiple_of(512);
    let image = raw(dir.path(), size);
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &image, "raw", &["-x", "a b/ä"]) else { return };
    let disk = conforms(&server.address("a%20b/%C3%A4"), size).await;
    assert!(disk.export().features.multi_conn() && WriteAt::info(&disk).volatile);
    assert!(known_zeros(&disk).await >= 1 << 20, "what was zeroed is a hole");
    assert!(std::fs::read(&image).unwrap() == image_of(size));
}

#[tokio::test]
async fn qemu_nbd_over_a_qcow2_image() {
    let dir = tempfile::tempdir().unwrap();
    let (image, size) = (dir.path().join("image.qcow2"), SIZE.next_multiple_of(512));
    let image_text = image.to_str().unwrap();
    let Some(()) = qemu_img(&["create", "-q", "-f", "qcow2", image_text, &size.to_string()]) else { return };
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &image, "qcow2", &[]) else { return };
    let disk = conforms(&server.address(""), size).await;
    assert!(known_zeros(&disk).await >= 1 << 20, "what was zeroed is a hole");
    drop(disk);
    drop(server);
    qemu_img(&["check", "-q", image_text]).unwrap();
    let back = dir.path().join("back");
    qemu_img(&["convert", "-O", "raw", image_text, back.to_str().unwrap()]).unwrap();
    assert!(std::fs::read(back).unwrap() == image_of(size));
}

#[tokio::test]
async fn nbdkit_with_every_block_size_and_handshake() {
    let policy = "--filter=blocksize-policy";
    for (size, arguments) in [
        (SIZE, vec![]),
        // Large replies are split, and no block sizes are reported.
        (SIZE, vec!["--no-sr"]),
        // The only option is the name of the export.
        (SIZE, vec!["--mask-handshake=0"]),
        (SIZE, vec!["--mask-handshake=1", "--no-sr"]),
    ] {
        let size_text = format!("size={size}");
        let all = [&arguments[..], &["memory", &size_text]].concat();
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = NbdServer::nbdkit(dir.path(), &all) else { return };
        let disk = conforms(&server.address(""), size).await;
        assert_eq!(disk.export().extents(), arguments.is_empty(), "{arguments:?}");
    }
    for minimum in [512_u64, 4096, 65_536] {
        let size = SIZE.next_multiple_of(minimum);
        let words = [
            format!("blocksize-minimum={minimum}"),
            "blocksize-preferred=65536".to_owned(),
            "blocksize-maximum=1048576".to_owned(),
            // Requests that violate the block sizes fail.
            "blocksize-error-policy=error".to_owned(),
            format!("size={size}"),
        ];
        let mut all = vec![policy, "memory"];
        all.extend(words.iter().map(String::as_str));
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = NbdServer::nbdkit(dir.path(), &all) else { return };
        let disk = conforms(&server.address(""), size).await;
        assert_eq!(u64::from(disk.export().block.minimum), minimum);
        assert_eq!(
            (ReadAt::info(&disk).read_limit, WriteAt::info(&disk).write_limit),
            (1 << 25, 1 << 25),
            "in parts of 1 MiB"
        );
    }
}

#[tokio::test]
async fn an_end_that_cannot_be_reached_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let all = [
        "--filter=blocksize-policy",
        "memory",
        "size=1000",
        "blocksize-minimum=512",
        "blocksize-preferred=512",
        "blocksize-maximum=1048576",
    ];
    let Some(server) = NbdServer::nbdkit(dir.path(), &all) else { return };
    let error = open(&server.address(""), Purpose::Read, &options()).await.err().unwrap();
    assert!(
        error.kind() == Kind::Refused && error.to_string().contains("its last 488 cannot be reached"),
        "{error}"
    );
}

#[tokio::test]
async fn errors_are_retried_until_everything_has_arrived() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["--filter=error", "memory", "size=8M", "error-rate=20%", "error=EIO"];
    let Some(server) = NbdServer::nbdkit(dir.path(), &all) else { return };
    let disk = open(&server.address(""), Purpose::Write, &options()).await.unwrap();
    let (bytes, meters) = (Bytes::from(image_of(8 << 20)), Arc::<Meters>::default());
    let observer = crate::event::no_observer();
    let retry = Retry { retries: 60, observer, meters: Arc::clone(&meters), stop: Stop::never() };
    let chunk: u64 = 128 << 10;
    let writes = (0..8 << 20).step_by(128 << 10).map(async |at: usize| {
        let body = bytes.slice(at..at + (128 << 10));
        let write = async || disk.write_at(at as u64, Body::Raw(body.clone())).await;
        retry.run_settled("writing", Some(at as u64), write).await
    });
    for written in join_all(writes).await {
        let _ = written.unwrap();
    }
    let reads = (0..8 << 20).step_by(128 << 10).map(async |at: u64| {
        let read = async || disk.read_at(at, chunk, Buffers::new(0).take(0)).await;
        retry.run("reading", Some(at), read).await
    });
    let back: Vec<_> = join_all(reads).await.into_iter().map(Result::unwrap).collect();
    assert!(back.iter().flat_map(|chunk| chunk.iter()).eq(bytes.iter()));
    assert!(meters.retries.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_read_only_export_is_refused_for_writing_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = NbdServer::nbdkit(dir.path(), &["-r", "pattern", "size=1M"]) else { return };
    let error = open(&server.address(""), Purpose::Write, &options()).await.err().unwrap();
    assert_eq!(
        (error.kind(), error.to_string()),
        (Kind::Refused, "the default export is read-only".to_owned())
    );
    let disk = open(&server.address(""), Purpose::Read, &options()).await.unwrap();
    assert_eq!(read(&disk, 8, 8).await.unwrap(), 8_u64.to_be_bytes());
}

#[tokio::test]
async fn exports_are_listed_and_unknown_ones_are_told_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let image = raw(dir.path(), 1 << 20);
    let more = ["-x", "web-1", "-D", "the web server", "--read-only"];
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &image, "raw", &more) else { return };
    let listed = list(&NbdAddress::parse(&server.address("")).unwrap(), &options()).await.unwrap();
    let [only] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((only.name.as_str(), only.size, only.read_only), ("web-1", Some(1 << 20), Some(true)));
    assert_eq!(only.description.as_deref(), Some("the web server"));
    let error = open(&server.address("web-2"), Purpose::Read, &options()).await.err().unwrap();
    let text = error.to_string();
    assert!(
        error.kind() == Kind::NotFound && text.ends_with("no export named `web-2`; the server has: `web-1`"),
        "{text}"
    );
}

/// A self-signed certificate for `localhost` and its key, in a directory as nbdkit expects it.
fn credentials(dir: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    for name in ["ca-cert.pem", "server-cert.pem"] {
        std::fs::write(dir.join(name), &pem).unwrap();
    }
    std::fs::write(dir.join("server-key.pem"), made.signing_key.serialize_pem()).unwrap();
    pem.into_bytes()
}

#[tokio::test]
async fn tls_is_required_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let pem = credentials(dir.path());
    let (size, certificates) =
        (format!("size={SIZE}"), format!("--tls-certificates={}", dir.path().display()));
    let all = ["--tls=require", &certificates, "memory", &size];
    let Some(server) = NbdServer::nbdkit(dir.path(), &all) else { return };
    let plain = open(&server.address(""), Purpose::Read, &options()).await.err().unwrap();
    assert_eq!(plain.kind(), Kind::Auth, "{plain}");
    assert!(plain.hint_text().is_some_and(|hint| hint.contains("nbds")));
    let address = server.address("").replace("nbd+unix", "nbds+unix");
    let trusting = NbdOptions { ca_pem: Some(pem), ..options() };
    let disk = open(&address, Purpose::Write, &trusting).await.unwrap();
    writes(&disk, &disk).await;
    // The certificate is not trusted by this machine, and it is not valid for another name.
    let unknown = open(&address, Purpose::Read, &options()).await.err().unwrap();
    assert_eq!(unknown.kind(), Kind::Auth, "{unknown}");
    let other = format!("{address}&tls-hostname=nbd.example");
    let misnamed = open(&other, Purpose::Read, &trusting).await.err().unwrap();
    assert_eq!(misnamed.kind(), Kind::Auth, "{misnamed}");
    // A server without TLS is not used unencrypted.
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = NbdServer::nbdkit(dir.path(), &["memory", &size]) else { return };
    let address = server.address("").replace("nbd+unix", "nbds+unix");
    assert!(open(&address, Purpose::Read, &trusting).await.is_err());
}

//! Against the real server, over a file and over qemu-nbd.

use super::fake::{Fake, reply};
use super::support::{ImageServer, QemuNbd, Setup, overlapping};
use super::{TICKET, open, open_with};
use crate::digest::Algorithm;
use crate::disk::conformance::{SIZE, image, reads, writes};
use crate::disk::imageio::server::ServerFeatures;
use crate::disk::imageio::transfer::{Request, Transfer};
use crate::disk::imageio::{BLOCK_SIZE, BlockChecksum, ImageioDisk, checksum_of};
use crate::disk::memory::MemoryDisk;
use crate::disk::{Body, Buffers, ReadAt, WriteAt};
use crate::engine::Context;
use crate::engine::copy::Copy;
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::error::Kind;
use crate::stop::Stop;
use crate::transport::client::Options;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const READ: &[&str] = &["read"];
const WRITE: &[&str] = &["read", "write"];

/// A file below a server, and the URL that a ticket has for it.
fn file(server: &ImageServer, name: &str, size: u64) -> (std::fs::File, String) {
    let path = server.path(name);
    let file = std::fs::File::create_new(&path).unwrap();
    file.set_len(size).unwrap();
    (file, format!("file://{}", path.display()))
}

async fn fill(disk: &ImageioDisk, bytes: &[u8]) {
    for (n, chunk) in bytes.chunks(1 << 20).enumerate() {
        let zero = chunk.iter().all(|byte| *byte == 0);
        let at = (n as u64) << 20;
        if zero {
            assert!(disk.zero_at(at..at + chunk.len() as u64).await.unwrap().is_some());
        } else {
            let _ = disk.write_at(at, Body::Raw(Bytes::copy_from_slice(chunk))).await.unwrap();
        }
    }
    disk.flush().await.unwrap();
}

#[tokio::test]
async fn an_image_in_a_file_is_a_disk() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let (_, url) = file(&server, "new", SIZE);
    server.ticket("new", SIZE, &url, WRITE);
    let disk = open(&server.url(), "new").await.unwrap();
    assert_eq!((ReadAt::info(&disk).readers, WriteAt::info(&disk).writers), (8, 1));
    writes(&disk, &disk).await;
    let (full, url) = file(&server, "full", SIZE);
    full.write_all_at(&image(), 0).unwrap();
    full.sync_all().unwrap();
    server.ticket("full", SIZE, &url, READ);
    let disk = open(&server.url(), "full").await.unwrap();
    assert!(!disk.features().writable && !disk.features().zero);
    reads(&disk, &image()).await;
}

#[tokio::test]
async fn an_image_behind_qemu_is_a_disk() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    for format in ["raw", "qcow2"] {
        // QEMU's sizes are multiples of 512; the ticket's is the image's.
        let Some(nbd) = QemuNbd::start(format, SIZE.next_multiple_of(512), "") else { return };
        server.ticket(format, SIZE, &nbd.url(), WRITE);
        let disk = open(&server.url(), format).await.unwrap();
        assert_eq!((ReadAt::info(&disk).readers, WriteAt::info(&disk).writers), (8, 8));
        writes(&disk, &disk).await;
        fill(&disk, &image()).await;
        let disk = open(&server.url(), format).await.unwrap();
        reads(&disk, &image()).await;
        // Its hole is known without being read.
        let zeros: u64 = disk
            .extents(0..SIZE)
            .await
            .unwrap()
            .iter()
            .filter(|e| e.zero)
            .map(|e| e.range.end - e.range.start)
            .sum();
        assert_eq!(zeros, 2 << 20, "{format}");
        assert!(disk.dirty_extents().await.unwrap().is_none());
    }
}

fn copy(from: Source, to: Arc<dyn WriteAt>) -> Copy {
    let compression = Compression::Auto;
    Copy {
        from,
        to,
        kept: None,
        held: None,
        there: None,
        compression,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    }
}

/// More writers than a server allows damage the image.
#[tokio::test]
async fn no_more_writes_at_a_time_than_the_server_allows() {
    let setup = Setup { write_takes: Duration::from_millis(20), ..Setup::default() };
    let Some(server) = ImageServer::start(&setup) else { return };
    let bytes: Vec<u8> = image()[..8 << 20].to_vec();
    let size = bytes.len() as u64;
    let (written, url) = file(&server, "image", size);
    server.ticket("file", size, &url, WRITE);
    let disk = Arc::new(open(&server.url(), "file").await.unwrap());
    let context = Context::new(Arc::default(), crate::event::no_observer(), Stop::never(), 0, Some(8));
    let mut ledger = Ledger::new(crate::chunk::Geometry::new(size, 128 << 10), Algorithm::Blake3);
    let from = Source::At(Arc::new(MemoryDisk::new(bytes.clone())));
    copy(from, disk).run_once(&mut ledger, &context).await.unwrap();
    assert_eq!(overlapping(&server.log()), (1, 64));
    let mut now = vec![0; bytes.len()];
    written.read_exact_at(&mut now, 0).unwrap();
    assert!(now == bytes);
    // The log would show it: qemu-nbd takes eight, and gets more than one at a time.
    let Some(nbd) = QemuNbd::start("raw", size, "") else { return };
    server.ticket("nbd", size, &nbd.url(), WRITE);
    let disk = Arc::new(open(&server.url(), "nbd").await.unwrap());
    let before = server.log().len();
    let mut ledger = Ledger::new(crate::chunk::Geometry::new(size, 128 << 10), Algorithm::Blake3);
    let from = Source::At(Arc::new(MemoryDisk::new(bytes.clone())));
    let to: Arc<dyn WriteAt> = disk.clone();
    copy(from, to).run_once(&mut ledger, &context).await.unwrap();
    let (most, all) = overlapping(&server.log()[before..]);
    assert!((2..=8).contains(&most) && all == 64, "{most} of {all}");
    // And back, through the same engine.
    let back = MemoryDisk::new(vec![7; bytes.len()]);
    let mut ledger = Ledger::new(crate::chunk::Geometry::new(size, 1 << 20), Algorithm::Blake3);
    copy(Source::At(disk), Arc::new(back.clone())).run_once(&mut ledger, &context).await.unwrap();
    assert!(back.to_vec() == bytes);
}

#[tokio::test]
async fn a_ticket_that_does_not_count_any_more_is_an_authentication_error() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let (_, url) = file(&server, "image", 1 << 20);
    let ends = |error: crate::Error, why: &str| {
        assert_eq!((error.kind(), error.kind().exit_code()), (Kind::Auth, 4), "{error}");
        assert!(error.to_string().contains(why) && !error.to_string().contains(TICKET), "{error}");
        assert!(error.hint_text().unwrap().contains("new image transfer"), "{error}");
    };
    ends(open(&server.url(), TICKET).await.err().unwrap(), "No such ticket (hidden)");
    server.ticket_for(TICKET, 1 << 20, &url, WRITE, 0);
    ends(open(&server.url(), TICKET).await.err().unwrap(), "expired");
    // In mid transfer.
    server.ticket(TICKET, 1 << 20, &url, WRITE);
    let disk = open(&server.url(), TICKET).await.unwrap();
    let body = || Body::Raw(Bytes::from_static(&[1; 4096]));
    let _ = disk.write_at(0, body()).await.unwrap();
    server.cancel(TICKET);
    ends(disk.write_at(4096, body()).await.unwrap_err(), "No such ticket");
    ends(disk.read_at(0, 10, Buffers::new(1).take(0)).await.unwrap_err(), "No such ticket");
    ends(disk.zero_at(0..10).await.unwrap_err(), "No such ticket");
    ends(disk.flush().await.unwrap_err(), "No such ticket");
    ends(disk.extents(0..10).await.unwrap_err(), "No such ticket");
    // A new one goes on where that one ended.
    server.ticket("second", 1 << 20, &url, WRITE);
    let disk = open(&server.url(), "second").await.unwrap();
    let _ = disk.write_at(4096, body()).await.unwrap();
    disk.flush().await.unwrap();
    assert!(disk.read_at(0, 8192, Buffers::new(1).take(0)).await.unwrap().iter().all(|byte| *byte == 1));
    // One for reading does not write.
    server.ticket("third", 1 << 20, &url, READ);
    let disk = open(&server.url(), "third").await.unwrap();
    ends(disk.write_at(4096, body()).await.unwrap_err(), "forbids write");
}

#[tokio::test]
async fn what_is_outside_of_an_image_is_refused_here_and_there() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let (_, url) = file(&server, "image", 1 << 20);
    // A ticket for more than there is, and one for less.
    for (ticket, size, readable) in [("more", 2 << 20, 1 << 20), ("less", 1000, 1000)] {
        server.ticket(ticket, size, &url, WRITE);
        let disk = open(&server.url(), ticket).await.unwrap();
        assert_eq!(ReadAt::info(&disk).size, readable);
        for error in [
            disk.read_at(readable, 1, Buffers::new(1).take(0)).await.unwrap_err(),
            disk.write_at(readable, Body::Raw(Bytes::from_static(b"x"))).await.unwrap_err(),
            disk.zero_at(readable - 1..readable + 1).await.unwrap_err(),
            disk.write_at(0, Body::Gzip(Bytes::from_static(b"x"))).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Refused, "{error}");
        }
        assert_eq!(disk.extents(0..readable).await.unwrap().len(), 1);
        assert_eq!(disk.checksum().await.unwrap().is_some(), ticket == "more");
        // The server refuses it as well.
        let transfer =
            Transfer::new(server.url().parse().unwrap(), ticket, &Options::default(), Arc::default())
                .unwrap();
        let beyond = transfer.send(Request::put(size, Bytes::from_static(b"x")).unwrap()).await.unwrap();
        let error = transfer.done(beyond).await.unwrap_err();
        assert!(
            error.kind() == Kind::Refused && error.to_string().contains("out of allowed range"),
            "{error}"
        );
        let answer = transfer.get(readable, readable).await.unwrap();
        assert_eq!(transfer.granted(answer, 206).await.err().unwrap().kind(), Kind::Refused);
    }
    let (_, url) = file(&server, "empty", 0);
    server.ticket("empty", 1 << 20, &url, READ);
    assert_eq!(open(&server.url(), "empty").await.err().unwrap().kind(), Kind::Source);
}

#[tokio::test]
async fn the_servers_checksum_is_the_one_computed_here() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    // The server writes whole blocks to a file; where an image ends within one, its file ends behind it.
    let size = SIZE.next_multiple_of(4096);
    let mut bytes = image();
    bytes.resize(usize::try_from(size).unwrap(), 0);
    for format in ["raw", "qcow2", "file"] {
        let nbd;
        let url = if format == "file" {
            file(&server, "image", size).1
        } else {
            let Some(started) = QemuNbd::start(format, size, "") else { return };
            nbd = started;
            nbd.url()
        };
        server.ticket(format, size, &url, WRITE);
        let disk = open(&server.url(), format).await.unwrap();
        fill(&disk, &bytes).await;
        let theirs = disk.checksum().await.unwrap().unwrap();
        assert_eq!((theirs.algorithm, theirs.block_size), (Algorithm::Sha256, BLOCK_SIZE));
        assert_eq!(theirs.hex, checksum_of(&bytes[..], BLOCK_SIZE).unwrap(), "{format}");
        // Of other blocks, by the digests of chunks.
        let theirs = disk.checksum_in_blocks(1 << 20).await.unwrap().unwrap();
        let digests: Vec<_> = bytes.chunks(1 << 20).map(|chunk| Algorithm::Sha256.digest(chunk)).collect();
        assert_eq!(theirs.hex, BlockChecksum::of_digests(digests.iter()), "{format}");
        assert_eq!(theirs.hex, checksum_of(&bytes[..], 1 << 20).unwrap(), "{format}");
        assert_eq!(disk.checksum_in_blocks(4096).await.unwrap(), None);
        // One byte makes a difference.
        let _ = disk.write_at(4_000_000, Body::Raw(Bytes::from_static(&[0]))).await.unwrap();
        let _ = disk.write_at(4_000_001, Body::Raw(Bytes::from_static(b"!"))).await.unwrap();
        disk.flush().await.unwrap();
        let theirs = disk.checksum().await.unwrap().unwrap();
        assert_ne!(theirs.hex, checksum_of(&bytes[..], BLOCK_SIZE).unwrap(), "{format}");
    }
}

#[tokio::test]
async fn https_is_spoken_with_an_authority_of_the_remotes_own() {
    let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let Some(server) = ImageServer::start(&Setup { tls: Some((&pem, &key)), ..Setup::default() }) else {
        return;
    };
    let (_, url) = file(&server, "image", SIZE);
    server.ticket(TICKET, SIZE, &url, WRITE);
    let trusting = || Options { ca_pem: Some(pem.clone().into_bytes()), ..Options::default() };
    let disk = open_with(&server.url(), TICKET, trusting()).await.unwrap();
    fill(&disk, &image()).await;
    let disk = open_with(&server.url(), TICKET, trusting()).await.unwrap();
    reads(&disk, &image()).await;
    let error = open(&server.url(), TICKET).await.err().unwrap();
    assert!(error.kind() == Kind::Refused && error.to_string().contains("not trusted"), "{error}");
}

#[tokio::test]
async fn the_socket_of_a_server_on_this_machine_is_used() {
    let Some(server) = ImageServer::start(&Setup { local: true, ..Setup::default() }) else { return };
    let (_, url) = file(&server, "image", SIZE);
    server.ticket(TICKET, SIZE, &url, WRITE);
    let disk = open(&server.url(), TICKET).await.unwrap();
    assert_eq!(disk.features().unix_socket, Some(server.local_socket()));
    writes(&disk, &disk).await;
    let from = |who: &str| {
        server.log().lines().filter(|line| line.contains("WRITE size=") && line.contains(who)).count()
    };
    assert_eq!((from("[127.0.0.1]"), from("[local]") > 30), (0, true), "{}", server.log());
    // A socket where somebody else listens, or nobody, is not.
    let stranger = server.path("stranger");
    let _listener = std::os::unix::net::UnixListener::bind(&stranger).unwrap();
    let mut features: ServerFeatures = disk.features().clone();
    features.unix_socket = Some(server.path("nobody"));
    assert_eq!(features.reachable_socket().await, None);
    features.unix_socket = Some(stranger.clone());
    assert_eq!(features.reachable_socket().await, Some(&*stranger));
    // A server that does not know the ticket is another one: its own port leads to another
    // machine.
    let path = server.local_socket().display().to_string();
    let elsewhere = Fake::image(SIZE, move |seen| {
        let options = format!(r#"{{"unix_socket":"{path}","features":["extents"],"max_readers":3}}"#);
        (seen.what == "OPTIONS ").then(|| reply(200, "", &options))
    });
    server.cancel(TICKET);
    let disk = open(&elsewhere.url(), TICKET).await.unwrap();
    assert_eq!(ReadAt::info(&disk).readers, 3);
    assert_eq!(*disk.read_at(0, 3, Buffers::new(1).take(0)).await.unwrap(), *b"xxx");
    // A name that has no place in the file system, as the server's own default is.
    let name = format!("diskferry/{}", server.path("x").display());
    let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
        name.as_bytes(),
    )
    .unwrap();
    let _abstract = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    features.unix_socket = Some(format!("\0{name}").into());
    assert!(features.reachable_socket().await.is_some());
}

/// What is logged of requests has no ticket in it.
#[tokio::test]
async fn a_ticket_is_in_no_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let (_, url) = file(&server, "image", 1 << 20);
    server.ticket(TICKET, 1 << 20, &url, WRITE);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("warn,diskferry=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let disk = open(&server.url(), TICKET).await.unwrap();
    let _ = disk.write_at(0, Body::Raw(Bytes::from_static(b"x"))).await.unwrap();
    disk.flush().await.unwrap();
    disk.extents(0..10).await.unwrap();
    disk.checksum().await.unwrap().unwrap();
    let info = format!("{:?} {:?}", ReadAt::info(&disk), disk.features());
    drop(logging);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let requests: BTreeSet<&str> =
        log.lines().filter_map(|line| line.split("method=").nth(1)?.split(' ').next()).collect();
    assert_eq!(requests, BTreeSet::from(["GET", "OPTIONS", "PATCH", "PUT"]), "{log}");
    assert!(log.contains("/images/(hidden)/extents"), "{log}");
    assert!(!log.contains(TICKET) && !info.contains(TICKET), "{log}{info}");
}

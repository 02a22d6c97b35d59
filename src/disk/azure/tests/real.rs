//! Tests against Azurite, Microsoft's emulator.

use super::azurite::{Azurite, CONTAINER, account_sas, blob_sas};
use super::{container, context, copy, to_make};
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::Evidence;
use crate::disk::azure::service::Request;
use crate::disk::azure::{BlobContainer, CRC64, crc64};
use crate::disk::conformance::{SIZE, image, reads, writes};
use crate::disk::memory::MemoryDisk;
use crate::disk::store::CreateError;
use crate::disk::{Body, Buffers, ReadAt, WriteAt};
use crate::engine::ledger::Ledger;
use crate::error::Kind;
use bytes::Bytes;
use std::sync::Arc;

const FOREVER: &str = "2999-01-01T00:00:00Z";

fn opened(server: &Azurite) -> BlobContainer {
    container(&server.url(), &format!("?{}", account_sas(FOREVER, "rwdlac")))
}

#[tokio::test]
async fn a_blob_does_what_every_disk_does() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let made = container.create(&to_make("dir one/disk %41 ü.raw", SIZE)).await.unwrap();
    assert_eq!(made.size, SIZE.next_multiple_of(512));
    let disk = container.disk(&made, Some("t1")).sized(SIZE).unwrap();
    assert!(WriteAt::info(&disk).fresh_is_zero);
    assert!(!WriteAt::info(&container.disk(&made, Some("t2"))).fresh_is_zero);
    writes(&disk, &disk).await;
    for (n, part) in image().chunks(1 << 20).enumerate() {
        let body = Body::Raw(Bytes::copy_from_slice(part));
        let _ = disk.write_at((n as u64) << 20, body).await.unwrap();
    }
    let found = container.info(&made.name).await.unwrap();
    assert_eq!((found.mark.as_deref(), found.is_leased()), (Some("t1"), false));
    reads(&container.disk(&found, None).sized(SIZE).unwrap(), &image()).await;
    // The padding after the image is zero.
    let whole = container.disk(&found, None);
    let last = whole.read_at(SIZE, found.size - SIZE, Buffers::new(1).take(0)).await.unwrap();
    assert!(last.iter().all(|byte| *byte == 0) && last.len() == 287);
}

#[tokio::test]
async fn what_was_never_written_and_what_was_cleared_is_a_hole() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let blob = container.create(&to_make("holes", 1 << 20)).await.unwrap();
    let disk = container.disk(&blob, None);
    let data = Body::Raw(Bytes::from(vec![7; 8192]));
    let _ = disk.write_at(4096, data.clone()).await.unwrap();
    let _ = disk.write_at(65_536, data).await.unwrap();
    let _ = disk.zero_at(8192..65_536 + 512).await.unwrap().unwrap();
    let extents = disk.extents(0..1 << 20).await.unwrap();
    let data: Vec<_> =
        extents.iter().filter(|extent| !extent.zero).map(|extent| extent.range.clone()).collect();
    assert_eq!(data, [4096..8192, 66_048..73_728]);
}

#[tokio::test]
async fn the_checksum_is_the_one_that_the_server_computes() {
    // The checksums that Azure returned for these bytes (recordings of azure-sdk-for-js,
    // `syncUploadFromURL`).
    assert_eq!(crc64(b"Hello World"), "YeJLfssylmU=");
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let blob = container.create(&to_make("sums", 4096)).await.unwrap();
    let disk = container.disk(&blob, None);
    let _ = disk.write_at(0, Body::Raw(Bytes::from(vec![1; 4096]))).await.unwrap();
    // A wrong checksum is refused, and the write may be repeated.
    let request = Request {
        query: &[("comp", "page")],
        body: Bytes::from(vec![2; 512]),
        ..Request::new(reqwest::Method::PUT, "sums")
    };
    let request = request.range(&(0..512)).unwrap().header("x-ms-page-write", "update").unwrap();
    let wrong = request.header(CRC64, &crc64(&[3; 512])).unwrap();
    let error = disk.blob.service.ask(wrong, 201).await.err().unwrap();
    assert!(error.kind().is_retryable() && error.to_string().contains("Crc64Mismatch"), "{error}");
}

#[tokio::test]
async fn a_blob_is_made_once_and_found_again() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let made = container.create(&to_make("once", 1000)).await.unwrap();
    assert_eq!(container.info("once").await.unwrap(), made);
    // The same transfer finds its own blob, another one gets an error.
    assert_eq!(container.create(&to_make("once", 1000)).await.unwrap(), made);
    let other = super::BlobToMake { transfer: "t2", ..to_make("once", 1000) };
    let Err(CreateError::Refused(error)) = container.create(&other).await else {
        panic!("it was overwritten")
    };
    assert_eq!(error.kind(), Kind::Exists);
    assert_eq!(container.find_made(&other).await.unwrap(), None);
    assert_eq!(container.find_made(&to_make("none", 1)).await.unwrap(), None);
    assert_eq!(container.list("").await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(container.list("on").await.unwrap(), [made]);
    assert!(container.list("x").await.unwrap().is_empty());
    let error = container.info("none").await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
}

#[tokio::test]
async fn a_foreign_write_is_noticed() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let blob = container.create(&to_make("watched", 8192)).await.unwrap();
    let disk = container.disk(&blob, None);
    let source = container.disk(&blob, None);
    assert!(disk.changed().await.unwrap().is_none());
    for n in 0..4 {
        let _ = disk.write_at(n * 512, Body::Raw(Bytes::from(vec![1; 512]))).await.unwrap();
    }
    assert!(disk.changed().await.unwrap().is_none());
    let noted = disk.evidence().await.unwrap();
    assert_eq!(noted, container.info("watched").await.unwrap().evidence());
    // A disk that has not written itself sees these writes as foreign; reads report that too.
    assert!(source.changed().await.unwrap().is_some());
    let error = source.read_at(0, 512, Buffers::new(1).take(0)).await.unwrap_err();
    assert_eq!((error.kind(), error.kind().is_retryable()), (Kind::Source, false));
    assert_eq!(source.extents(0..512).await.unwrap_err().kind(), Kind::Source);
    // A resumed transfer reports that another run has to compare.
    let resumed = container.disk(&blob, Some("t1"));
    let error = resumed.read_at(0, 512, Buffers::new(1).take(0)).await.unwrap_err();
    assert_eq!((error.kind(), error.kind().exit_code()), (Kind::Incomplete, 3), "{error}");
    assert!(error.hint_text().unwrap().contains("run the same command again"));
    server.interfere("watched");
    assert!(disk.changed().await.unwrap().unwrap().to_string().contains("written to"));
    assert_eq!(disk.evidence().await.unwrap(), Evidence::default());
}

#[tokio::test]
async fn neighbours_that_share_pages_do_not_overwrite_each_other() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let blob = container.create(&to_make("merged", 4096)).await.unwrap();
    let disk = container.disk(&blob, None);
    let parts =
        (0..16_u8).map(|n| disk.write_at(u64::from(n) * 200, Body::Raw(Bytes::from(vec![n + 1; 200]))));
    for done in futures_util::future::join_all(parts).await {
        let _ = done.unwrap();
    }
    let is = disk.read_at(0, 3200, Buffers::new(1).take(0)).await.unwrap();
    assert!(is.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at / 200 + 1));
}

#[tokio::test]
async fn a_blobs_own_url_and_an_expired_token() {
    let Some(server) = Azurite::start() else { return };
    let made = opened(&server).create(&to_make("own", 4096)).await.unwrap();
    let url = format!("{}/own", server.url());
    let own = container(&url, &blob_sas("own", FOREVER, "rw"));
    let blob = own.info("").await.unwrap();
    assert_eq!((blob.size, &blob.etag), (4096, &made.etag));
    let disk = own.disk(&blob, None);
    let _ = disk.write_at(0, Body::Raw(Bytes::from(vec![1; 4096]))).await.unwrap();
    assert_eq!(disk.read_at(100, 5, Buffers::new(1).take(0)).await.unwrap().as_slice(), [1; 5]);
    for (token, words) in [
        (blob_sas("own", "2020-01-01T00:00:00Z", "rw"), "has expired"),
        (blob_sas("own", FOREVER, "w"), "does not permit"),
        (blob_sas("other", FOREVER, "rw"), "was refused"),
    ] {
        let error = container(&url, &token).info("").await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 4, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let signature = token.split("sig=").nth(1).unwrap();
        assert!(!format!("{error:?}{:?}", error.hint_text()).contains(signature), "{error}");
    }
    let missing = container(&server.url().replace(CONTAINER, "nothing"), &account_sas(FOREVER, "rl"));
    let error = missing.list("").await.unwrap_err();
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("no such container"), "{error}");
}

#[tokio::test]
async fn an_image_goes_up_and_down_in_large_chunks() {
    let Some(server) = Azurite::start() else { return };
    let container = opened(&server);
    let bytes: Vec<u8> = image().into_iter().cycle().take((40 << 20) + 700).collect();
    let (size, context) = (bytes.len() as u64, context());
    let blob = container.create(&to_make("copied", size)).await.unwrap();
    let disk = container.disk(&blob, Some("t1")).sized(size).unwrap();
    let geometry = Geometry::new(size, 16 << 20);
    let up = copy(Arc::new(MemoryDisk::new(bytes.clone())), Arc::new(disk.clone()));
    up.run_once(&mut Ledger::new(geometry, Algorithm::Blake3), &context).await.unwrap();
    assert!(disk.changed().await.unwrap().is_none());
    let back = MemoryDisk::new(vec![0; bytes.len()]);
    let found = container.info("copied").await.unwrap();
    let from = container.disk(&found, None).sized(size).unwrap();
    let geometry = Geometry::new(size, 1 << 20);
    let down = copy(Arc::new(from), Arc::new(back.clone()));
    let copied = down.run_once(&mut Ledger::new(geometry, Algorithm::Blake3), &context).await.unwrap();
    assert!(back.to_vec() == bytes);
    assert!(copied.sent + copied.zero == 41, "{copied:?}");
}

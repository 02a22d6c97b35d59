//! What only NBD has: servers that start anew, exports by name, TLS, and flushes that fail.

use crate::end::{DISK, compare, configure};
use crate::gateway::Gateway;
use crate::images::{CHUNK, MIB, data, file_system, same, size};
use crate::kills::safe_chunks;
use crate::nbd_server::NbdServer;
use crate::support::qemu_img::{is_here, qemu_img};
use crate::world::{World, noise};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A server that dies takes with it what it was given and had not flushed. That is sent again, and nothing else.
#[test]
fn what_a_server_forgets_when_it_is_killed_is_sent_again() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let dir = tempfile::tempdir().unwrap();
    qemu_img(dir.path(), &format!("create -q -f qcow2 image {}", size()));
    let start = {
        let dir = dir.path().to_owned();
        move || NbdServer::qemu_nbd(&dir, &dir.join("image"), "qcow2", &["--cache=writeback"])
    };
    let Some(server) = start() else { return };
    let gateway = Gateway::to_socket(server.socket());
    configure(&world, "far", "nbd", &format!("nbd://{}", gateway.address()), None, "");
    let server = Arc::new(Mutex::new(Some(server)));
    let home = world.path("");
    let mut flushed_at = None;
    gateway.set_hook({
        let server = Arc::clone(&server);
        move |passed| {
            // Something was flushed, and after that a MiB came that was not.
            if flushed_at.is_none() && safe_chunks(&home, true) > 0 {
                flushed_at = Some(passed.up);
            }
            let now = flushed_at.is_some_and(|up| passed.up > up + MIB);
            if now {
                let mut server = server.lock().unwrap();
                drop(server.take());
                *server = start();
            }
            now
        }
    });
    let chunk = CHUNK.to_string();
    let limit = format!("{}:", data(&image) / 6);
    let args = ["--json", "upload", "root.img", "far:", "--chunk-size", &chunk, "--bwlimit", &limit];
    let first = world.run(&args);
    assert_eq!(first.code, 3, "{}", first.stderr);
    let error = first.event("error").to_string();
    assert!(error.contains("may be lost") && error.contains("run the same command again"), "{error}");
    let safe = safe_chunks(&world.path(""), true) as u64;
    let second = world.run(&args[..args.len() - 2]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let summary = second.event("summary");
    assert!(safe > 0 && summary["chunks_resumed"] == safe, "{safe}: {summary}");
    assert!(summary["chunks_sent"].as_u64().unwrap() > 8, "{summary}");
    assert!(server.lock().unwrap().take().is_some(), "it was started anew");
    compare(&image, &dir.path().join("image"), "qcow2");
}

/// An image and a server that refuses the first flush once the file `after` is there: what a run says to that, and the next.
fn refused_flush(after: &str) {
    let world = World::new("");
    let image = world.image("root.img", 4 * MIB);
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("image");
    std::fs::File::create(&there).unwrap().set_len(4 * MIB).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (file, failed, written) = (at("image"), at("failed"), at("written"));
    let scripts = [
        format!("get_size=echo {}", 4 * MIB),
        format!("pread=dd if={file} iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none"),
        format!("pwrite=touch {written}; dd of={file} oflag=seek_bytes conv=notrunc seek=$4 status=none"),
        "can_write=exit 0".to_owned(),
        "can_flush=exit 0".to_owned(),
        format!(
            "flush=[ ! -e {} ] || [ -e {failed} ] || {{ touch {failed}; echo EIO no disk >&2; exit 1; }}",
            at(after)
        ),
    ];
    let arguments: Vec<&str> = std::iter::once("eval").chain(scripts.iter().map(String::as_str)).collect();
    let Some(server) = NbdServer::nbdkit(dir.path(), &arguments) else { return };
    configure(&world, "far", "nbd", &server.address(""), None, "");
    let args = ["--json", "upload", "root.img", "far:", "--chunk-size", "256k"];
    let first = world.run(&args);
    let error = first.event("error").to_string();
    assert!(first.code == 3 && error.contains("EIO"), "{} {error}", first.code);
    assert!(error.contains("run the same command again"), "{error}");
    assert_eq!(dir.path().join("written").exists(), after == "written");
    let second = world.run(&args);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let summary = second.event("summary");
    assert_eq!((&summary["chunks_resumed"], &summary["chunks_sent"]), (&0.into(), &14.into()), "{summary}");
    assert!(same(&image, &there));
}

/// A flush that a server refuses is not tried again, since the next would succeed: what came before it is sent again.
#[test]
fn what_a_server_could_not_flush_is_sent_again() {
    refused_flush("written");
}

/// Before anything is written, what was there has to be safe: zeros are left out where it reads as zero.
#[test]
fn what_was_there_and_cannot_be_flushed_is_not_built_on() {
    refused_flush("image");
}

/// The checkwrite filter takes only what is there already, so it sees each byte that is sent; and it sends little at a time.
#[test]
fn nbdkit_takes_each_byte_for_the_right_one_at_its_own_rate() {
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", 16 * MIB);
    let dir = tempfile::tempdir().unwrap();
    let file = format!("file={}", image.display());
    let arguments = ["--filter=checkwrite", "--filter=rate", "file", &*file, "rate=128M"];
    let Some(server) = NbdServer::nbdkit(dir.path(), &arguments) else { return };
    configure(&world, "far", "nbd", &server.address(""), None, "");
    let ended = world.run(&["upload", "root.img", "far:", "--zeros", "write", "--verify", "full"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut other = std::fs::read(&image).unwrap();
    other[9_000_000] ^= 1;
    std::fs::write(world.path("other.img"), other).unwrap();
    let ended = world.run(&["upload", "other.img", "far:", "--zeros", "write", "--retries", "1"]);
    assert!(ended.code == 3 && ended.stderr.contains("8388608"), "{} {}", ended.code, ended.stderr);
}

#[test]
fn a_read_only_export_is_refused_before_anything_is_sent() {
    let world = World::new("");
    let image = world.image("root.img", 2 * MIB);
    let there = world.path("there");
    std::fs::write(&there, noise(1, 2 << 20)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &there, "raw", &["--read-only"]) else { return };
    let gateway = Gateway::to_socket(server.socket());
    configure(&world, "far", "nbd", &format!("nbd://{}", gateway.address()), None, "");
    let ended = world.run(&["upload", "root.img", "far:"]);
    assert!(ended.code == 1 && ended.stderr.contains("is read-only"), "{} {}", ended.code, ended.stderr);
    assert!(ended.stderr.contains("hint: export it without `--read-only`"), "{}", ended.stderr);
    // A handshake, and the extents at most.
    assert!(gateway.passed().up < 1000, "{:?}", gateway.passed());
    assert!(std::fs::read(&there).unwrap() == noise(1, 2 << 20));
    assert!(world.journals().is_empty(), "there is nothing to resume");
    // It can be read.
    let down = world.run(&["download", "far:", "back.img"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(same(&there, &world.path("back.img")) && !same(&there, &image));
}

#[test]
fn exports_have_names_with_slashes_and_spaces_and_unknown_ones_are_told_what_there_is() {
    let world = World::new("");
    let image = world.image("root.img", 2 * MIB);
    let there = world.path("there");
    std::fs::File::create(&there).unwrap().set_len(2 * MIB).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let name = format!("{DISK}/ä b");
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &there, "raw", &["--export-name", &name]) else {
        return;
    };
    configure(&world, "far", "nbd", &server.address(""), None, "");
    let disk = format!("far:{name}");
    for args in [["upload", "root.img", "far:web-2"], ["download", "far:web-2", "back.img"]] {
        let ended = world.run(&args);
        assert!(ended.code == 5 && ended.stderr.contains(&name), "{} {}", ended.code, ended.stderr);
    }
    let up = world.run(&["upload", "root.img", &disk]);
    assert!(up.code == 0 && up.stdout.trim_end() == name, "{up:?}");
    // A file that is not named is named after the end of the export's name.
    let down = world.run(&["download", &disk]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(same(&image, &world.path("ä b")) && same(&image, &there), "{}", down.stderr);
}

/// A certificate for `localhost` in a directory as nbdkit wants it; the certificate is its own authority.
fn credentials(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for name in ["ca-cert.pem", "server-cert.pem"] {
        std::fs::write(dir.join(name), made.cert.pem()).unwrap();
    }
    std::fs::write(dir.join("server-key.pem"), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn tls_is_spoken_with_an_authority_of_the_remotes_own() {
    let world = World::new("");
    let image = world.image("root.img", 8 * MIB);
    let there = world.path("there");
    std::fs::File::create(&there).unwrap().set_len(8 * MIB).unwrap();
    let dir = tempfile::tempdir().unwrap();
    credentials(dir.path());
    let certificates = format!("--tls-certificates={}", dir.path().display());
    let file = format!("file={}", there.display());
    let arguments = ["--tls=require", &*certificates, "file", &*file];
    let Some(server) = NbdServer::nbdkit(dir.path(), &arguments) else { return };
    let gateway = Gateway::to_socket(server.socket());
    let port = gateway.address().port();
    let authority = format!("ca_file = \"{}\"\n", dir.path().join("ca-cert.pem").display());
    configure(&world, "plain", "nbd", &format!("nbd://localhost:{port}"), None, "");
    configure(&world, "unknown", "nbd", &format!("nbds://localhost:{port}"), None, "");
    configure(&world, "far", "nbd", &format!("nbds://localhost:{port}"), None, &authority);
    configure(&world, "misnamed", "nbd", &format!("nbds://127.0.0.1:{port}"), None, &authority);
    for (remote, says) in [("plain:", "nbds://"), ("unknown:", "certificate"), ("misnamed:", "certificate")] {
        let ended = world.run(&["upload", "root.img", remote]);
        assert!(ended.code == 4 && ended.stderr.contains(says), "{remote} {} {}", ended.code, ended.stderr);
    }
    let up = world.run(&["upload", "root.img", "far:", "--verify", "full"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    let down = world.run(&["download", "far:", "back.img"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(same(&image, &there) && same(&image, &world.path("back.img")));
}

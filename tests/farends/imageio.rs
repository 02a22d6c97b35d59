//! What only the oVirt image server has: tickets, writers that it counts, its socket on this machine.

use crate::end::{TICKET, configure};
use crate::gateway::{Gateway, Passed, To};
use crate::image_server::{ImageServer, Setup, overlapping};
use crate::images::{CHUNK, MIB, data, file_system, same, size};
use crate::kills::safe_chunks;
use crate::secrets::are_nowhere;
use crate::world::{Ended, World};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

const BOTH: &[&str] = &["read", "write"];

/// A file of so many bytes beside the server, and a ticket for it.
fn file(server: &ImageServer, ticket: &str, size: u64) -> PathBuf {
    let path = server.path("image");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    server.ticket(ticket, size, &format!("file://{}", path.display()), BOTH);
    path
}

/// More than one writer damages a file behind the server.
#[test]
fn a_server_that_takes_one_writer_never_gets_two_writes_at_once() {
    let setup = Setup { write_takes: Duration::from_millis(20), ..Setup::default() };
    let Some(server) = ImageServer::start(&setup) else { return };
    let world = World::new("");
    let image = world.image("root.img", 8 * MIB);
    let there = file(&server, TICKET, 8 * MIB);
    configure(&world, "far", "imageio", &server.url(), Some(TICKET), "");
    let args =
        ["upload", "root.img", "far:", "--chunk-size", "128k", "--concurrency", "16", "--zeros", "write"];
    let ended = world.run(&args);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(overlapping(&server.log()), (1, 64), "{}", server.log());
    assert!(same(&image, &there));
}

/// Runs a command, and takes the ticket back in the middle of it, when what has passed says so.
fn run_cancelled(
    world: &World,
    args: &[&str],
    server: &ImageServer,
    ticket: &str,
    gateway: &Gateway,
    mut when: impl FnMut(Passed) -> bool + Send + 'static,
) -> Ended {
    let (tell, told) = channel();
    gateway.set_hook(move |passed| when(passed) && tell.send(()).is_ok());
    std::thread::scope(|scope| {
        // The server takes it back at once, and answers when its connections have ended.
        scope.spawn(move || {
            if told.recv().is_ok() {
                server.cancel(ticket);
            }
        });
        let ended = world.run(args);
        gateway.clear_hook();
        ended
    })
}

/// The credential is typed once, and then it is nowhere.
#[test]
fn a_ticket_is_kept_nowhere_and_shown_nowhere() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", 16 * MIB);
    let there = file(&server, TICKET, 16 * MIB);
    let gateway = Gateway::to_url(&server.url());
    configure(&world, "far", "imageio", &gateway.url(&server.url()), None, "");
    configure(&world, "kept", "imageio", &gateway.url(&server.url()), Some(TICKET), "");
    let chunk = CHUNK.to_string();
    let typed = format!("far:{TICKET}");
    let mut all = Vec::new();
    for disk in [&*typed, "kept:web-1"] {
        let command = |first: &[&'static str]| -> Vec<String> {
            let words = [first, &["root.img", disk, "--chunk-size", &chunk]].concat();
            words.into_iter().map(str::to_owned).collect()
        };
        let run = |words: &[String], more: &[&str]| {
            let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
            world.run(&words)
        };
        // Ended in the middle, by a server that refuses the rest.
        let limit = format!("{}:", data(&image) / 4);
        let words = command(&["--json", "-vv", "upload"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words = [&words[..], &["--bwlimit", &limit, "--retries", "2"]].concat();
        gateway.reset();
        let first = run_cancelled(&world, &words, &server, TICKET, &gateway, |passed| passed.up > 2 * MIB);
        assert_eq!(first.code, 4, "{}", first.stderr);
        assert!(first.event("error").to_string().contains("new image transfer"), "{}", first.stdout);
        assert!(
            first.stderr.contains("PUT") && first.stderr.contains("/images/(hidden)"),
            "{}",
            first.stderr
        );
        let list = world.run(&["--json", "transfers", "list"]);
        let id = list.events()[0]["id"].as_str().unwrap().to_owned();
        all.extend([first, list, world.run(&["transfers", "list"]), world.run(&["transfers", "show", &id])]);
        are_nowhere(&[TICKET], &all.iter().collect::<Vec<_>>(), &world, &["config.toml"]);
        // Ended well, too.
        server.ticket(TICKET, 16 * MIB, &format!("file://{}", there.display()), BOTH);
        let second = run(&command(&["--json", "-vv", "upload"]), &["--verify", "full"]);
        assert_eq!(second.code, 0, "{}", second.stderr);
        assert!(same(&image, &there));
        all.extend([
            second,
            run(&command(&["-vv", "verify"]), &[]),
            world.run(&["-vv", "remote", "test", disk]),
        ]);
        for ended in &all[all.len() - 2..] {
            assert_eq!(ended.code, 0, "{}", ended.stderr);
        }
        are_nowhere(&[TICKET], &all.iter().collect::<Vec<_>>(), &world, &["config.toml"]);
    }
}

/// A ticket ends with the transfer that oVirt made it for, and the disk has another one tomorrow.
#[test]
fn a_new_ticket_for_the_same_name_goes_on() {
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let there = file(&server, "first-ticket", size());
    let gateway = Gateway::to_url(&server.url());
    let secret = format!("secret_file = \"{}\"\n", world.path("ticket").display());
    configure(&world, "far", "imageio", &gateway.url(&server.url()), None, &secret);
    std::fs::write(world.path("ticket"), "first-ticket\n").unwrap();
    let home = world.path("");
    let (chunk, limit) = (CHUNK.to_string(), format!("{}:", data(&image) / 6));
    let args = ["--json", "upload", "root.img", "far:web-1", "--chunk-size", &chunk, "--bwlimit", &limit];
    let flushed = move |_| safe_chunks(&home, true) > 0;
    let first = run_cancelled(&world, &args, &server, "first-ticket", &gateway, flushed);
    assert_eq!(first.code, 4, "{}", first.stderr);
    let safe = safe_chunks(&world.path(""), true) as u64;
    server.ticket("second-ticket", size(), &format!("file://{}", there.display()), BOTH);
    std::fs::write(world.path("ticket"), "second-ticket\n").unwrap();
    let second = world.run(&args[..args.len() - 2]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let summary = second.event("summary");
    assert!(safe > 0 && summary["chunks_resumed"] == safe, "{safe}: {summary}");
    assert!(same(&image, &there));
    are_nowhere(&["first-ticket", "second-ticket"], &[&first, &second], &world, &["ticket"]);
}

#[test]
fn https_is_spoken_with_an_authority_of_the_remotes_own() {
    let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let Some(server) = ImageServer::start(&Setup { tls: Some((&pem, &key)), ..Setup::default() }) else {
        return;
    };
    let world = World::new("");
    let image = world.image("root.img", 8 * MIB);
    let there = file(&server, TICKET, 8 * MIB);
    std::fs::write(world.path("ca.pem"), &pem).unwrap();
    let authority = format!("ca_file = \"{}\"\n", world.path("ca.pem").display());
    configure(&world, "unknown", "imageio", &server.url(), Some(TICKET), "");
    configure(&world, "far", "imageio", &server.url(), Some(TICKET), &authority);
    let refused = world.run(&["upload", "root.img", "unknown:"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("not trusted"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    let up = world.run(&["upload", "root.img", "far:", "--verify", "full"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    let down = world.run(&["download", "far:", "back.img"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(same(&image, &there) && same(&image, &world.path("back.img")));
}

/// An address of this machine that is not loopback; no packet is sent.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn the_socket_of_a_server_on_this_machine_is_used_and_that_of_another_machine_is_not() {
    let Some(server) = ImageServer::start(&Setup { local: true, ..Setup::default() }) else { return };
    let world = World::new("");
    let image = world.image("root.img", 8 * MIB);
    let there = file(&server, TICKET, 8 * MIB);
    configure(&world, "near", "imageio", &server.url(), Some(TICKET), "");
    let written = |log: &str, from: &str| {
        log.lines().filter(|line| line.contains("WRITE size=") && line.contains(from)).count()
    };
    let args = ["--chunk-size", "1M", "--zeros", "write"];
    let up = world.run(&[&["upload", "root.img", "near:"], &args[..]].concat());
    assert_eq!(up.code, 0, "{}", up.stderr);
    let log = server.log();
    assert_eq!((written(&log, "[127.0.0.1]"), written(&log, "[local]")), (0, 7), "{log}");
    let Some(address) = address() else {
        return crate::skipped::skipped(
            "this machine has no address but loopback, so there is no other host",
        );
    };
    let inner = Gateway::to_url(&server.url());
    let gateway = Gateway::at(address, To::Tcp(inner.address()));
    let url = gateway.url(&server.url());
    configure(&world, "plain", "imageio", &url, Some(TICKET), "");
    configure(&world, "far", "imageio", &url, Some(TICKET), "allow_http = true\n");
    let refused = world.run(&["upload", "root.img", "plain:"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("allow_http"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    assert_eq!(gateway.passed().up, 0);
    let up = world.run(&[&["upload", "root.img", "far:"], &args[..]].concat());
    assert_eq!(up.code, 0, "{}", up.stderr);
    let log = server.log();
    assert_eq!((written(&log, "[127.0.0.1]"), written(&log, "[local]")), (7, 7), "{log}");
    assert!(same(&image, &there));
}

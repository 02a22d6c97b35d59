//! `remote add` and `remote test` for what has disks and no calls.

use crate::azurite::{Azurite, account_sas};
use crate::end::TICKET;
use crate::image_server::{ImageServer, Setup};
use crate::images::MIB;
use crate::nbd_server::NbdServer;
use crate::world::{Ended, World};
use std::io::Write;
use std::process::Stdio;

/// Adds a remote, its secret on standard input if it has one.
fn add(world: &World, name: &str, provider: &str, url: &str, secret: Option<&str>) {
    let mut args = vec!["remote", "add", name, "--provider", provider, "--url", url];
    args.extend(secret.map(|_| "--secret-stdin"));
    let mut command = world.command(&args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", secret.unwrap_or_default()).unwrap();
    drop(stdin);
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("`diskferry remote test {name}")), "{}", ended.stderr);
    assert!(secret.is_none_or(|secret| !ended.stderr.contains(secret)), "{}", ended.stderr);
}

/// What `remote test` says of something, each line a name and words; the same as JSON, by name.
fn tested(world: &World, disk: &str, wanted: &[(&str, &str)]) {
    let said = world.run(&["remote", "test", disk]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let json = world.run(&["--json", "remote", "test", disk]);
    assert_eq!(json.code, 0, "{}", json.stderr);
    let json = json.event("remote_test");
    for (name, words) in wanted {
        let line = said.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {}", said.stdout));
        assert_eq!(line[name.len()..].trim(), *words, "{}", said.stdout);
        assert_eq!(json[name.replace(' ', "_")], *words, "{json}");
    }
    assert_eq!(json["remote"], disk.split(':').next().unwrap());
}

#[test]
fn an_nbd_server() {
    let world = World::new("");
    let there = world.path("there");
    std::fs::File::create(&there).unwrap().set_len(2 * MIB).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let more = ["--export-name", "web 1", "--read-only"];
    let Some(server) = NbdServer::qemu_nbd(dir.path(), &there, "raw", &more) else { return };
    let url = server.address("");
    add(&world, "far:", "nbd", &url, None);
    tested(&world, "far:", &[("provider", "nbd"), ("exports", "\"web 1\"")]);
    let size = (2 * MIB).to_string();
    tested(
        &world,
        "far:web 1",
        &[
            ("export", "export web 1"),
            ("size", &size),
            ("writable", "no"),
            ("blocks", "1 to 33554432"),
            ("extents", "yes"),
            ("connections", "several"),
            ("checksums", "no"),
        ],
    );
    let unknown = world.run(&["remote", "test", "far:web 2"]);
    assert!(unknown.code == 5 && unknown.stderr.contains("web 1"), "{} {}", unknown.code, unknown.stderr);
    drop(server);
    let gone = world.run(&["remote", "test", "far:", "--retries", "0"]);
    assert!(gone.code == 1 && gone.stderr.contains("remote far: "), "{} {}", gone.code, gone.stderr);
    // It has no calls.
    let calls = world.run(&["drive", "list", "far:"]);
    assert_eq!(calls.code, 2, "{}", calls.stderr);
}

#[test]
fn an_image_server() {
    let Some(server) = ImageServer::start(&Setup { local: true, ..Setup::default() }) else { return };
    let world = World::new("");
    let there = world.path("there");
    std::fs::File::create(&there).unwrap().set_len(2 * MIB).unwrap();
    server.ticket(TICKET, 2 * MIB, &format!("file://{}", there.display()), &["read"]);
    add(&world, "far:", "imageio", &server.url(), None);
    add(&world, "kept:", "imageio", &server.url(), Some(TICKET));
    let size = (2 * MIB).to_string();
    for disk in [&format!("far:{TICKET}"), "kept:", "kept:web-1"] {
        tested(
            &world,
            disk,
            &[
                ("provider", "imageio"),
                ("size", &size),
                ("writable", "no"),
                ("writers", "1"),
                ("readers", "8"),
                ("extents", "yes"),
                ("checksums", "yes"),
                ("unix socket", "yes"),
                ("gzip writes", "no"),
            ],
        );
    }
    let none = world.run(&["remote", "test", "far:"]);
    assert!(none.code == 2 && none.stderr.contains("REMOTE:TICKET"), "{} {}", none.code, none.stderr);
    server.cancel(TICKET);
    let over = world.run(&["remote", "test", "kept:"]);
    assert!(over.code == 4 && over.stderr.contains("new image transfer"), "{} {}", over.code, over.stderr);
    // One for reading is not written to.
    server.ticket(TICKET, 2 * MIB, &format!("file://{}", there.display()), &["read"]);
    world.image("root.img", MIB);
    let refused = world.run(&["upload", "root.img", "kept:"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("is read-only"),
        "{} {}",
        refused.code,
        refused.stderr
    );
}

#[test]
fn a_container_of_blobs() {
    let Some(azurite) = Azurite::start() else { return };
    let world = World::new("");
    azurite.put("images/web 1", &vec![1; 1 << 20]);
    add(&world, "far:", "azure", &azurite.url(), Some(&account_sas("2999-01-01T00:00:00Z", "rwlac")));
    tested(&world, "far:", &[("provider", "azure"), ("blobs", "1 listed"), ("write limit", "4194304")]);
    let size = MIB.to_string();
    tested(&world, "far:images/web 1", &[("size", &size), ("alignment", "512"), ("extents", "yes")]);
    let unknown = world.run(&["remote", "test", "far:web-2"]);
    assert!(
        unknown.code == 5 && unknown.stderr.contains("no such blob"),
        "{} {}",
        unknown.code,
        unknown.stderr
    );
    add(&world, "old:", "azure", &azurite.url(), Some(&account_sas("2020-01-01T00:00:00Z", "rwlac")));
    let over = world.run(&["remote", "test", "old:"]);
    assert!(over.code == 4 && over.stderr.contains("has expired"), "{} {}", over.code, over.stderr);
}

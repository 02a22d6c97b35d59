//! What is refused, with which status and in which words; and that nothing was sent before it was.

use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};

const MIB: u64 = 1 << 20;

#[test]
fn a_wrong_password_stops_at_the_first_answer() {
    let world = World::new("");
    world.image("a.img", MIB);
    world.write_config(&world.emulator().url(), "wrong");
    for args in [&["upload", "a.img", "oh:"][..], &["download", "oh:33333333-3333-4333-8333-333333333333"]] {
        let before = world.emulator().log().len();
        let ended = world.run(args);
        assert_eq!(ended.code, 4, "{}", ended.stderr);
        assert!(ended.stderr.contains("401"), "{}", ended.stderr);
        assert_eq!(world.emulator().log().len() - before, 1, "one request and no more");
    }
    assert!(world.journals().is_empty());
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let world = World::new("");
    world.image("a.img", MIB);
    std::fs::write(world.path("empty.img"), "").unwrap();
    std::fs::write(world.path("there.img"), "mine").unwrap();
    let drive = "oh:33333333-3333-4333-8333-333333333333";
    let cases: [(&[&str], i32, &str); 14] = [
        (&["upload", "nowhere.img", "oh:"], 1, "nowhere.img"),
        (&["upload", "empty.img", "oh:"], 1, "empty"),
        (&["upload", ".", "oh:"], 1, "is a directory"),
        (&["upload", "a.img", "nix:"], 2, "nix"),
        (&["upload", "a.img", "oh"], 2, "did you mean `oh:`?"),
        (&["upload", "a.img", "oh:", "--chunk-size", "4X"], 2, "4X"),
        (&["upload", "a.img", "oh:", "--chunk-size", "1"], 2, "4k to 64M"),
        (&["upload", "a.img", "oh:", "--compress", "13"], 2, "13"),
        (&["upload", "a.img", "oh:", "--size", "1000"], 1, "the new drive is too small"),
        (&["upload", "a.img", "oh:", "--manifest", "no/such/m.json"], 1, "no such directory"),
        (&["upload", "-", "oh:"], 2, "--size"),
        (&["upload", "a.img", drive, "--name", "x"], 2, "--name"),
        (&["download", drive, "there.img"], 1, "there.img is in the way"),
        (&["download", "oh:"], 2, "REMOTE:DRIVE"),
    ];
    for (args, code, said) in cases {
        let ended = world.run(args);
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
    assert!(world.emulator().log().is_empty(), "{:?}", world.emulator().log());
    assert!(world.journals().is_empty());
    assert_eq!(std::fs::read(world.path("there.img")).unwrap(), b"mine");
}

#[test]
fn a_drive_that_is_not_there_or_too_small_is_refused() {
    let world = World::new("");
    world.image("a.img", MIB);
    world.image("large.img", 3 * MIB);
    let missing = world.run(&["upload", "a.img", "oh:33333333-3333-4333-8333-333333333333"]);
    assert_eq!(missing.code, 5, "{}", missing.stderr);
    let drive = world.upload(&["a.img", "oh:"]);
    let small = world.run(&["upload", "large.img", &format!("oh:{drive}")]);
    assert_eq!(small.code, 1, "{}", small.stderr);
    assert!(small.stderr.contains("1048576 bytes") && small.stderr.contains("3145728"), "{}", small.stderr);
    let differ = world.run(&["verify", "large.img", &format!("oh:{drive}")]);
    assert_eq!(differ.code, 6, "{}", differ.stderr);
}

#[test]
fn credentials_do_not_cross_a_network_in_the_clear() {
    let world = World::new("");
    world.image("a.img", MIB);
    world.write_config("http://192.0.2.1/", "the-secret-of-this-test");
    let ended = world.run(&["upload", "a.img", "oh:"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("allow_http"), "{}", ended.stderr);
}

#[test]
fn the_secret_is_nowhere() {
    let world = World::new("error=0.3,seed=3");
    world.image("a.img", 4 * MIB);
    let args =
        ["-vv", "upload", "a.img", "oh:", "--chunk-size", "128k", "--timeout", "1s", "--manifest", "m.json"];
    let ended = world.run(&args);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let json = world.run(&[&["--json"], &args[1..]].concat());
    let manifest = std::fs::read_to_string(world.path("m.json")).unwrap();
    // A journal, as a kill leaves it.
    let args = ["upload", "a.img", "oh:", "--chunk-size", "4k", "--timeout", "1s"];
    world.kill_at(world.emulator(), &args, (Stage::Applied, Operation::Write, 30));
    let journal = String::from_utf8_lossy(&std::fs::read(&world.journals()[0]).unwrap()).into_owned();
    assert!(journal.contains("a.img"));
    let basic = base64(b"22222222-2222-4222-8222-222222222222:the-secret-of-this-test");
    for (place, text) in [
        ("-vv", ended.stderr),
        ("--json", json.stdout + &json.stderr),
        ("manifest", manifest),
        ("journal", journal),
    ] {
        assert!(!text.contains("the-secret-of-this-test") && !text.contains(&basic), "{place}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use std::io::Write;
    let mut child = std::process::Command::new("base64")
        .arg("-w0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    Ended::new(child.wait_with_output().unwrap()).stdout
}

#[test]
fn a_server_that_lies_about_lengths_is_not_believed() {
    use std::io::{Read, Write};
    let world = World::new("");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let drive = "33333333-3333-4333-8333-333333333333";
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let got = connection.read(&mut buffer).unwrap_or(0);
                    if got == 0 {
                        return;
                    }
                    seen.extend_from_slice(&buffer[..got]);
                    let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&seen[..end]).into_owned();
                    seen.drain(..end + 4);
                    let body = if head.contains("/info ") {
                        format!("drive {drive}\nname x\nsize 1048576\n").into_bytes()
                    } else {
                        // A success, and complete by its own account, but not what was asked for.
                        vec![7; 1000]
                    };
                    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    if connection.write_all(&[reply.as_bytes(), &body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    world.write_config(&url, "x");
    let ended = world.run(&["download", &format!("oh:{drive}"), "a.img", "--retries", "1"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("1000 bytes, expected 1048576"), "{}", ended.stderr);
    assert!(!world.path("a.img").exists());
}

/// A proxy that cannot be reached is named by its variable, never by its address: that may hold a password.
#[test]
fn a_proxy_that_fails_is_named_by_its_variable() {
    let world = World::new("");
    let path = world.path("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let remote = "[remotes.far]\nprovider = \"openhosting\"\nurl = \"http://api.example.com/\"\nallow_http = true\n\
                  user = \"u\"\nsecret = \"s\"\n";
    std::fs::write(&path, text + remote).unwrap();
    let ask = |variable: &str| {
        let mut command = world.command(&["drive", "list", "far:", "--retries", "0"]);
        // Nobody listens there.
        command.env(variable, "http://me:hunter22@127.0.0.1:1/");
        Ended::new(command.output().unwrap())
    };
    let failed = ask("HTTP_PROXY");
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("the proxy that `HTTP_PROXY` names"), "{}", failed.stderr);
    assert!(!failed.stderr.contains("hunter22"), "{}", failed.stderr);
}

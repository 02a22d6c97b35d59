//! `diskferry serve` as others use it: as a process beside their tests.

mod docs;
mod runs;
#[path = "../support/skipped.rs"]
mod skipped;
mod world;

use serde_json::json;
use world::{World, ask, lines};

#[test]
fn a_data_directory_is_for_one_process() {
    let world = World::new();
    let args = ["openhosting=127.0.0.1:0", "--data", "data", "--write-config", "emulator.toml"];
    let first = world.serve(&args, 1);
    let second = world.run(&[&["serve"], &args[..]].concat());
    let stderr = String::from_utf8(second.stderr).unwrap();
    assert_eq!((second.status.code(), &*second.stdout), (Some(1), &b""[..]), "{stderr}");
    let id = first.id();
    assert!(stderr.contains("--data data") && stderr.contains(&format!("process {id}")), "{stderr}");
    assert!(stderr.contains(&format!("kill {id}")), "{stderr}");
    // It is free once the first is gone, however that ended.
    drop(first);
    world.serve(&args, 1);
}

#[test]
fn requests_are_logged_and_undocumented_forms_named() {
    let world = World::new();
    let args = [
        "openhosting=127.0.0.1:0",
        "--user",
        "alice",
        "--secret",
        "a",
        "--strict",
        "--log",
        "requests.jsonl",
    ];
    let serve = world.serve(&args, 1);
    let address = serve.address("openhosting").to_owned();
    assert_eq!(ask(&address, "GET /drives/list", "").0, 200);
    assert_eq!(ask(&address, "POST /drives/list", "").0, 200);
    let warning = serve.says("undocumented");
    assert!(
        warning.contains("openhosting: undocumented: POST /drives/list: the manual has GET"),
        "{warning}"
    );
    assert_eq!(ask(&address, "POST /drives/list", "").0, 200);
    let last = serve.stop();
    assert!(last.iter().any(|line| line.contains("undocumented forms: 1 (requests: 2)")), "{last:?}");
    assert!(!last.iter().any(|line| line.contains("openhosting: undocumented")), "named twice: {last:?}");
    let logged = lines(&world.path("requests.jsonl"));
    let seen: Vec<_> = logged.iter().map(|line| line["method"].as_str().unwrap()).collect();
    assert_eq!(seen, ["GET", "POST", "POST"]);
    assert_eq!((&logged[1]["account"], &logged[1]["status"]), (&json!("alice"), &json!(200)));
    assert_eq!(logged[1]["undocumented"], json!(["POST /drives/list: the manual has GET"]));
    assert!(logged[0].get("undocumented").is_none());
}

#[test]
fn each_account_has_remotes_of_its_own() {
    let world = World::new();
    std::fs::write(
        world.path("accounts.toml"),
        "[[accounts]]\nuser = \"alice\"\n[[accounts]]\nuser = \"bob\"\n",
    )
    .unwrap();
    let args = ["openhosting=127.0.0.1:0", "--accounts", "accounts.toml", "--write-config", "emulator.toml"];
    let _serve = world.serve(&args, 1);
    for remote in ["openhosting:", "openhosting-2:"] {
        let made = world.run(&["call", remote, "drives.create", "name=a", "size=1048576"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let list = world.run(&["call", remote, "drives.list"]);
        assert_eq!(String::from_utf8(list.stdout).unwrap().lines().count(), 1, "{remote}");
    }
}

#[test]
fn what_cannot_be_served_says_what_can() {
    let world = World::new();
    std::fs::write(world.path("empty.toml"), "accounts = []\n").unwrap();
    for (args, code, says) in [
        (&["openhosting"][..], 2, "expected PROVIDER=HOST:PORT"),
        (&["openhosting=127.0.0.1:0", "--control", "0.0.0.0:0"], 2, "other machines could reach it"),
        (&["openhosting=127.0.0.1:0", "--time-scale", "-1"], 2, "expected a number from 0"),
        (&["openhosting=127.0.0.1:0", "--faults", "fusy=1"], 2, "no such fault"),
        (&["openhosting=127.0.0.1:0", "--secret", "a", "--secret", "b"], 2, "2 times"),
        (&["openhosting=127.0.0.1:0", "--accounts", "empty.toml"], 2, "no accounts"),
        (&["openhosting=127.0.0.1:0", "--key", "a=b.pub"], 2, "joyent"),
        (&["openhosting=127.0.0.1:0", "--log", "no/such/dir/log"], 1, "no/such/dir/log"),
        (&["openhosting=192.0.2.1:1"], 1, "openhosting on 192.0.2.1:1"),
    ] {
        let output = world.run(&[&["serve"], args].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(says) && stderr.contains("hint:"), "{args:?}: {stderr}");
    }
}

#[test]
fn with_json_every_line_is_an_event() {
    let world = World::new();
    let mut serve = world
        .command(&["--json", "serve", "openhosting=127.0.0.1:0", "--control", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = std::io::BufReader::new(serve.stdout.take().unwrap());
    let mut next = || -> serde_json::Value {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert!(line.starts_with("{\"event\":"), "{line}");
        serde_json::from_str(&line).unwrap()
    };
    let (first, second) = (next(), next());
    assert_eq!((&first["event"], &first["provider"]), (&json!("listening"), &json!("openhosting")));
    assert_eq!(second["event"], "control");
    let id = rustix::process::Pid::from_child(&serve);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let mut last = next();
    while last["event"] != "summary" {
        last = next();
    }
    assert_eq!(last["faults_dealt"], 0);
    serve.wait().unwrap();
}

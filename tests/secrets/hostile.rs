//! Servers that answer with ids, names and words that are meant to do harm.

use super::recorder::{Answer, Recorder, Sent};
use super::world::{Ended, World};
use diskferry::provider::Provider;

const DRIVE: &str = "08c92dd5-70a0-4f51-83d2-835919d254df";
const JSON: &str = "Content-Type: application/json\r\n";

/// Clears the screen, sets the title, turns the direction of the text, begins a line, and comes from C1.
const HARM: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{2066}\u{2028}\u{9b}31m\r\nhint: run this\u{7f}z";

/// A world whose server answers every request with this JSON, and a read with zeros.
fn json(provider: Provider, object: &serde_json::Value) -> World {
    let body = object.to_string().into_bytes();
    answering(provider, move |sent| match sent.path.split_once("/read/") {
        Some((_, rest)) => {
            let size = rest.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0);
            ("200 OK", "", vec![0; size])
        }
        None if provider == Provider::Joyent && sent.method == "POST" => ("201 Created", JSON, body.clone()),
        None => ("200 OK", JSON, body.clone()),
    })
}

fn answering(provider: Provider, answer: impl Fn(&Sent) -> Answer + Send + 'static) -> World {
    World::at(provider, &Recorder::new(move |sent, _| answer(sent)).url)
}

/// Nothing that a terminal would obey, and no line that the server has begun.
fn harmless(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        let bad = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!text.contains(bad), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("hint: run this")), "{text:?}");
    }
}

#[test]
fn an_id_that_is_none_is_refused_and_not_printed() {
    for id in ["a\nb", "../../x", "/etc/x", ".x", "a b", "a\u{202e}b", "é", "", &"x".repeat(300)] {
        let world =
            json(Provider::OpenHosting, &serde_json::json!({ "drive": id, "server": id, "size": 10 }));
        for args in [
            &["drive", "create", "r:", "name=a", "size=10"][..],
            &["server", "create", "r:", "name=a", "cpu=500", "mem=256"],
        ] {
            let ended = world.run(args);
            assert_eq!((ended.code, &*ended.stdout), (1, ""), "{id:?} {args:?}: {ended:?}");
            harmless(&ended);
        }
        let machines = json(Provider::Joyent, &serde_json::json!({ "id": id, "name": "m" }));
        let ended = machines.run(&["machine", "create", "r:"]);
        assert_eq!((ended.code, &*ended.stdout), (1, ""), "{id:?}: {ended:?}");
        harmless(&ended);
    }
}

#[test]
fn an_id_is_alone_on_stdout() {
    let world = json(Provider::OpenHosting, &serde_json::json!({ "drive": DRIVE, "size": 10 }));
    assert_eq!(world.done(&["drive", "create", "r:", "name=a", "size=10"]), DRIVE);
    // A name is no id, and may have more in it, but never another line.
    let world = json(Provider::Joyent, &serde_json::json!({ "name": HARM, "state": "created" }));
    for args in [
        &["snapshot", "create", "r:cf055959-d776-482e-bd71-ca510a04bdd7"][..],
        &["key", "create", "r:", "key.pub"],
    ] {
        world.file("key.pub", PUBLIC_KEY.as_bytes());
        let ended = world.run(args);
        assert!(ended.stdout.lines().count() <= 1, "{ended:?}");
        harmless(&ended);
    }
}

const PUBLIC_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDMzpFuVO3tvmk3xkQMTBKZ6f5Gs7Zz9yiN3IVTLMSQbm4CSOyV8Kw\
Ll8G6pGMGZzQeJKLrFMzbQMYpd3QqDWBk8kTnVXbd7MAJlHmJGz3V5L4kjYvOdUQ5ryMXYbPgjWwGPmhKN0aVV8ltZCWmhx8tPBYj6lM6jVw3V/nI9i8AHQ== a@b\n";

#[test]
fn a_file_is_never_named_by_the_servers_id() {
    let world = World::empty();
    let evil = world.path("evil").to_str().unwrap().to_owned();
    let url = Recorder::new(move |sent, _| {
        if sent.path.contains("/read/") {
            return ("200 OK", "", vec![7; 10]);
        }
        let body = serde_json::json!({ "drive": evil, "name": ".x", "size": 10 });
        ("200 OK", JSON, body.to_string().into_bytes())
    })
    .url;
    world.configure(Provider::OpenHosting, &url);
    let ended = world.run(&["download", &format!("r:{DRIVE}"), "--verify", "none"]);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(!world.path("evil.raw").exists() && !world.path("evil").exists());

    // One with an id like any other, and a name that no file should have.
    let other = "11111111-70a0-4f51-83d2-835919d254df";
    for name in [".x", "..", "-rf", "a/b", "a\\b", "a\u{202e}b", "a\nb", "", &"é".repeat(120)] {
        let world =
            json(Provider::OpenHosting, &serde_json::json!({ "drive": other, "name": name, "size": 10 }));
        let ended = world.run(&["download", &format!("r:{DRIVE}"), "--verify", "none"]);
        assert_eq!(ended.code, 0, "{name:?}: {ended:?}");
        assert!(world.path(&format!("{DRIVE}.raw")).exists(), "{name:?}: {ended:?}");
    }
}

#[test]
fn text_from_a_server_steers_no_terminal() {
    let family = serde_json::json!({
        "drive": DRIVE, "server": DRIVE, "name": HARM, "status": HARM, "imaging": HARM, "size": 10,
        "cpu": HARM, "mem": HARM, "nic:0:dhcp": HARM, HARM: HARM,
    });
    let world = json(Provider::OpenHosting, &family);
    let drive = format!("r:{DRIVE}");
    for args in [
        &["drive", "list", "r:"][..],
        &["drive", "info", &drive],
        &["drive", "image", &drive, DRIVE, "--wait=300ms"],
        &["drive", "destroy", &drive],
        &["server", "list", "r:"],
        &["server", "info", &drive],
        &["server", "start", &drive, "--wait=300ms"],
        &["server", "shutdown", &drive, "--wait=300ms"],
        &["server", "destroy", &drive],
        &["boot", &drive],
        &["download", &drive, "--verify", "none"],
        &["call", "r:", "drives.info", DRIVE, "--sort", "name"],
    ] {
        harmless(&world.run(args));
    }
    let joyent =
        serde_json::json!({ "id": "m1", "name": HARM, "state": HARM, "ips": [HARM], HARM: { HARM: HARM } });
    let world = json(Provider::Joyent, &joyent);
    for args in [
        &["machine", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7"][..],
        &["machine", "start", "r:cf055959-d776-482e-bd71-ca510a04bdd7", "--wait=300ms"],
        &["snapshot", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7", "s"],
        &["snapshot", "create", "r:cf055959-d776-482e-bd71-ca510a04bdd7", "s", "--wait=300ms"],
        &["key", "info", "r:k"],
    ] {
        harmless(&world.run(args));
    }
    let world = json(Provider::Joyent, &serde_json::json!([joyent]));
    for args in [
        ["machine", "list", "r:"],
        ["key", "list", "r:"],
        ["snapshot", "list", "r:cf055959-d776-482e-bd71-ca510a04bdd7"],
    ] {
        harmless(&world.run(&args));
    }
}

#[test]
fn names_in_a_damaged_reply_steer_no_terminal() {
    for body in [
        "<a\u{1b}[2J>",
        "<a><b\u{1b}[2J></c\u{1b}[2J></a>",
        "<a b\u{1b}[2J='\u{9b}'/>",
        "{\"\u{1b}[2J\"",
        "<a>&\u{1b}[2J;</a>",
    ] {
        let world = answering(Provider::SpotCloud, move |_| ("200 OK", "", body.as_bytes().to_vec()));
        for args in
            [&["appliance", "list", "r:"][..], &["hardware", "list", "r:"], &["appliance", "info", "r:k"]]
        {
            harmless(&world.run(args));
        }
    }
    // A failure in the server's own words.
    for status in ["400 Bad", "401 Unauthorized", "500 Failed", "302 Found"] {
        let world = answering(Provider::OpenHosting, move |_| {
            (
                status,
                "Location: http://x/\u{9b}31m\r\nX-Elastic-Error: usage\u{9b}2J\r\n",
                HARM.as_bytes().to_vec(),
            )
        });
        let ended = world.run(&["drive", "info", &format!("r:{DRIVE}"), "--retries", "0"]);
        assert_ne!(ended.code, 0);
        harmless(&ended);
    }
}

#[test]
fn an_id_that_is_typed_stays_in_its_place() {
    let world = json(Provider::OpenHosting, &serde_json::json!({ "drive": DRIVE, "size": 10 }));
    for id in ["a\tb", "a\u{202e}b"] {
        let ended = world.run(&["drive", "info", &format!("r:{id}")]);
        assert_eq!(ended.code, 2, "{id:?}: {ended:?}");
    }
    // What is no id may be a name, which is looked for in the list, and never becomes a part of a path.
    for name in ["a/b", "a?b", "a#b", "..", ".x", "a b", "a%2fb", "a\\b"] {
        let ended = world.run(&["drive", "info", &format!("r:{name}")]);
        ended.refused(5, &["no drive on `r:` is named"]);
    }
}

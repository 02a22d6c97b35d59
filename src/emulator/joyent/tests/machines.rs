//! Machines over the wire: creating, listing, changing, deleting; metadata and tags.

use super::World;
use super::client::request;
use crate::emulator::joyent::account::Key;
use crate::emulator::joyent::machine::State;
use crate::emulator::joyent::offers::{Dataset, Kind};
use crate::emulator::joyent::tests::PUBLIC;
use serde_json::json;
use std::time::Duration;

impl World {
    fn state(&self, id: &str) -> String {
        self.get(&format!("/my/machines/{id}")).json()["state"].as_str().unwrap().to_owned()
    }

    /// Lets time pass until a machine is in a state.
    fn await_state(&self, id: &str, state: &str) {
        for _ in 0..20 {
            if self.state(id) == state {
                return;
            }
            self.emulator.clock.advance(Duration::from_millis(500));
        }
        panic!("{id} is still {}", self.state(id));
    }

    fn act(&self, id: &str, form: &str) -> (u16, String) {
        let reply = self.post(&format!("/my/machines/{id}"), form);
        (reply.status, if reply.status == 202 { String::new() } else { reply.code() })
    }

    fn names(&self, query: &str) -> Vec<String> {
        let json = self.get(&format!("/my/machines?{query}")).json();
        let machines = json.as_array().unwrap_or_else(|| panic!("{query}: {json}"));
        machines.iter().map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_machine_lives_by_the_clock() {
    let world = World::new("");
    let made = world.post("/my/machines", "name=m&metadata.a=b&metadata.list=[1]&tag.group=test");
    let json = made.json();
    let id = json["id"].as_str().unwrap();
    assert_eq!(json["state"], "provisioning");
    assert_eq!(
        (json["memory"].as_u64(), json["disk"].as_u64()),
        (Some(128), Some(5120)),
        "the default package"
    );
    assert_eq!(json["dataset"], "sdc:sdc:nodejs:1.1.3", "the default dataset");
    assert_eq!(json["metadata"], json!({"a": "b", "list": [1]}));
    assert_eq!(made.header("location"), None, "the sample has none");
    assert_eq!(world.act(id, "action=stop"), (409, "InvalidState".to_owned()), "too early");
    world.await_state(id, "running");
    assert_eq!(world.act(id, "action=reboot").0, 202);
    world.await_state(id, "running");
    assert_eq!(world.act(id, "action=resize&package=regular_512").0, 202);
    assert_eq!(world.get(&format!("/my/machines/{id}")).json()["memory"], 512);
    let refused = world.delete(&format!("/my/machines/{id}"));
    assert_eq!((refused.status, &*refused.code()), (409, "InvalidState"));
    world.emulator.clock.advance(Duration::from_secs(1));
    assert_eq!(world.act(id, "action=stop").0, 202);
    assert_eq!(world.state(id), "stopping");
    world.await_state(id, "stopped");
    assert_eq!(world.delete(&format!("/my/machines/{id}")).status, 204);
    let gone = world.get(&format!("/my/machines/{id}"));
    assert_eq!((gone.status, &*gone.code()), (410, "ResourceNotFound"));
    assert_eq!(world.act(id, "action=start").0, 410);
    assert!(world.names("").is_empty());
    assert_eq!(world.names("tombstone=5&state=deleted"), ["m"]);
}

#[test]
fn actions_that_cannot_be_are_refused() {
    let world = World::new("");
    let running = world.machine("running", Kind::Smart, State::Running);
    let stopped = world.machine("stopped", Kind::Smart, State::Stopped);
    let whole = world.machine("virtual", Kind::Virtual, State::Running);
    for (id, form, code) in [
        (&running, "action=start", "InvalidState"),
        (&stopped, "action=stop", "InvalidState"),
        (&stopped, "action=reboot", "InvalidState"),
        (&running, "action=explode", "InvalidArgument"),
        (&running, "action=Stop", "InvalidArgument"),
        (&running, "name=x", "MissingParameter"),
        (&running, "action=resize", "MissingParameter"),
        (&running, "action=resize&package=huge", "InvalidArgument"),
        (&whole, "action=resize&package=regular_512", "InvalidArgument"),
    ] {
        assert_eq!(world.act(id, form), (409, code.to_owned()), "{form}");
    }
    let snapshot = world.post(&format!("/my/machines/{whole}/snapshots"), "");
    assert_eq!((snapshot.status, &*snapshot.code()), (409, "InvalidArgument"));
    assert_eq!([world.state(&running), world.state(&stopped)], ["running", "stopped"]);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let world = World::new("balance=2");
    let make = |form: &str| {
        let reply = world.post("/my/machines", form);
        (reply.status, if reply.status == 201 { String::new() } else { reply.code() })
    };
    let refused = |status, code: &str| (status, code.to_owned());
    assert_eq!(make("dataset=plan9"), refused(409, "InvalidArgument"));
    assert_eq!(make("package=huge"), refused(409, "InvalidArgument"));
    assert_eq!(make("name=a/b"), refused(409, "InvalidArgument"));
    assert_eq!(make("metadata.credentials=x"), refused(409, "InvalidArgument"));
    assert_eq!(make("dataset=ubuntu"), refused(409, "KeyRequired"));
    world.edit(|account| {
        account.keys.push(Key { name: "rsa".to_owned(), text: PUBLIC.to_owned(), created: 0 });
    });
    assert_eq!(make("dataset=ubuntu&name=one").0, 201);
    assert_eq!(make("name=one"), refused(409, "InvalidArgument"));
    assert_eq!(make("package=Extra%20Large%204GB").0, 201);
    assert_eq!(make(""), refused(503, "InsufficientCapacity"));
    let ips: Vec<_> =
        world.edit(|account| account.machines.iter().map(|machine| machine.ips.clone()).collect());
    assert_ne!(ips[0], ips[1]);
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let world = World::new("");
    for n in 0..5 {
        let kind = if n == 4 { Kind::Virtual } else { Kind::Smart };
        let id = world.machine(&format!("m{n}"), kind, if n == 0 { State::Stopped } else { State::Running });
        world.edit(|account| {
            let machine = account.machine_mut(&id).unwrap();
            machine.tags.insert("group".to_owned(), if n < 2 { "a" } else { "b" }.to_owned());
            machine.memory = 128 << n;
        });
    }
    let smart = &Dataset::all()[0];
    for (query, expected) in [
        (String::new(), &["m0", "m1", "m2", "m3", "m4"][..]),
        ("type=virtualmachine".to_owned(), &["m4"]),
        ("name=m2".to_owned(), &["m2"]),
        ("name=m9".to_owned(), &[]),
        ("state=stopped".to_owned(), &["m0"]),
        ("state=offline".to_owned(), &[]),
        ("memory=512".to_owned(), &["m2"]),
        ("tag.group=a".to_owned(), &["m0", "m1"]),
        ("tag.group=a&state=running".to_owned(), &["m1"]),
        ("tag.other=a".to_owned(), &[]),
        (format!("dataset={}", smart.id), &["m0", "m1", "m2", "m3"]),
        (format!("dataset={}", smart.urn()), &["m0", "m1", "m2", "m3"]),
        ("limit=2".to_owned(), &["m0", "m1"]),
        ("limit=2&offset=3".to_owned(), &["m3", "m4"]),
        ("offset=9".to_owned(), &[]),
    ] {
        assert_eq!(world.names(&query), expected, "{query}");
    }
    for query in ["limit=0", "limit=x", "type=toaster", "tombstone=x", "credentials=maybe"] {
        let reply = world.get(&format!("/my/machines?{query}"));
        assert_eq!((reply.status, &*reply.code()), (409, "InvalidArgument"), "{query}");
    }
    for method in ["GET", "HEAD"] {
        let reply = world.send(&request(method, "/my/machines?tag.group=b&limit=2"));
        let counts = (reply.header("x-resource-count"), reply.header("x-query-limit"));
        assert_eq!(counts, (Some("3"), Some("2")), "{method}");
    }
    assert_eq!(world.get("/my/machines?limit=5000").header("x-query-limit"), Some("1000"));
    assert_eq!(world.get("/my/machines?tags=*").json()[0]["tags"], json!({"group": "a"}));
}

#[test]
fn credentials_show_only_where_asked_for() {
    let world = World::new("");
    let id = world.machine("m", Kind::Smart, State::Running);
    for path in
        ["/my/machines".to_owned(), format!("/my/machines/{id}"), format!("/my/machines/{id}/metadata")]
    {
        assert!(!world.get(&path).text().contains("credentials"), "{path}");
        let asked = world.get(&format!("{path}?credentials=true")).text();
        assert!(asked.contains("\"credentials\":{\"admin\":\""), "{path}: {asked}");
    }
}

#[test]
fn metadata_overwrites_and_credentials_stay() {
    let world = World::new("");
    let id = world.machine("m", Kind::Smart, State::Running);
    let path = format!("/my/machines/{id}/metadata");
    assert_eq!(world.post(&path, "foo=bar&group=test").json(), json!({"foo": "bar", "group": "test"}));
    let sent = request("POST", &path)
        .header("Content-Type", "application/json")
        .body("{\"foo\": \"{\\\"a\\\": 1}\"}");
    assert_eq!(world.send(&sent).json(), json!({"foo": {"a": 1}, "group": "test"}));
    assert_eq!(world.post(&path, "credentials=x&new=y").code(), "InvalidArgument");
    assert_eq!(world.delete(&format!("{path}/credentials")).code(), "InvalidArgument");
    assert_eq!(world.delete(&format!("{path}/none")).status, 404);
    assert_eq!(world.delete(&format!("{path}/group")).status, 204);
    assert_eq!(world.get(&path).json(), json!({"foo": {"a": 1}}), "and nothing of what was refused");
    assert_eq!(world.delete(&path).status, 204);
    assert!(world.get(&format!("{path}?credentials=true")).json()["credentials"]["root"].is_string());
}

#[test]
fn tags_are_text_or_json_as_accepted() {
    let world = World::new("");
    let id = world.machine("m", Kind::Smart, State::Running);
    let path = format!("/my/machines/{id}/tags");
    world.post(&path, "foo=bar");
    assert_eq!(world.post(&path, "foo=baz&group=test").json(), json!({"foo": "baz", "group": "test"}));
    let tag = |accept: &str| world.send(&request("GET", &format!("{path}/foo")).instead("Accept", accept));
    for (accept, kind, body) in [
        ("text/plain", "text/plain", "baz"),
        ("*/*", "text/plain", "baz"),
        ("application/json", "application/json", "\"baz\""),
        ("application/json, */*", "application/json", "\"baz\""),
        ("application/json;q=0.5, text/plain", "text/plain", "baz"),
    ] {
        let reply = tag(accept);
        reply.check(true);
        assert_eq!((reply.header("content-type"), &*reply.text()), (Some(kind), body), "{accept}");
    }
    assert_eq!(tag("image/png").status, 406);
    assert_eq!(world.delete(&format!("{path}/none")).status, 404);
    assert_eq!(world.delete(&format!("{path}/foo")).status, 204);
    assert_eq!(world.get(&path).json(), json!({"group": "test"}));
    assert_eq!(world.delete(&path).status, 204);
    assert_eq!(world.get(&path).json(), json!({}));
}

#[test]
fn a_snapshot_is_taken_and_booted() {
    let world = World::new("");
    let id = world.machine("m", Kind::Smart, State::Running);
    let path = format!("/my/machines/{id}/snapshots");
    let made = world.post(&path, "name=just-booted");
    assert_eq!(made.json()["state"], "queued");
    assert_eq!(made.header("location"), Some(&*format!("/demo/machines/{id}/snapshots/just-booted")));
    assert_eq!(world.post(&path, "name=just-booted").code(), "InvalidArgument");
    let unnamed = world.post(&path, "").json()["name"].as_str().unwrap().to_owned();
    assert!(unnamed.len() == 14 && unnamed.bytes().all(|b| b.is_ascii_digit()), "{unnamed}");
    world.emulator.clock.advance(Duration::from_secs(10));
    assert_eq!(world.get(&format!("{path}/just-booted")).json()["state"], "created");
    assert_eq!(world.post(&format!("{path}/just-booted"), "").code(), "InvalidState", "it runs");
    world.act(&id, "action=stop");
    world.await_state(&id, "stopped");
    assert_eq!(world.post(&format!("{path}/none"), "").status, 404);
    assert_eq!(world.post(&format!("{path}/just-booted"), "").status, 202);
    world.await_state(&id, "running");
    assert_eq!(world.delete(&format!("{path}/{unnamed}")).status, 204);
    assert_eq!(world.get(&path).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_machine_can_be_offline() {
    // Joyent CloudAPI 6.5, "Machine States": an event leads to it, here a tag.
    let world = World::new("");
    let id = world.machine("m", Kind::Smart, State::Running);
    let tags = format!("/my/machines/{id}/tags");
    world.post(&tags, "emulate=offline");
    assert_eq!(world.state(&id), "offline");
    assert_eq!(world.names("state=offline"), ["m"]);
    assert_eq!(world.act(&id, "action=stop"), (409, "InvalidState".to_owned()));
    assert_eq!(world.delete(&format!("{tags}/emulate")).status, 204);
    assert_eq!(world.state(&id), "running");
    assert_eq!(world.act(&id, "action=stop").0, 202);
}

//! Drives as objects, and behaviour that all calls share.

use super::client::{Client, Request};
use super::{Site, USER, config};
use crate::emulator::Dialect::{Crosspeer, OpenHosting};
use crate::emulator::Emulator;
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn a_drive_lives_and_dies() {
    let mut site = Site::new(OpenHosting, "");
    let created = site.client.post(
        "/drives/create",
        "name Root disk\nsize 10M\nclaim:type shared\nuser:note a\\nb\ntags one two\nencryption:cipher none\ntier disk",
    );
    assert_eq!(created.status, 200);
    assert_eq!(created.header("x-elastic-output"), Some("properties"));
    assert!(created.header("content-type").unwrap().starts_with("text/plain"));
    let uuid = created.value("drive");
    for (key, value) in [
        ("name", "Root disk"),
        ("size", "10485760"),
        ("status", "active"),
        ("user", USER),
        ("claim:type", "shared"),
        ("user:note", "a\\nb"),
        ("tags", "one two"),
        ("encryption:cipher", "none"),
        ("read:bytes", "0"),
    ] {
        assert_eq!(created.value(key), value);
    }
    assert_eq!((created.get("tier"), created.get("imaging")), (None, None));

    let info = site.client.get(&format!("/drives/{uuid}/info"));
    assert_eq!(info.text(), created.text());
    assert_eq!(site.client.get("/drives/list").lines(), [&*uuid]);

    let set = site.client.post(&format!("/drives/{uuid}/set"), "name Other\nsize 20M\ntags\nuser:more x");
    assert_eq!((set.status, set.value("name"), set.value("size")), (200, "Other".into(), "20971520".into()));
    assert_eq!((set.get("tags"), set.value("user:more")), (None, "x".into()));

    let destroyed = site.client.post(&format!("/drives/{uuid}/destroy"), "");
    assert_eq!((destroyed.status, destroyed.body.len()), (204, 0));
    let gone = site.client.get(&format!("/drives/{uuid}/info"));
    assert_eq!((gone.status, gone.header("x-elastic-error")), (404, Some("missing")));
    assert_eq!(site.client.get("/drives/list").text(), "");
    assert_eq!(site.client.connections, 1);
}

/// Building an object of many keys takes time quadratic in their number, on the thread of all connections.
#[test]
fn an_object_of_very_many_keys_is_refused_at_once() {
    let mut site = Site::new(OpenHosting, "");
    let lines: Vec<String> = (0..100_000).map(|n| format!("k{n} 1")).collect();
    let pairs: Vec<String> = (0..60_000).map(|n| format!("\"k{n}\"\n:1")).collect();
    let started = Instant::now();
    for (kind, body) in
        [("text/plain", lines.join("\n")), ("application/json", format!("{{{}}}", pairs.join(",")))]
    {
        let post = Request::new("POST", "/drives/create").header("Content-Type", kind).body(body);
        let refused = site.client.reply(&post);
        assert_eq!((refused.status, refused.header("x-elastic-error")), (400, Some("usage")));
        assert!(refused.text().contains("more than 1000 keys"), "{}", refused.text());
    }
    // It took 35 s before.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let long = site.client.post("/drives/create", format!("name {}", "x".repeat(2 << 20)));
    assert_eq!(long.status, 400);
    let whole = site
        .client
        .post("/drives/create", format!("name a\nsize 1M\nuser:script {}", "a: b\\n".repeat(5000)));
    assert_eq!(whole.status, 200, "{}", whole.text());
}

#[test]
fn several_drives_are_told_apart_by_blank_lines_and_listed_in_order() {
    let mut site = Site::new(Crosspeer, "");
    let uuids: Vec<String> = (1..4).map(|size| site.drive(size)).collect();
    assert_eq!(site.client.get("/drives/list").lines(), uuids);
    let all = site.client.get("/drives/info");
    assert_eq!(all.header("x-elastic-output"), Some("properties list"));
    assert_eq!(all.text().matches("\n\n").count(), 2);
    assert_eq!(site.client.get("/drives/list").header("x-elastic-output"), Some("list"));
}

#[test]
fn bad_settings_are_refused_by_name() {
    let mut site = Site::new(OpenHosting, "");
    for (body, names) in [
        ("", "name"),
        ("name x", "size"),
        ("size 5", "name"),
        ("name x\nsize 0", "size"),
        ("name x\nsize 1.5G", "1.5G"),
        ("name x\nsize 99999999999999999999", "size"),
        ("name x\nsize 9999999T", "size"),
        ("name x\nsize 5\nclaim:type inclusive", "inclusive"),
        ("name x\nsize 5\nencryption:cipher rot13", "rot13"),
        ("name x\nsize 5\nreaders me", "readers"),
        ("name x\nsize 5\n\nname y\nsize 5", "one object"),
    ] {
        let reply = site.client.post("/drives/create", body);
        assert_eq!((reply.status, reply.header("x-elastic-error")), (400, Some("usage")), "{body:?}");
        assert!(reply.text().contains(names), "{body:?}: {}", reply.text());
    }
    assert_eq!(site.client.get("/drives/list").text(), "");
}

#[test]
fn json_and_text_are_independent() {
    let mut site = Site::new(OpenHosting, "");
    let create = |client: &mut Client, kind: &str, accept: Option<&str>, body: &str| {
        let request = Request::new("POST", "/drives/create").header("Content-Type", kind);
        let request = accept.into_iter().fold(request, |request, accept| request.header("Accept", accept));
        client.reply(&request.body(body))
    };
    let json = r#"{"name": "j", "size": "1M", "tags": ["a", "b"], "user:k": 5}"#;
    let text = "name j\nsize 1M\ntags a b\nuser:k 5";
    for (kind, body) in
        [("application/json; charset=utf-8", json), ("text/plain", text), ("application/octet-stream", text)]
    {
        for accept in [None, Some("*/*"), Some("text/plain")] {
            let reply = create(&mut site.client, kind, accept, body);
            assert_eq!((reply.value("size"), reply.value("tags")), ("1048576".into(), "a b".into()));
        }
        let reply = create(&mut site.client, kind, Some("text/html, application/json"), body);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-elastic-output"), None);
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&value["size"], &value["tags"]), (&Value::from(1_048_576), &Value::from("a b")));
    }
    let list = site.client.reply(&Request::new("GET", "/drives/list").header("Accept", "application/json"));
    let list: Vec<Value> = serde_json::from_slice(&list.body).unwrap();
    assert!(list.len() == 12 && list[0]["drive"].is_string());
    // An error is text whatever was requested.
    let broken = create(&mut site.client, "application/json", Some("application/json"), "{");
    assert_eq!((broken.status, broken.header("x-elastic-error")), (400, Some("usage")));
    assert!(broken.header("content-type").unwrap().starts_with("text/plain"));
}

#[test]
fn wrong_credentials_are_refused_even_behind_a_large_body() {
    let mut site = Site::new(OpenHosting, "error=1");
    for request in [
        Request::bare("GET", "/drives/list"),
        Request::bare("GET", "/drives/list").header("Authorization", "Basic AAAA"),
        Request::bare("POST", "/drives/x/write").body(vec![1; 5 << 20]),
        Request::bare("GET", "/nowhere"),
    ] {
        let reply = site.client.reply(&request);
        assert_eq!((reply.status, reply.header("x-elastic-error")), (401, Some("auth")));
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic"));
    }
    assert_eq!((site.client.connections, site.emulator.faults_dealt()), (1, 0));
}

#[test]
fn methods_and_stems() {
    let mut site = Site::new(Crosspeer, "");
    let uuid = site.drive(1000);
    for path in ["/api/drives/list", "/drives/list/", "//drives//list", "/api/api/drives/list"] {
        assert_eq!(site.client.get(path).lines(), [&*uuid], "{path}");
        // The vendor's script posts an empty body to every path.
        assert_eq!(site.client.post(path, "").lines(), [&*uuid], "{path}");
    }
    let no_length = Request::new("POST", "/drives/list").header("Content-Type", "application/json");
    assert_eq!(site.client.reply(&no_length).status, 200);
    for path in ["/drives/create", "/drives/x/destroy", "/drives/x/write/0", "/drives/x/set"] {
        let reply = site.client.get(path);
        assert_eq!((reply.status, reply.header("x-elastic-error")), (405, Some("method")), "{path}");
    }
    for path in ["/", "/drives", "/nothing/here", "/drives/..%2f..%2fetc/info", "/drives/x/info"] {
        let reply = site.client.get(path);
        assert_eq!((reply.status, reply.header("x-elastic-error")), (404, Some("missing")), "{path}");
    }
}

#[test]
fn drives_survive_and_are_shared_between_emulators() {
    let data = tempfile::tempdir().unwrap();
    let start = || Emulator::start(config(OpenHosting, data.path(), "")).unwrap();
    let (first, second) = (start(), start());
    let (mut one, mut two) = (Client::new(first.address()), Client::new(second.address()));
    let uuid = one.post("/drives/create", "name x\nsize 8192").value("drive");
    let path = |verb: &str| format!("/drives/{uuid}/{verb}");
    assert_eq!(two.post(&path("write/10"), "hello").status, 204);
    assert_eq!(one.get(&path("read/10/5")).text(), "hello");
    two.post(&path("set"), "name y\nsize 4096");
    assert_eq!(
        (one.get(&path("info")).value("name"), one.get(&path("info")).value("size")),
        ("y".into(), "4096".into())
    );
    drop((first, second));

    let third = start();
    let mut three = Client::new(third.address());
    assert_eq!(three.get(&path("read/10/5")).text(), "hello");
    let info = three.get(&path("info"));
    let counted = ["read:bytes", "read:requests", "write:bytes", "write:requests"].map(|key| info.value(key));
    assert_eq!(counted, ["10", "2", "5", "1"]);
    let fourth = start();
    assert_eq!(Client::new(fourth.address()).post(&path("destroy"), "").status, 204);
    assert_eq!(three.get(&path("info")).status, 404);
    assert_eq!(three.get("/drives/list").text(), "");
}

/// Polls until imaging ends, and returns the states seen.
pub(super) fn imaging(client: &mut Client, uuid: &str) -> Vec<String> {
    let (mut seen, start) = (Vec::new(), Instant::now());
    while let Some(imaging) = client.get(&format!("/drives/{uuid}/info")).get("imaging") {
        if seen.last() != Some(&imaging) {
            seen.push(imaging);
        }
        assert!(start.elapsed() < Duration::from_secs(30), "imaging never ends");
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

#[test]
fn imaging_goes_on_in_the_background_and_converts() {
    let mut site = Site::new(OpenHosting, "");
    let [source, packed, target] = [12 << 20, 16 << 20, 12 << 20].map(|size| site.drive(size));
    let bytes: Vec<u8> = (0..8 << 20).map(|i: u32| i.wrapping_mul(i >> 3).to_le_bytes()[2]).collect();
    site.client.post(&format!("/drives/{source}/write/4096"), bytes);
    let whole = site.client.get(&format!("/drives/{source}/read")).body;
    assert_eq!(site.client.post(&format!("/drives/{target}/write"), vec![9; 12 << 20]).status, 204);

    let begun = site.client.post(&format!("/drives/{packed}/image/{source}/gzip"), "");
    assert_eq!(begun.status, 204);
    for busy in [
        format!("/drives/{packed}/write"),
        format!("/drives/{source}/write"),
        format!("/drives/{packed}/destroy"),
        format!("/drives/{source}/set"),
        format!("/drives/{packed}/image/{source}"),
        format!("/drives/{target}/image/{packed}"),
    ] {
        let reply = site.client.post(&busy, "");
        assert_eq!((reply.status, reply.header("x-elastic-error")), (409, Some("busy")), "{busy}");
    }
    let seen = imaging(&mut site.client, &packed);
    // How many percentages are seen depends on the machine.
    let percent = seen.iter().skip_while(|seen| *seen == "queued");
    assert!(percent.clone().all(|seen| seen.ends_with('%')), "{seen:?}");

    assert_eq!(site.client.post(&format!("/drives/{target}/image/{packed}/gunzip"), "").status, 204);
    imaging(&mut site.client, &target);
    assert!(site.client.get(&format!("/drives/{target}/read")).body == whole);
    assert_eq!(site.client.post(&format!("/drives/{target}/write"), "x").status, 204);

    // Unconverted; holes overwrite what was there.
    site.client.post(&format!("/drives/{target}/write"), vec![9; 12 << 20]);
    assert_eq!(site.client.post(&format!("/drives/{target}/image/{source}"), "").status, 204);
    imaging(&mut site.client, &target);
    assert!(site.client.get(&format!("/drives/{target}/read")).body == whole);

    for (path, status) in [
        (format!("/drives/{source}/image/{packed}"), 507),
        (format!("/drives/{source}/image/{packed}/zip"), 400),
        (format!("/drives/{source}/image/{source}"), 400),
        (format!("/drives/{source}/image/{USER}"), 404),
    ] {
        assert_eq!(site.client.post(&path, "").status, status, "{path}");
    }
}

#[test]
fn imaging_that_was_acknowledged_is_finished_before_the_emulator_ends() {
    let data = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(config(OpenHosting, data.path(), "")).unwrap();
    let mut client = Client::new(emulator.address());
    let [source, target] = [(); 2].map(|()| client.post("/drives/create", "name x\nsize 32M").value("drive"));
    for offset in ["0", "16M"] {
        client.post(&format!("/drives/{source}/write/{offset}"), vec![7; 16 << 20]);
    }
    assert_eq!(client.post(&format!("/drives/{target}/image/{source}"), "").status, 204);
    drop(emulator);
    let copy = std::fs::read(data.path().join(format!("drives/{target}.raw"))).unwrap();
    assert!(copy == vec![7; 32 << 20]);
}

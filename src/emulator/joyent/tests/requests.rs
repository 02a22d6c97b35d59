//! Answers that do not depend on the call: unknown paths, methods and formats, every encoding of a request,
//! and a restart. The answers of the calls are in testdata/manuals.

use super::World;
use super::client::request;
use crate::emulator::joyent::account::Key;
use crate::emulator::joyent::machine::State;
use crate::emulator::joyent::offers::Kind;
use crate::emulator::joyent::tests::PUBLIC;

/// Creates a world with a key and an instrumentation.
fn furnished() -> World {
    let world = World::new("");
    world.edit(|account| {
        account.keys.push(Key { name: "rsa".to_owned(), text: PUBLIC.to_owned(), created: 0 });
    });
    world.machine("running", Kind::Smart, State::Running);
    let made =
        world.post("/my/analytics/instrumentations", "module=fs&stat=logical_ops&decomposition=latency");
    assert_eq!(made.status, 201);
    world
}

/// Returns a public key other than the test key: nobody needs its private half.
pub(super) fn other_key() -> String {
    let mut bytes = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\x01\x01\0".to_vec();
    bytes.extend([0xa5; 256]);
    format!("ssh-rsa+{}", crate::emulator::auth::base64(&bytes).replace('+', "%2B"))
}

#[test]
fn what_is_not_there_is_404_and_wrong_methods_405() {
    let world = furnished();
    let nobody = uuid::Uuid::nil();
    for path in [
        "/my/keys/none".to_owned(),
        "/my/datacenters/none".to_owned(),
        "/my/datasets/none".to_owned(),
        "/my/packages/none".to_owned(),
        format!("/my/machines/{nobody}"),
        format!("/my/machines/{nobody}/snapshots"),
        format!("/my/machines/{nobody}/metadata"),
        format!("/my/machines/{nobody}/tags/foo"),
        "/my/analytics/instrumentations/99".to_owned(),
        "/my/analytics/instrumentations/99/value/raw".to_owned(),
        "/other/keys".to_owned(),
        "/my/drives".to_owned(),
        "/".to_owned(),
    ] {
        let reply = world.get(&path);
        assert_eq!((reply.status, &*reply.code()), (404, "ResourceNotFound"), "{path}");
        reply.check(true);
    }
    let reply = world.send(&request("PUT", "/my/keys/rsa"));
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, DELETE")));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, DELETE"));
    assert_eq!(world.get("//my//keys/").status, 200, "a careless join");
}

#[test]
fn the_only_answers_are_json() {
    let world = furnished();
    let accept = |kind: &str| world.send(&request("GET", "/my/keys").instead("Accept", kind));
    for kind in ["*/*", "application/*", "text/plain, application/json;q=0.1"] {
        assert_eq!(accept(kind).status, 200, "{kind}");
    }
    for kind in ["text/plain", "application/json;q=0", "image/*"] {
        assert_eq!(accept(kind).status, 406, "{kind}");
    }
}

#[test]
fn bodies_come_in_every_encoding_and_in_chunks() {
    let world = furnished();
    let part = "--B\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nstop\r\n--B--\r\n";
    for (kind, body) in [
        ("application/json", "{\"action\": \"stop\"}"),
        ("application/x-www-form-urlencoded", "action=stop"),
        ("multipart/form-data; boundary=B", part),
    ] {
        let id = world.machine(&kind.replace(['/', ' ', '='], "-"), Kind::Smart, State::Running);
        let path = format!("/my/machines/{id}?action=start");
        let reply = world.send(&request("POST", &path).header("Content-Type", kind).body(body));
        assert_eq!(reply.status, 202, "{kind}: {}", reply.text());
        assert_eq!(world.get(&format!("/my/machines/{id}")).json()["state"], "stopping", "{kind}");
    }
    let id = world.machine("m", Kind::Smart, State::Running);
    let path = format!("/my/machines/{id}?action=stop");
    let odd = world.send(&request("POST", &path).header("Content-Type", "text/yaml").body("action: stop"));
    assert_eq!((odd.status, &*odd.code()), (415, "InvalidHeader"));
    let long = world.send(&request("POST", &path).form(&"x".repeat((1 << 20) + 1)));
    assert_eq!((long.status, &*long.code()), (413, "RequestTooLarge"));
    // As smartdc sends both: the action in the query with an empty object, and a DELETE with a chunked body.
    assert_eq!(
        world.send(&request("POST", &path).header("Content-Type", "application/json").body("{}")).status,
        202
    );
    assert_eq!(world.send(&request("DELETE", "/my/keys/rsa").chunked("0\r\n\r\n")).status, 204);
    let chunked = request("POST", "/my/keys").header("Content-Type", "application/json");
    assert_eq!(world.send(&chunked.chunked("2\r\n{}\r\n0\r\n\r\n")).code(), "MissingParameter");
}

#[test]
fn faults_are_answered_the_providers_way() {
    let busy = World::new("busy=1").get("/my/keys");
    assert_eq!((busy.status, &*busy.reason, &*busy.code()), (420, "Slow Down", "RequestThrottled"));
    busy.check(true);
    let unavailable = World::new("unavailable=1").get("/my/keys");
    assert_eq!((unavailable.status, unavailable.header("retry-after")), (503, Some("1")));
    unavailable.check(true);
}

#[test]
fn the_state_outlives_the_emulator() {
    let world = furnished();
    let before =
        [world.get("/my/machines"), world.get("/my/keys"), world.get("/my/analytics/instrumentations")];
    let World { emulator, data } = world;
    drop(emulator);
    let emulator = crate::emulator::Emulator::start(super::config(data.path(), "")).unwrap();
    let world = World { emulator, data };
    let after =
        [world.get("/my/machines"), world.get("/my/keys"), world.get("/my/analytics/instrumentations")];
    assert_eq!(before.map(|reply| reply.json()), after.map(|reply| reply.json()));
}

//! Every row of the manual's calls, by its identifier: it answers its documented status and shape, with right headers.

use super::client::request;
use super::{LOGIN, World};
use crate::emulator::joyent::account::Key;
use crate::emulator::joyent::machine::State;
use crate::emulator::joyent::offers::Kind;
use crate::emulator::joyent::tests::PUBLIC;
use serde_json::{Value, json};

/// A row: its identifier, the request with its form, the status, and the keys of the object or of every object of the
/// list. In paths `$R` stands for a machine that runs, `$S` for one that is stopped, `$I` for an instrumentation.
type Row = (&'static str, &'static str, &'static str, &'static str, u16, &'static [&'static str]);

const KEY: &[&str] = &["name", "key", "created"];
const DATASET: &[&str] =
    &["id", "name", "os", "version", "urn", "type", "default", "requirements", "created"];
const PACKAGE: &[&str] = &["name", "memory", "disk", "swap", "default"];
const MACHINE: &[&str] =
    &["id", "name", "type", "state", "dataset", "memory", "disk", "ips", "metadata", "created", "updated"];
const SNAPSHOT: &[&str] = &["name", "state", "created", "updated"];
const DESCRIBED: &[&str] = &["modules", "fields", "types", "metrics", "transformations"];
const INSTRUMENTATION: &[&str] = &[
    "module",
    "stat",
    "predicate",
    "decomposition",
    "value-dimension",
    "value-arity",
    "retention-time",
    "granularity",
    "idle-max",
    "transformations",
    "persist-data",
    "crtime",
    "value-scope",
    "id",
    "uris",
];
const VALUE: &[&str] = &[
    "value",
    "transformations",
    "start_time",
    "duration",
    "nsources",
    "minreporting",
    "requested_start_time",
    "requested_duration",
    "requested_end_time",
];
const HEATMAP: &[&str] =
    &["nbuckets", "width", "height", "ymin", "ymax", "present", "image", "start_time", "duration"];
const DETAILS: &[&str] = &["bucket_time", "bucket_ymin", "bucket_ymax", "present", "total"];
const HEAT: &str = "/my/analytics/instrumentations/$I/value/heatmap";

const ROWS: &[Row] = &[
    ("keys.list", "GET", "/my/keys", "", 200, KEY),
    ("keys.get", "GET", "/my/keys/rsa", "", 200, KEY),
    ("keys.create", "POST", "/my/keys", "name=new&key=$K", 201, KEY),
    ("keys.delete", "DELETE", "/my/keys/rsa", "", 204, &[]),
    ("datacenters.list", "GET", "/my/datacenters", "", 200, &["emulated"]),
    ("datacenters.get", "GET", "/my/datacenters/emulated", "", 302, &["code", "message"]),
    ("datasets.list", "GET", "/my/datasets", "", 200, DATASET),
    ("datasets.get", "GET", "/my/datasets/63ce06d8-7ae7-11e0-b0df-1fcf8f45c5d5", "", 200, DATASET),
    ("packages.list", "GET", "/my/packages", "", 200, PACKAGE),
    ("packages.get", "GET", "/my/packages/regular_128", "", 200, PACKAGE),
    ("packages.get of a name with spaces", "GET", "/my/packages/Extra%20Large%204GB", "", 200, PACKAGE),
    ("machines.list", "GET", "/my/machines", "", 200, MACHINE),
    ("machines.count", "HEAD", "/my/machines", "", 200, &[]),
    ("machines.get", "GET", "/my/machines/$R", "", 200, MACHINE),
    ("machines.create", "POST", "/my/machines", "name=new", 201, MACHINE),
    ("machines.stop", "POST", "/my/machines/$R?action=stop", "", 202, &[]),
    ("machines.start", "POST", "/my/machines/$S?action=start", "", 202, &[]),
    ("machines.reboot", "POST", "/my/machines/$R?action=reboot", "", 202, &[]),
    ("machines.resize", "POST", "/my/machines/$R?action=resize", "package=regular_512", 202, &[]),
    ("machines.delete", "DELETE", "/my/machines/$S", "", 204, &[]),
    ("snapshots.create", "POST", "/my/machines/$R/snapshots", "name=just-booted", 201, SNAPSHOT),
    ("snapshots.start", "POST", "/my/machines/$S/snapshots/old", "", 202, &[]),
    ("snapshots.list", "GET", "/my/machines/$S/snapshots", "", 200, SNAPSHOT),
    ("snapshots.get", "GET", "/my/machines/$S/snapshots/old", "", 200, SNAPSHOT),
    ("snapshots.delete", "DELETE", "/my/machines/$S/snapshots/old", "", 204, &[]),
    ("metadata.update", "POST", "/my/machines/$R/metadata", "foo=bar&group=test", 200, &["foo", "group"]),
    ("metadata.get", "GET", "/my/machines/$S/metadata?credentials=true", "", 200, &["foo", "credentials"]),
    ("metadata.delete", "DELETE", "/my/machines/$S/metadata/foo", "", 204, &[]),
    ("metadata.delete_all", "DELETE", "/my/machines/$S/metadata", "", 204, &[]),
    ("tags.add", "POST", "/my/machines/$S/tags", "group=test", 200, &["foo", "group"]),
    ("tags.list", "GET", "/my/machines/$S/tags", "", 200, &["foo"]),
    ("tags.get", "GET", "/my/machines/$S/tags/foo", "", 200, &[]),
    ("tags.delete", "DELETE", "/my/machines/$S/tags/foo", "", 204, &[]),
    ("tags.delete_all", "DELETE", "/my/machines/$S/tags", "", 204, &[]),
    ("analytics.describe", "GET", "/my/analytics", "", 200, DESCRIBED),
    ("instrumentations.list", "GET", "/my/analytics/instrumentations", "", 200, INSTRUMENTATION),
    ("instrumentations.get", "GET", "/my/analytics/instrumentations/$I", "", 200, INSTRUMENTATION),
    ("instrumentations.value_raw", "GET", "/my/analytics/instrumentations/$I/value/raw", "", 200, VALUE),
    ("instrumentations.heatmap_image", "GET", "$H/image?width=60&height=30", "", 200, HEATMAP),
    ("instrumentations.heatmap_details", "GET", "$H/details?x=1&y=1", "", 200, DETAILS),
    (
        "instrumentations.create",
        "POST",
        "/my/analytics/instrumentations",
        "module=syscall&stat=syscalls",
        201,
        INSTRUMENTATION,
    ),
    ("instrumentations.delete", "DELETE", "/my/analytics/instrumentations/$I", "", 204, &[]),
];

/// A world with everything that the rows name, and what their letters stand for.
fn furnished() -> (World, Vec<(&'static str, String)>) {
    let world = World::new("");
    let running = world.machine("running", Kind::Smart, State::Running);
    let stopped = world.machine("stopped", Kind::Smart, State::Stopped);
    world.edit(|account| {
        account.keys.push(Key { name: "rsa".to_owned(), text: PUBLIC.to_owned(), created: 0 });
        let machine = account.machine_mut(&stopped).unwrap();
        machine.snapshot(Some("old".to_owned()), 0).unwrap();
        machine.metadata.insert("foo".to_owned(), json!("bar"));
        machine.tags.insert("foo".to_owned(), "bar".to_owned());
    });
    let made =
        world.post("/my/analytics/instrumentations", "module=fs&stat=logical_ops&decomposition=latency");
    let number = made.json()["id"].as_str().unwrap().to_owned();
    (
        world,
        vec![("$H", HEAT.to_owned()), ("$R", running), ("$S", stopped), ("$I", number), ("$K", other_key())],
    )
}

/// A public key that is not the test key: nobody needs its private half.
pub(super) fn other_key() -> String {
    let mut bytes = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\x01\x01\0".to_vec();
    bytes.extend([0xa5; 256]);
    format!("ssh-rsa+{}", crate::emulator::auth::base64(&bytes).replace('+', "%2B"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(|key| &**key).collect()
}

#[test]
fn every_row_answers_as_documented() {
    for ((name, method, path, form, status, wanted), login) in
        ROWS.iter().flat_map(|row| [(row, "my"), (row, LOGIN)])
    {
        let (world, letters) = furnished();
        let filled = |text: &str| {
            letters.iter().fold(text.to_owned(), |text, (letter, what)| text.replace(letter, what))
        };
        let request = request(method, &filled(path).replacen("/my/", &format!("/{login}/"), 1));
        let request = if form.is_empty() { request } else { request.form(&filled(form)) };
        let reply = world.send(&request);
        assert_eq!(reply.status, *status, "{name}: {}", reply.text());
        reply.check(*method != "HEAD");
        if [202, 204].contains(status) || *method == "HEAD" {
            assert!(reply.body.is_empty(), "{name}");
            continue;
        }
        assert_eq!(reply.header("content-type"), Some("application/json"), "{name}");
        let located =
            ["datacenters.get", "snapshots.create", "instrumentations.get", "instrumentations.create"];
        assert_eq!(reply.header("location").is_some(), located.contains(name), "{name}");
        let json = reply.json();
        let objects = json.as_array().map_or_else(|| vec![&json], |list| list.iter().collect());
        assert!(!objects.is_empty(), "{name}");
        for object in objects.iter().filter(|_| !wanted.is_empty()) {
            let keys = keys(object);
            assert!(wanted.iter().all(|key| keys.contains(key)), "{name}: {keys:?}");
        }
    }
}

#[test]
fn what_is_not_there_is_404_and_wrong_methods_405() {
    let (world, _) = furnished();
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
    let (world, _) = furnished();
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
    let (world, _) = furnished();
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
    // As smartdc sends both: the action in the query with an empty object, and a DELETE in chunks.
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
    let (world, _) = furnished();
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

//! SpotCloud over the wire: signed requests over a real socket. The published vectors in [`super::oauth`] and
//! a third-party library show that the signatures are right; these tests are about what they admit.

use crate::emulator::Dialect;
use crate::emulator::{Config, Emulator, Faults};
use axum::http::Request;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

const KEY: &str = "consumer";
const SECRET: &str = "its & secret";

struct World {
    emulator: Emulator,
    data: tempfile::TempDir,
}

impl World {
    fn new(faults: &str) -> World {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("image"), b"0123456789").unwrap();
        let emulator = Self::start(data.path(), faults);
        World { emulator, data }
    }

    fn start(data: &std::path::Path, faults: &str) -> Emulator {
        Emulator::start(Config {
            faults: Faults::parse(faults).unwrap(),
            appliances: vec![("own".to_owned(), data.join("image"))],
            ..Config::new(Dialect::SpotCloud, data, KEY, SECRET)
        })
        .unwrap()
    }

    /// Sends a request with more headers and a body, signed with the ready token. Returns status, headers and
    /// body of the reply.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let host = self.emulator.address().to_string();
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let protocol = format!(
            "oauth_consumer_key=\"{KEY}\",oauth_token=\"{KEY}\",oauth_signature_method=\"HMAC-SHA1\",\
             oauth_timestamp=\"{time}\",oauth_nonce=\"{nonce}\""
        );
        let mut head = Request::builder().method(method).uri(path).header("Host", &host);
        head = head.header("Authorization", format!("OAuth {protocol}"));
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).unwrap().into_parts().0;
        let signature = super::oauth::signature_for_tests(&head, body.as_bytes(), SECRET, SECRET);
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Authorization: OAuth {protocol},oauth_signature=\"{signature}\"\r\n",
            body.len()
        );
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let mut stream = TcpStream::connect(self.emulator.address()).unwrap();
        stream.write_all((text + "\r\n" + body).as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    fn json(&self, method: &str, path: &str, form: &str) -> (u16, Value) {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [kind];
        let headers = if form.is_empty() { &[] } else { &headers[..] };
        let (status, _, body) = self.send(method, path, headers, form);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

const INSTANCES: &str = "/api/v1/buyer/instances/list.json";
const FORM: &str = "appliance=own&hardware=h-tor1-s&provider=p-tor1";

#[test]
fn an_instance_is_pending_then_running_then_gone() {
    let world = World::new("");
    let (status, made) = world.json("POST", INSTANCES, FORM);
    assert_eq!(
        (status, &made["state"], &made["deadline"], &made["ip"]),
        (201, &"pending".into(), &Value::Null, &Value::Null)
    );
    let path = format!("/api/v1/buyer/instance/{}.json", made["key"].as_str().unwrap());
    assert_eq!(world.json("GET", &format!("{INSTANCES}?state=running"), "").1, serde_json::json!([]));
    world.emulator.clock.advance(std::time::Duration::from_millis(1100));
    let (_, now) = world.json("GET", &path, "");
    assert_eq!(now["state"], "running");
    assert!(now["deadline"].is_string() && now["ip"].is_string(), "{now}");
    // It is in use, so it stays.
    let (status, why) = world.json("DELETE", "/api/v1/buyer/appliance/own", "");
    assert!(status == 401 && why.as_str().unwrap().contains("in use"), "{status} {why}");
    // A DELETE may have the extension of the others.
    assert_eq!(world.json("DELETE", &path, "").0, 204);
    assert_eq!(world.json("GET", &path, "").0, 404);
    assert_eq!(world.json("DELETE", "/api/v1/buyer/appliance/own", "").0, 204);
    assert_eq!(world.json("GET", "/api/v1/buyer/appliance/own.json", "").0, 404);
}

#[test]
fn what_is_wrong_with_an_instance_is_told_apart() {
    let world = World::new("balance=0.03");
    for (form, status, says) in [
        ("appliance=own&hardware=h-tor1-s", 400, "provider is missing"),
        ("appliance=own&hardware=h-tor1-s&provider=p-ams1", 400, "no such hardware"),
        ("appliance=own&hardware=h-tor1-s&provider=nobody", 400, "no such provider"),
        ("appliance=other&hardware=h-tor1-s&provider=p-tor1", 401, "not yours"),
        ("appliance=another&hardware=h-tor1-s&provider=p-tor1", 401, "not yours"),
        ("appliance=own&hardware=h-tor1-l&provider=p-tor1", 401, "funds"),
    ] {
        let (got, why) = world.json("POST", INSTANCES, form);
        assert!(got == status && why.as_str().unwrap().contains(says), "{form}: {got} {why}");
    }
    assert_eq!(world.json("POST", INSTANCES, FORM).0, 201);
    assert_eq!(world.json("POST", INSTANCES, FORM).0, 401, "the funds are spent");
    assert_eq!(world.json("PUT", "/api/v1/buyer/appliance/public-tiny.json", "name=x").0, 401);
    assert_eq!(world.json("POST", "/api/v1/buyer/appliances/list.json", "").0, 405);
    assert_eq!(world.json("GET", "/api/v1/buyer/nothing/list.json", "").0, 404);
}

#[test]
fn input_comes_in_every_encoding_and_survives_a_restart() {
    let mut world = World::new("");
    let path = "/api/v1/buyer/appliance/own.json";
    let parts = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nin parts\r\n--B--\r\n";
    for (kind, body, name) in [
        ("application/x-www-form-urlencoded", "name=a+form", "a form"),
        ("multipart/form-data; boundary=B", parts, "in parts"),
        ("application/json", "{\"name\": \"JSON\"}", "JSON"),
    ] {
        let (status, _, body) = world.send("PUT", path, &[("Content-Type", kind)], body);
        assert_eq!(status, 200, "{kind}: {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told["name"], name);
    }
    assert_eq!(world.send("PUT", &format!("{path}?name=query"), &[], "").0, 200);
    world.emulator = World::start(world.data.path(), "");
    assert_eq!(world.json("GET", path, "").1["name"], "query");
    let (status, head, xml) = world.send("GET", "/api/v1/buyer/appliance/own.xml", &[], "");
    assert!(status == 200 && head.contains("application/xml") && xml.contains("<name>query</name>"), "{xml}");
}

#[test]
fn bytes_come_whole_or_by_ranges() {
    let path = "/api/v1/download/appliance/own";
    let world = World::new("");
    let (status, head, body) = world.send("GET", path, &[("Range", "bytes=2-5")], "");
    assert_eq!((status, &*body), (206, "2345"));
    assert!(head.contains("content-range: bytes 2-5/10") && head.contains("etag: "), "{head}");
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let part = |etag: &str| world.send("GET", path, &[("Range", "bytes=8-"), ("If-Range", etag)], "");
    assert_eq!((part(&etag).0, part(&etag).2), (206, "89".to_owned()));
    assert_eq!((part("\"other\"").0, part("\"other\"").2), (200, "0123456789".to_owned()));
    assert_eq!(world.send("GET", path, &[("Range", "bytes=10-")], "").0, 416);
    let ignored = World::new("ranges=no,etag=no").send("GET", path, &[("Range", "bytes=2-5")], "");
    assert!(ignored.0 == 200 && !ignored.1.contains("etag") && ignored.2 == "0123456789", "{ignored:?}");
    let wrong = World::new("ranges=wrong").send("GET", path, &[("Range", "bytes=2-5")], "");
    assert!(wrong.0 == 206 && wrong.1.contains("bytes 3-6/10") && wrong.2 == "3456", "{wrong:?}");
    let moved = World::new("redirect=1");
    let (status, head, _) = moved.send("GET", path, &[], "");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(status == 302 && location.contains("/blobs/"), "{head}");
}

#[test]
fn an_address_that_was_redirected_to_takes_no_credentials() {
    let world = World::new("");
    // The request is signed, and refused for that.
    assert_eq!(world.send("GET", "/blobs/x", &[], "").0, 400);
}

#[test]
fn an_appliance_is_bent_or_too_long() {
    let download = |faults| {
        let world = World::new(faults);
        let (status, _, body) = world.send("GET", "/api/v1/download/appliance/own", &[], "");
        assert_eq!(status, 200);
        (body, world.emulator.silent_faults(), world.emulator.faults_dealt())
    };
    let (bent, silent, _) = download("bend=1,seed=1");
    let differ: u32 = bent.bytes().zip(*b"0123456789").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((bent.len(), differ, silent), (10, 1, 1));
    let (long, _, dealt) = download("long=1");
    assert!(long.len() > 10 && long.starts_with("0123456789") && dealt == 1, "{long}");
}

#[test]
fn what_is_anothers_is_not_shown() {
    // SpotCloud Buyer API 1.2, 2.2.4, 2.4.3, 3.3.4, 3.5.3, 3.6.3, 4.2.4: 401, and 404 where there is none.
    let world = World::new("");
    for (method, path) in [
        ("GET", "/api/v1/buyer/instance/{}.json"),
        ("DELETE", "/api/v1/buyer/instance/{}"),
        ("GET", "/api/v1/buyer/appliance/{}.json"),
        ("PUT", "/api/v1/buyer/appliance/{}.json?name=x"),
        ("DELETE", "/api/v1/buyer/appliance/{}"),
        ("GET", "/api/v1/download/appliance/{}"),
        ("GET", "/api/v1/buyer/provider/{}.xml"),
    ] {
        for (key, status) in [("another", 401), ("nobody", 404)] {
            assert_eq!(
                world.send(method, &path.replace("{}", key), &[], "").0,
                status,
                "{method} {path} {key}"
            );
        }
    }
}

#[test]
fn xml_has_the_order_of_the_manual() {
    let world = World::new("");
    let elements = |path: &str| -> Vec<String> {
        let (status, _, xml) = world.send("GET", path, &[], "");
        assert_eq!(status, 200, "{xml}");
        let names = xml.split('<').skip(1).filter_map(|tag| tag.split(['>', '/']).next());
        names.filter(|name| !name.is_empty() && !name.starts_with('?')).map(str::to_owned).collect()
    };
    let provider = ["id", "key", "continent", "country", "city", "rating", "min_cost", "max_cost", "uri"];
    let profile = ["hardware", "key", "name", "cpu", "memory", "max_hours", "uri", "cost"];
    // 4.2.6.
    let shown = elements("/api/v1/buyer/provider/p-tor1.xml");
    assert_eq!(shown, [&["object"], &provider[..], &profile, &profile].concat());
    // 5.2.6.
    let hardware = [
        "object",
        "key",
        "name",
        "cost",
        "cpu",
        "memory",
        "max_hours",
        "continent",
        "country",
        "city",
        "uri",
    ];
    assert_eq!(elements("/api/v1/buyer/hardware/h-tor1-s.xml"), hardware);
    // 3.3.6.
    let appliance = ["object", "key", "name", "size", "uri", "download_uri", "logo_uri", "logo_key"];
    assert_eq!(elements("/api/v1/buyer/appliance/own.xml"), appliance);
    // 2.1.6.
    world.json("POST", INSTANCES, FORM);
    let instance = [
        "list",
        "object",
        "id",
        "key",
        "ip",
        "uri",
        "state",
        "deadline",
        "cpu",
        "memory",
        "cost",
        "provider_key",
        "appliance_key",
        "hardware_key",
        "provider_uri",
        "appliance_uri",
        "hardware_uri",
    ];
    assert_eq!(elements("/api/v1/buyer/instances/list.xml"), instance);
}

#[test]
fn places_are_names_of_providers_and_codes_of_hardware() {
    // SpotCloud Buyer API 1.2, 4.2.3 and 5.2.3.
    let world = World::new("");
    let (_, provider) = world.json("GET", "/api/v1/buyer/provider/p-gru1.json", "");
    assert_eq!((&provider["continent"], &provider["country"]), (&"South America".into(), &"Brazil".into()));
    let (_, hardware) = world.json("GET", "/api/v1/buyer/hardware/h-gru1-m.json", "");
    assert_eq!((&hardware["continent"], &hardware["country"]), (&"SA".into(), &"BR".into()));
    for (list, query, found) in [
        ("hardware", "country=CA", 2),
        ("hardware", "continent=Europe", 2),
        ("providers", "continent=NA", 2),
        ("providers", "country=Brazil", 1),
        ("providers", "city=Paris", 0),
    ] {
        let (_, all) = world.json("GET", &format!("/api/v1/buyer/{list}/list.json?{query}"), "");
        assert_eq!(all.as_array().unwrap().len(), found, "{list} {query}");
    }
}

#[test]
fn an_instance_ends_at_its_deadline() {
    // SpotCloud Buyer API 1.2, 2.2: "The deadline is when the instance will terminate itself".
    let world = World::new("");
    let (_, made) = world.json("POST", INSTANCES, "appliance=own&hardware=h-gru1-m&provider=p-gru1");
    let path = format!("/api/v1/buyer/instance/{}.json", made["key"].as_str().unwrap());
    let pass = |hours: u64| {
        let file = world.data.path().join("spotcloud.json");
        let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for key in ["created", "deadline"] {
            let at = &mut state["instances"][0][key];
            *at = (at.as_u64().unwrap() - hours * 3_600_000_000).into();
        }
        std::fs::write(file, state.to_string()).unwrap();
    };
    // It may run for 24 hours.
    pass(23);
    assert_eq!(world.json("GET", &path, "").1["state"], "running");
    pass(2);
    assert_eq!(world.json("GET", &path, "").0, 404);
    assert_eq!(world.json("GET", INSTANCES, "").1, serde_json::json!([]));
}

//! What every row sends: method, path, headers and body, against a server that only writes down; and what no row
//! sends, because it is refused before.

use super::recorder::{Recorder, Sent};
use super::rows::{BYTES, Row, fill, rows};
use super::world::{SECRET, USER, World};
use base64::Engine;
use diskferry::provider::Provider;
use serde_json::Value;

/// Objects by their names; the server that is asked knows none of them.
fn objects() -> Vec<(char, String)> {
    let mut all: Vec<(char, String)> = "DESAVGUMT"
        .chars()
        .map(|name| (name, format!("{:08x}-0000-4000-8000-00000000000a", name as u32)))
        .collect();
    for (name, object) in
        [('I', "10.1.2.3"), ('K', "k1"), ('N', "n1"), ('X', "7"), ('P', "p1"), ('Q', "q1"), ('B', "b1")]
    {
        all.push((name, object.to_owned()));
    }
    all.extend([('Z', "z1".to_owned()), ('J', "j1".to_owned())]);
    all
}

fn words(row: &Row, without: Option<&str>, file: &str) -> Vec<String> {
    let objects = objects();
    let mut words: Vec<String> = ["call".to_owned(), "r:".to_owned(), row.id.to_owned()].into();
    for arg in row.args {
        let key = arg.split_once('=').map(|(key, _)| key);
        // A key that stands for many is named by its first piece.
        if without.is_none_or(|without| key.is_none_or(|key| !same(key, without))) {
            words.push(fill(arg, &objects));
        }
    }
    if row.id == "drives.write" {
        words.extend(["-f".to_owned(), file.to_owned()]);
    }
    words
}

/// Whether a key is meant by the name that the catalogue has for it.
fn same(key: &str, name: &str) -> bool {
    key == name
        || name == "*"
        || name.strip_suffix(":NUMBER").is_some_and(|stem| key.starts_with(&format!("{stem}:")))
}

/// The rows of the catalogue, as the command prints them.
fn catalogue(world: &World, provider: Provider) -> Vec<Value> {
    world.run(&["--json", "calls", provider.name()]).objects()
}

#[test]
fn the_suite_has_every_row_and_no_other() {
    let world = World::empty();
    std::fs::write(world.path("config.toml"), "").unwrap();
    let mut counts = Vec::new();
    for provider in Provider::ALL {
        let listed = catalogue(&world, provider);
        let mut known: Vec<&str> = listed.iter().map(|row| row["call"].as_str().unwrap()).collect();
        let mut here: Vec<&str> = rows(provider).iter().map(|row| row.id).collect();
        let undocumented = listed.iter().filter(|row| row["undocumented"] == true).count();
        counts.push((known.len() - undocumented, undocumented));
        known.sort_unstable();
        here.sort_unstable();
        assert_eq!(known, here, "{provider}");
    }
    assert_eq!(counts, [(23, 3), (26, 0), (75, 5), (17, 0), (41, 0)], "documented and undocumented rows");
}

#[test]
fn every_row_sends_what_its_manual_prints() {
    for provider in Provider::ALL {
        let recorder = Recorder::yes();
        let world = World::at(provider, &recorder.url);
        let file = world.file("bytes", BYTES);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{SECRET}"));
        for row in rows(provider) {
            let ended = world.run(&words(&row, None, &file));
            assert_eq!(ended.code, 0, "{provider} {}: {}", row.id, ended.stderr);
            assert_eq!(ended.stderr, "", "{provider} {}: a known row warns of nothing", row.id);
            let sent = recorder.take();
            assert_eq!(sent.len(), 1, "{provider} {}: {sent:?}", row.id);
            let sent = &sent[0];
            let expected = fill(row.sends, &objects());
            let (method, path) = expected.split_once(' ').unwrap();
            assert_eq!(
                (&*sent.method, &*sent.path),
                (method, &*format!("/api{path}")),
                "{provider} {}",
                row.id
            );
            if provider == Provider::SpotCloud {
                oauth(sent, &recorder.url);
            } else {
                assert_eq!(sent.header("authorization"), Some(&*format!("Basic {basic}")));
            }
            let version = (provider == Provider::Joyent).then_some("~6.5");
            assert_eq!(sent.header("x-api-version"), version, "{provider} {}", row.id);
            let (body, expected) =
                (String::from_utf8_lossy(&sent.body).into_owned(), fill(row.body, &objects()));
            let kind = sent.header("content-type");
            assert!(!sent.body.is_empty() || kind.is_none(), "{provider} {}: {kind:?} of nothing", row.id);
            if row.id == "drives.write" {
                assert_eq!(sent.body, BYTES);
                assert_eq!(kind, Some("application/octet-stream"));
            } else if row.body.starts_with('{') {
                let object = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(object(&body), object(&expected), "{provider} {}", row.id);
                assert_eq!(kind, Some("application/json"), "{provider} {}", row.id);
            } else {
                assert_eq!(body, expected, "{provider} {}", row.id);
                if provider == Provider::SpotCloud && !body.is_empty() {
                    assert_eq!(kind, Some("application/x-www-form-urlencoded"), "{}", row.id);
                }
            }
            if method == "POST" {
                let length = sent.body.len().to_string();
                assert_eq!(sent.header("content-length"), Some(&*length), "{provider} {}", row.id);
            }
            let accept = match (provider, row.id) {
                (_, "appliances.download" | "drives.read") => None,
                (_, "tags.get") => Some("text/plain"),
                (Provider::SpotCloud | Provider::Joyent, _) => Some("application/json"),
                _ => Some("text/plain"),
            };
            assert!(accept.is_none() || sent.header("accept") == accept, "{provider} {}", row.id);
        }
    }
}

/// Checks an OAuth header by the letter of RFC 5849, 3.4, with nothing of the client's.
fn oauth(sent: &Sent, base: &str) {
    use hmac::{Hmac, KeyInit, Mac};
    let encode = |text: &str| -> String {
        let free = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        text.bytes().map(|b| if free(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let header = sent.header("authorization").unwrap().strip_prefix("OAuth ").unwrap().to_owned();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut signature = None;
    for pair in header.split(", ") {
        let (name, value) = pair.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap();
        if name == "oauth_signature" {
            signature = Some(value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="));
        } else {
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
    let names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    for name in ["consumer_key", "token", "signature_method", "timestamp", "nonce", "version"] {
        assert!(names.contains(&&*format!("oauth_{name}")), "{header}");
    }
    let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
    let form = String::from_utf8(sent.body.clone()).unwrap();
    // These are encoded already, in the same way.
    for pair in query.split('&').chain(form.split('&')).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs.sort();
    let joined: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = format!("{}{path}", base.trim_end_matches("/api/"));
    let text = [encode(&sent.method), encode(&url), encode(&joined.join("&"))].join("&");
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(format!("{SECRET}&{SECRET}").as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let right = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(signature.as_deref(), Some(&*right), "{text}");
}

#[test]
fn json_is_asked_for_where_the_provider_has_it() {
    for (provider, accept) in
        [(Provider::OpenHosting, "application/json"), (Provider::CloudSigma, "text/plain")]
    {
        let recorder = Recorder::yes();
        let world = World::at(provider, &recorder.url);
        world.done(&["--json", "call", "r:", "servers.list"]);
        assert_eq!(recorder.take()[0].header("accept"), Some(accept));
    }
}

#[test]
fn a_required_key_or_argument_that_is_missing_is_refused_before_anything_is_sent() {
    let mut counts = Vec::new();
    for provider in Provider::ALL {
        let (mut keys, mut arguments) = (0, 0);
        let recorder = Recorder::yes();
        let world = World::at(provider, &recorder.url);
        let file = world.file("bytes", BYTES);
        for listed in catalogue(&world, provider) {
            let id = listed["call"].as_str().unwrap();
            let row = rows(provider).into_iter().find(|row| row.id == id).unwrap();
            for key in listed["keys"].as_array().unwrap() {
                if key["required"] != true {
                    continue;
                }
                let key = key["key"].as_str().unwrap();
                let with = words(&row, None, &file);
                let without = words(&row, Some(key), &file);
                assert!(without.len() < with.len(), "{id} is given {key}");
                world.run(&without).refused(2, &[id, key]);
                keys += 1;
            }
            // The last of the path's arguments that is required.
            let path = listed["path"].as_str().unwrap().replace("{LOGIN}", "").replace("{FORMAT}", "");
            let required = path.split('[').next().unwrap().matches('{').count();
            if required > 0 {
                let mut words = words(&row, None, &file);
                words.remove(2 + required);
                let name = path.split(['{', '}']).nth(2 * required - 1).unwrap();
                let ended = world.run(&words);
                assert_eq!(ended.code, 2, "{provider} {id} without {name}: {}", ended.stderr);
                // Where an optional argument follows, it slides into the place and is refused as what it is not.
                let slides = row.args.get(required).is_some_and(|next| !next.contains('='));
                assert!(slides || ended.stderr.contains(name), "{provider} {id}: {}", ended.stderr);
                arguments += 1;
            }
        }
        assert_eq!(recorder.take().len(), 0, "{provider}: nothing was sent");
        counts.push((keys, arguments));
    }
    // The family: name and size of a drive, name, cpu and mem of a server in both of its forms; and every path with an
    // object in it.
    assert_eq!(counts, [(8, 17), (8, 17), (53, 36), (4, 9), (6, 30)]);
}

#[test]
fn an_unknown_key_is_sent_with_a_warning_that_names_the_nearest() {
    let recorder = Recorder::yes();
    let world = World::at(Provider::OpenHosting, &recorder.url);
    let ended = world.run(&["call", "r:", "drives.create", "name=a", "size=1M", "encryption:ciper=none"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("did you mean \"encryption:cipher\"?"), "{}", ended.stderr);
    assert_eq!(recorder.take()[0].body, b"name a\nsize 1048576\nencryption:ciper none\n");
}

#[test]
fn what_the_text_form_cannot_carry_goes_as_json() {
    let recorder = Recorder::yes();
    let world = World::at(Provider::Crosspeer, &recorder.url);
    world.done(&["call", "r:", "drives.create", r"name=a\nb", "size=1M"]);
    let sent = &recorder.take()[0];
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.body, br#"{"name":"a\\nb","size":1048576}"#);
}

#[test]
fn the_method_that_the_manual_prints_is_sent_on_demand() {
    let recorder = Recorder::yes();
    let world = World::at(Provider::CloudSigma, &recorder.url);
    let server = "b91bd1cd-c63b-45ae-9dda-69fc53d74f41";
    world.done(&["call", "r:", "servers.stop", server, "--as-printed"]);
    assert_eq!(recorder.take()[0].method, "GET");
}

//! What every row sends: method, path, headers and body, against a server that only writes down; and what no row
//! sends, because it is refused before.

use super::recorder::Recorder;
use super::rows::{BYTES, Row, fill, rows};
use super::world::{SECRET, USER, World};
use base64::Engine;
use diskferry::provider::Provider;
use serde_json::Value;

const THREE: [Provider; 3] = [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma];

/// Objects by their names; the server that is asked knows none of them.
fn objects() -> Vec<(char, String)> {
    let mut all: Vec<(char, String)> = "DESAVGU"
        .chars()
        .map(|name| (name, format!("{:08x}-0000-4000-8000-00000000000a", name as u32)))
        .collect();
    all.push(('I', "10.1.2.3".to_owned()));
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
    key == name || name.strip_suffix(":NUMBER").is_some_and(|stem| key.starts_with(&format!("{stem}:")))
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
    for provider in THREE {
        let listed = catalogue(&world, provider);
        let mut known: Vec<&str> = listed.iter().map(|row| row["call"].as_str().unwrap()).collect();
        let mut here: Vec<&str> = rows(provider).iter().map(|row| row.id).collect();
        let undocumented = listed.iter().filter(|row| row["undocumented"] == true).count();
        counts.push((known.len() - undocumented, undocumented));
        known.sort_unstable();
        here.sort_unstable();
        assert_eq!(known, here, "{provider}");
    }
    assert_eq!(counts, [(23, 3), (26, 0), (75, 5)], "documented and undocumented rows");
}

#[test]
fn every_row_sends_what_its_manual_prints() {
    for provider in THREE {
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
            assert_eq!(sent.header("authorization"), Some(&*format!("Basic {basic}")));
            if row.id == "drives.write" {
                assert_eq!(sent.body, BYTES);
                assert_eq!(sent.header("content-type"), Some("application/octet-stream"));
            } else {
                let body = String::from_utf8(sent.body.clone()).unwrap();
                assert_eq!(body, fill(row.body, &objects()), "{provider} {}", row.id);
            }
            if method == "POST" {
                let length = sent.body.len().to_string();
                assert_eq!(sent.header("content-length"), Some(&*length), "{provider} {}", row.id);
            }
            if !row.id.contains("read") {
                assert_eq!(sent.header("accept"), Some("text/plain"), "{provider} {}", row.id);
            }
        }
    }
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
    for provider in THREE {
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
            let path = listed["path"].as_str().unwrap();
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
    // object in it. CloudSigma's manual leaves too much open to be counted twice.
    assert_eq!(counts[..2], [(8, 17), (8, 17)]);
    assert!(counts[2].0 > 20 && counts[2].1 > 20, "{counts:?}");
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

//! What every row answers: through the binary, against the emulator.

use super::rows::{BYTES, Out, Row, fill, rows, wanted};
use super::world::{Ended, World};
use diskferry::provider::Provider;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// Makes an object and gives its identifier.
fn make(world: &World, provider: Provider, name: char, made: &[(char, String)]) -> String {
    let sigma = provider == Provider::CloudSigma;
    let call = |words: &[&str], key: &str| {
        let ended = world.run(&[&["--json", "call", "r:"], words].concat());
        assert_eq!(ended.code, 0, "{provider} {words:?}: {}", ended.stderr);
        let object = &ended.objects()[0];
        object[key].as_str().unwrap_or_else(|| panic!("{words:?} gives no {key}: {object}")).to_owned()
    };
    if provider == Provider::SpotCloud {
        return match name {
            'P' => "own".to_owned(),
            // The two runs of a row delete two of them.
            'B' => {
                let spare = world.run(&["call", "r:", "appliances.get", "spare"]).code == 0;
                if spare { "spare" } else { "spare2" }.to_owned()
            }
            _ => call(&["instances.create", "appliance=own", "hardware=h-tor1-s", "provider=p-tor1"], "key"),
        };
    }
    if provider == Provider::Joyent {
        return joyent(world, name, made, &call);
    }
    match name {
        'D' | 'E' => world.drive("10M"),
        'S' => world.done(&["server", "create", "r:", "name=s", "cpu=500", "mem=256", "--stopped"]),
        'A' => world.done(&["server", "create", "r:", "name=a", "cpu=500", "mem=256"]),
        'V' if sigma => call(&["resources.vlan.create", "name=lan"], "resource"),
        'V' => call(&["resources.create", "vlan", "name=lan"], "resource"),
        'I' if sigma => call(&["resources.ip.create"], "resource"),
        'I' => call(&["resources.create", "ip"], "resource"),
        'G' => {
            let group = call(&["servergroups.create", "name=group"], "uuid");
            let server = made.iter().find(|(n, _)| *n == 'S').map_or_else(
                || world.done(&["server", "create", "r:", "name=g", "cpu=500", "mem=256", "--stopped"]),
                |(_, server)| server.clone(),
            );
            world.done(&["call", "r:", "servergroups.add", &group, &format!("server:0={server}")]);
            group
        }
        'U' => {
            let start = "start_time=2030-01-01 00:00";
            let words = [
                "subscriptions.create",
                "cpu=2000",
                "mem=1024",
                "disk=1073741824",
                "xfer=1073741824",
                start,
                "months=1",
            ];
            call(&words, "subscription")
        }
        other => panic!("there is no object {other}"),
    }
}

/// Makes an object at Joyent.
fn joyent(
    world: &World,
    name: char,
    made: &[(char, String)],
    call: &dyn Fn(&[&str], &str) -> String,
) -> String {
    let state = |id: &str, wanted: &str| {
        for _ in 0..200 {
            let machine = world.run(&["--json", "call", "r:", "machines.get", id]).objects().remove(0);
            if machine["state"] == wanted {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("machine {id} does not become {wanted}");
    };
    let machine = || {
        let words = ["machines.create", "metadata.hello=world", "tag.role=db"];
        let id = call(&words, "id");
        state(&id, "running");
        id
    };
    match name {
        'M' => machine(),
        'T' => {
            let id = machine();
            world.done(&["call", "r:", "machines.stop", &id]);
            state(&id, "stopped");
            id
        }
        'K' => {
            let text = format!("key={}", include_str!("../../testdata/keys/test-rsa.pub").trim());
            // There is but one key to try with; what an earlier row has left may be in its way.
            for _ in 0..2 {
                let ended = world.run(&["call", "r:", "keys.create", "name=k", &text]);
                if ended.code == 0 {
                    break;
                }
                for row in world.run(&["--json", "call", "r:", "keys.list"]).objects() {
                    world.done(&["call", "r:", "keys.delete", row["name"].as_str().unwrap()]);
                }
            }
            "k".to_owned()
        }
        'N' => {
            let (_, machine) = made.iter().find(|(name, _)| *name == 'T').unwrap();
            call(&["snapshots.create", machine, "name=n"], "name");
            for _ in 0..200 {
                let got =
                    world.run(&["--json", "call", "r:", "snapshots.get", machine, "n"]).objects().remove(0);
                if got["state"] == "created" {
                    return "n".to_owned();
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            panic!("the snapshot of {machine} is never created")
        }
        'X' => {
            let words =
                ["instrumentations.create", "module=syscall", "stat=syscalls", "decomposition=latency"];
            call(&words, "id")
        }
        'Z' => call(&["datasets.list"], "id"),
        'J' => "regular_256".to_owned(),
        other => panic!("there is no object {other}"),
    }
}

/// What has to be there for lists not to be empty.
fn furnish(world: &World, provider: Provider) {
    let names = match provider {
        Provider::CloudSigma => "DSVIGU",
        Provider::SpotCloud => "Q",
        Provider::Joyent => "KMX",
        _ => "DSVI",
    };
    for name in names.chars() {
        make(world, provider, name, &[]);
    }
}

fn check(provider: Provider, row: &Row, text: &Ended, json: Option<&Ended>) {
    let place = format!("{provider} {}", row.id);
    if let Out::Refused(status) = row.out {
        text.refused(if status == 401 { 4 } else { 1 }, &[&status.to_string(), row.id]);
        return;
    }
    for ended in [Some(text), json].into_iter().flatten() {
        assert_eq!(ended.code, 0, "{place}: {}", ended.stderr);
    }
    let modern = matches!(provider, Provider::SpotCloud | Provider::Joyent);
    let objects = || -> Vec<Value> { json.map(Ended::objects).unwrap_or_default() };
    let has = |objects: &[Value], keys: &[&str]| {
        for (object, key) in objects.iter().flat_map(|o| keys.iter().map(move |k| (o, k))) {
            let there = object.get(key).is_some_and(|value| modern || !value.is_null());
            assert!(there, "{place}: no {key} in {object}");
        }
    };
    match row.out {
        Out::None => {
            assert!(text.bytes.is_empty(), "{place}: {}", text.stdout);
            assert!(objects().is_empty(), "{place}: {:?}", objects());
        }
        Out::Bytes(len) => assert_eq!(text.bytes.len(), len, "{place}"),
        Out::One(keys) => {
            let objects = objects();
            assert_eq!(objects.len(), 1, "{place}: {objects:?}");
            has(&objects, keys);
            if modern {
                let names = |value: &Value| -> Vec<String> {
                    value.as_object().unwrap().keys().filter(|key| *key != "event").cloned().collect()
                };
                let (mut told, mut shown) = (names(&parsed(text)), names(&objects[0]));
                told.sort_unstable();
                shown.sort_unstable();
                assert_eq!(told, shown, "{place}: text and --json differ");
                return;
            }
            for key in keys {
                let line = |line: &str| line.split(' ').next() == Some(*key);
                assert!(text.stdout.lines().any(line), "{place}: the text has no {key}: {}", text.stdout);
            }
        }
        Out::Many(keys) | Out::Rows(keys) => {
            let objects = objects();
            assert!(!objects.is_empty() && !text.stdout.is_empty(), "{place}: an empty list");
            has(&objects, keys);
            if modern {
                let told = parsed(text);
                assert_eq!(told.as_array().map(Vec::len), Some(objects.len()), "{place}: {told}");
                return;
            }
            // A list has a line a row with as many words as columns; objects have a line a key.
            if let Out::Rows(columns) = row.out {
                let lines: Vec<&str> = text.stdout.lines().collect();
                assert_eq!(lines.len(), objects.len(), "{place}: {}", text.stdout);
                assert!(
                    lines.iter().all(|line| line.split(' ').count() == columns.len()),
                    "{place}: {}",
                    text.stdout
                );
            } else {
                for key in keys {
                    let line = |line: &str| line.split(' ').next() == Some(*key);
                    assert!(text.stdout.lines().any(line), "{place}: the text has no {key}: {}", text.stdout);
                }
            }
        }
        Out::Text(wanted) => {
            assert_eq!(text.stdout.trim_end(), wanted, "{place}");
            assert_eq!(objects()[0]["value"], wanted, "{place}");
        }
        Out::Headers(names) => {
            has(&objects(), names);
            for name in names {
                let line = |line: &str| line.split_whitespace().next() == Some(*name);
                assert!(text.stdout.lines().any(line), "{place}: {}", text.stdout);
            }
        }
        Out::Named => has(&objects(), &["code", "message"]),
        Out::Refused(_) | Out::Any => {}
    }
}

/// The provider's own text, which is JSON.
fn parsed(text: &Ended) -> Value {
    serde_json::from_str(&text.stdout).unwrap_or_else(|e| panic!("{e}: {}", text.stdout))
}

fn every_row(provider: Provider) {
    let (world, _emulator) = World::emulated(provider, "");
    let file = world.file("bytes", BYTES);
    furnish(&world, provider);
    let kept: RefCell<HashMap<char, String>> = RefCell::default();
    let made_of = |row: &Row| {
        let mut objects: Vec<(char, String)> = Vec::new();
        if row.id == "keys.create" {
            // There is but one key to try with.
            for key in world.run(&["--json", "call", "r:", "keys.list"]).objects() {
                world.done(&["call", "r:", "keys.delete", key["name"].as_str().unwrap()]);
            }
        }
        let mut names = wanted(row);
        if row.id == "snapshots.list" {
            names.push('N');
        }
        // What is only looked at serves the next row, too: machines take their time.
        let looked_at = provider == Provider::Joyent && row.sends.starts_with("GET");
        for name in names {
            let known = kept.borrow().get(&name).filter(|_| looked_at && name != 'K').cloned();
            let object = known.unwrap_or_else(|| make(&world, provider, name, &objects));
            if looked_at {
                kept.borrow_mut().insert(name, object.clone());
            }
            objects.push((name, object));
        }
        let mut words: Vec<String> = row.args.iter().map(|arg| fill(arg, &objects)).collect();
        if row.id == "machines.create" {
            // No two machines may have the same name.
            words[0] = format!("name=web-{}", uuid::Uuid::new_v4());
        }
        if row.id == "drives.write" {
            words.extend(["-f".to_owned(), file.clone()]);
        }
        words
    };
    for row in rows(provider) {
        let run = |first: &[&str]| {
            let mut words: Vec<String> = first.iter().map(|w| (*w).to_owned()).collect();
            words.extend(["call", "r:", row.id].map(str::to_owned));
            // A call may use its objects up, so each run has its own.
            words.extend(made_of(&row));
            world.run(&words)
        };
        let text = run(&[]);
        let json = (!matches!(row.out, Out::Bytes(_))).then(|| run(&["--json"]));
        check(provider, &row, &text, json.as_ref());
    }
}

#[test]
fn every_row_of_open_hosting_is_answered_in_its_shape() {
    every_row(Provider::OpenHosting);
}

#[test]
fn every_row_of_spotcloud_is_answered_in_its_shape() {
    every_row(Provider::SpotCloud);
}

#[test]
fn every_row_of_joyent_is_answered_in_its_shape() {
    every_row(Provider::Joyent);
}

#[test]
fn every_row_of_crosspeer_is_answered_in_its_shape() {
    every_row(Provider::Crosspeer);
}

#[test]
fn every_row_of_cloudsigma_is_answered_in_its_shape() {
    every_row(Provider::CloudSigma);
}

//! What every row answers: through the binary, against the emulator.

use super::rows::{BYTES, Out, Row, fill, rows, wanted};
use super::world::{Ended, World};
use diskferry::provider::Provider;
use serde_json::Value;

/// Makes an object and gives its identifier.
fn make(world: &World, provider: Provider, name: char, made: &[(char, String)]) -> String {
    let sigma = provider == Provider::CloudSigma;
    let call = |words: &[&str], key: &str| {
        let ended = world.run(&[&["--json", "call", "r:"], words].concat());
        assert_eq!(ended.code, 0, "{provider} {words:?}: {}", ended.stderr);
        let object = &ended.objects()[0];
        object[key].as_str().unwrap_or_else(|| panic!("{words:?} gives no {key}: {object}")).to_owned()
    };
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

/// What has to be there for lists not to be empty.
fn furnish(world: &World, provider: Provider) {
    for name in if provider == Provider::CloudSigma { "DSVIGU" } else { "DSVI" }.chars() {
        make(world, provider, name, &[]);
    }
}

fn check(provider: Provider, row: &Row, text: &Ended, json: Option<&Ended>) {
    let place = format!("{provider} {}", row.id);
    for ended in [Some(text), json].into_iter().flatten() {
        assert_eq!(ended.code, 0, "{place}: {}", ended.stderr);
    }
    let objects = || -> Vec<Value> { json.map(Ended::objects).unwrap_or_default() };
    let has = |objects: &[Value], keys: &[&str]| {
        for (object, key) in objects.iter().flat_map(|o| keys.iter().map(move |k| (o, k))) {
            assert!(!object[key].is_null(), "{place}: no {key} in {object}");
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
            for key in keys {
                let line = |line: &str| line.split(' ').next() == Some(*key);
                assert!(text.stdout.lines().any(line), "{place}: the text has no {key}: {}", text.stdout);
            }
        }
        Out::Many(keys) | Out::Rows(keys) => {
            let objects = objects();
            assert!(!objects.is_empty() && !text.stdout.is_empty(), "{place}: an empty list");
            has(&objects, keys);
        }
        Out::Any => {}
    }
}

fn every_row(provider: Provider) {
    let (world, _emulator) = World::emulated(provider, "");
    let file = world.file("bytes", BYTES);
    furnish(&world, provider);
    let made_of = |row: &Row| {
        let mut objects: Vec<(char, String)> = Vec::new();
        for name in wanted(row) {
            let object = make(&world, provider, name, &objects);
            objects.push((name, object));
        }
        let mut words: Vec<String> = row.args.iter().map(|arg| fill(arg, &objects)).collect();
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
fn every_row_of_crosspeer_is_answered_in_its_shape() {
    every_row(Provider::Crosspeer);
}

#[test]
fn every_row_of_cloudsigma_is_answered_in_its_shape() {
    every_row(Provider::CloudSigma);
}

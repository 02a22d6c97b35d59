//! What a call cannot do without is asked for before anything is sent.

use super::golden::{self, Exchange};
use super::recorder::Recorder;
use super::template::sample;
use super::world::World;
use diskferry::provider::Provider;
use serde_json::Value;

/// Whether a word of a command line gives this key, by the name that the catalogue has for it.
fn gives(word: &str, name: &str) -> bool {
    let Some((key, _)) = word.split_once('=') else { return false };
    key == name || name == "*" || name.strip_suffix(":NUMBER").is_some_and(|stem| key.starts_with(stem))
}

#[test]
fn what_is_missing_is_named_and_nothing_is_sent() {
    let mut counts = Vec::new();
    for provider in Provider::ALL {
        let golden = golden::read(provider);
        let server = Recorder::yes();
        let world = World::at(provider, &server.url);
        let file = world.file("body", b"bytes");
        let words = |exchange: &Exchange| -> Vec<String> {
            let given = |word: &String| match &**word {
                "BODY" => file.clone(),
                other => sample(other, &golden.names),
            };
            ["call", "r:"].map(str::to_owned).into_iter().chain(exchange.call.iter().map(given)).collect()
        };
        let (mut keys, mut arguments) = (0, 0);
        for call in world.run(&["--json", "calls", provider.name()]).objects() {
            let id = call["call"].as_str().unwrap();
            let good = golden.exchanges.iter().filter(|e| e.id() == id && !e.is_error());
            let Some(exchange) = good.max_by_key(|exchange| exchange.call.len()) else {
                panic!("{provider} {id} has no exchange");
            };
            if exchange.call.is_empty() {
                continue;
            }
            let needed = |key: &&Value| key["required"] == true;
            for key in call["keys"].as_array().unwrap().iter().filter(needed) {
                let key = key["key"].as_str().unwrap();
                let without: Vec<String> =
                    words(exchange).into_iter().filter(|word| !gives(word, key)).collect();
                assert!(without.len() < words(exchange).len(), "{provider} {id} is given {key}");
                world.run(&without).refused(2, &[id, key]);
                keys += 1;
            }
            // The last of the arguments that the path cannot do without.
            let path = call["path"].as_str().unwrap().replace("{LOGIN}", "").replace("{FORMAT}", "");
            let path = path.split('[').next().unwrap();
            let places: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            if let Some(name) = places.last() {
                let mut without = words(exchange);
                without.truncate(2 + places.len());
                let ended = world.run(&without);
                ended.refused(2, &[id, name]);
                arguments += 1;
            }
        }
        assert_eq!(server.take().len(), 0, "{provider}: nothing was sent");
        counts.push((keys, arguments));
    }
    assert_eq!(
        counts,
        [(8, 17), (8, 17), (53, 36), (4, 8), (6, 30)],
        "required keys, and paths with arguments"
    );
}

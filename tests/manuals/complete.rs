//! Nothing is left out: every call of the catalogue has its exchange, every exchange its call, and calls and documented errors
//! are as many as were counted in the manuals.

use super::golden;
use super::world::World;
use diskferry::provider::Provider;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn every_call_has_an_exchange_and_every_exchange_a_call() {
    let world = World::empty();
    std::fs::write(world.path("config.toml"), "").unwrap();
    let mut counts = Vec::new();
    for provider in Provider::ALL {
        let golden = golden::read(provider);
        let calls = world.run(&["--json", "calls", provider.name()]).objects();
        let id = |call: &Value| call["call"].as_str().unwrap().to_owned();
        let known: BTreeSet<String> = calls.iter().map(id).collect();
        let good = golden.exchanges.iter().filter(|exchange| !exchange.is_error());
        let good: BTreeSet<String> = good.map(|exchange| exchange.id().to_owned()).collect();
        assert_eq!(known, good, "{provider}: the catalogue, and the calls that have an exchange");
        let unknown = golden.exchanges.iter().find(|exchange| !known.contains(exchange.id()));
        assert!(unknown.is_none(), "{provider}: {unknown:?}");
        for call in &calls {
            let printed = golden.exchanges.iter().find(|e| e.id() == id(call) && !e.is_error()).unwrap();
            let sent = printed.sends.as_deref().unwrap_or(printed.method());
            let methods = (call["method"].as_str(), call["sends"].as_str());
            assert_eq!(methods, (Some(printed.method()), Some(sent)), "{provider} {}", id(call));
        }
        let undocumented = calls.iter().filter(|call| call["undocumented"] == true).count();
        counts.push((calls.len() - undocumented, undocumented));
    }
    assert_eq!(counts, [(23, 3), (26, 0), (75, 5), (17, 0), (41, 0)], "documented calls, and others");
}

#[test]
fn the_documented_errors_are_as_many_as_were_counted() {
    let errors = |provider| golden::read(provider).exchanges.iter().filter(|e| e.is_error()).count();
    assert_eq!(Provider::ALL.map(errors), [9, 11, 36, 19, 54]);
}

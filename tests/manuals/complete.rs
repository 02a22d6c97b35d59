//! Nothing is left out: every call of the catalogue has its exchange, every exchange its call, and the documented errors are
//! as many as were counted in the manuals.

use super::golden::{self, Golden};
use super::world::World;
use diskferry::provider::Provider;
use std::collections::BTreeSet;

/// The providers whose manuals are transcribed.
const DONE: [Provider; 3] = [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma];

#[test]
fn every_call_has_an_exchange_and_every_exchange_a_call() {
    let world = World::empty();
    std::fs::write(world.path("config.toml"), "").unwrap();
    for provider in DONE {
        let golden = golden::read(provider);
        let listed = world.run(&["--json", "calls", provider.name()]).objects();
        let calls: BTreeSet<String> =
            listed.iter().map(|call| call["call"].as_str().unwrap().to_owned()).collect();
        let good = golden.exchanges.iter().filter(|exchange| !exchange.is_error());
        let good: BTreeSet<String> = good.map(|exchange| exchange.id().to_owned()).collect();
        assert_eq!(calls, good, "{provider}: the catalogue, and the calls that have an exchange");
        let unknown = golden.exchanges.iter().find(|exchange| !calls.contains(exchange.id()));
        assert!(unknown.is_none(), "{provider}: {unknown:?}");
    }
}

#[test]
fn the_errors_are_as_many_as_were_counted() {
    let errors = |golden: &Golden| golden.exchanges.iter().filter(|exchange| exchange.is_error()).count();
    assert_eq!(DONE.map(|provider| errors(&golden::read(provider))), [9, 11, 36]);
}

use super::*;

fn draw(dealer: &Dealer, fingerprint: u64) -> Option<Fault> {
    let path = "/drives/u/write/0";
    dealer.draw(Drawing { method: "POST", path, operation: Operation::Other, fingerprint })
}

fn draws(spec: &str, n: u64) -> Vec<Option<Fault>> {
    let dealer = Dealer::new(Faults::parse(spec).unwrap());
    (0..n).map(|n| draw(&dealer, n)).collect()
}

#[test]
fn draws_repeat_with_the_seed_and_differ_without() {
    assert_eq!(draws("error=0.5,seed=7", 200), draws("error=0.5,seed=7", 200));
    assert_ne!(draws("error=0.5,seed=7", 200), draws("error=0.5,seed=8", 200));
}

#[test]
fn draws_do_not_depend_on_the_order_of_requests() {
    let spec = "error=0.4,drop=0.1,seed=7";
    // Two requests that come five times each, and one that comes once, in two orders.
    let drawn = |order: &[u64]| {
        let dealer = Dealer::new(Faults::parse(spec).unwrap());
        let mut drawn: HashMap<u64, Vec<Option<Fault>>> = HashMap::new();
        for request in order {
            drawn.entry(*request).or_default().push(draw(&dealer, *request));
        }
        drawn
    };
    let (one, other) = (drawn(&[1, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2]), drawn(&[2, 2, 3, 1, 2, 1, 2, 1, 2, 1, 1]));
    assert_eq!(one, other);
    assert!(
        one[&1].iter().any(|fault| *fault != one[&1][0]),
        "the same request met the same thing every time"
    );
}

#[test]
fn shares_come_out_as_asked() {
    let drawn = draws("error=0.5", 10_000);
    let count = |kind| drawn.iter().flatten().filter(|f| f.kind() == kind).count();
    for kind in FaultKind::MIXED {
        assert!((900..1100).contains(&count(kind)), "{kind:?} {}", count(kind));
    }
    let resets = |when| drawn.iter().filter(|f| **f == Some(Fault::Reset(when))).count();
    for when in [When::BeforeBody, When::WithinBody, When::AfterApplied] {
        assert!(resets(when) > 250, "{when:?} {}", resets(when));
    }
    assert!(draws("busy=1", 100).iter().all(|f| *f == Some(Fault::Busy)));
    assert!(draws("", 100).iter().all(Option::is_none));
}

#[test]
fn a_rule_is_for_its_requests_and_used_up_in_the_end() {
    let dealer = Dealer::default();
    let faults = || Faults::parse("busy=1").unwrap();
    let limits =
        RuleLimits { method: Some("post".into()), path: Some("/drives/*/write/**".into()), times: Some(2) };
    let id = dealer.add(faults(), limits).unwrap();
    let at = |method, path| {
        dealer.draw(Drawing { method, path, operation: Operation::Other, fingerprint: 1 }).is_some()
    };
    assert!(!at("GET", "/drives/u/write/0") && !at("POST", "/drives/u/info"));
    assert!(at("POST", "/drives/u/write/0") && at("POST", "/drives/u/write"));
    assert_eq!(dealer.list()[0].times_left, Some(0));
    assert!(!at("POST", "/drives/u/write/0"));
    assert!(dealer.remove(id) && !dealer.remove(id));
    let second = dealer.add(faults(), RuleLimits::default()).unwrap();
    assert!(second != id && at("GET", "/drives/list"));
    dealer.clear();
    assert!(!at("GET", "/drives/list") && dealer.list().is_empty());
}

#[test]
fn a_seed_begins_the_draws_anew() {
    let dealer = Dealer::new(Faults::parse("error=0.5").unwrap());
    let run = |seed| {
        dealer.set_seed(seed);
        (0..100).map(|n| draw(&dealer, n % 10)).collect::<Vec<_>>()
    };
    let first = run(1);
    assert_ne!(first, run(2));
    assert_eq!(first, run(1));
}

#[test]
fn an_offset_is_refused_where_it_is_covered() {
    let dealer = Dealer::new(Faults::parse("refuse=100").unwrap());
    assert!(dealer.refuses(100, 1) && dealer.refuses(0, 101));
    assert!(!dealer.refuses(0, 100) && !dealer.refuses(101, 10) && !dealer.refuses(100, 0));
}

//! Faults: the client sees each one once, and none has an effect afterwards.

use super::Site;
use super::client::{Client, Ending, Request};
use crate::emulator::Dialect::OpenHosting;
use crate::emulator::FaultKind;
use std::time::{Duration, Instant};

/// How long to wait when nothing is expected to arrive.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long to wait when something may arrive: a slow machine must not be taken for a fault.
const LONG_PATIENCE: Duration = Duration::from_secs(1);

/// Returns a site with a drive, whose faults begin only afterwards: another emulator creates the drive.
fn site(faults: &str, size: u64) -> (Site, String) {
    let mut calm = Site::new(OpenHosting, "");
    let uuid = calm.drive(size);
    let Site { emulator, data, .. } = calm;
    drop(emulator);
    let emulator =
        crate::emulator::Emulator::start_logged(super::config(OpenHosting, data.path(), faults)).unwrap();
    let client = Client::new(emulator.address()).deadlines(PATIENCE);
    (Site { emulator, client, data }, uuid)
}

#[test]
fn busy_and_unavailable_are_replies_that_keep_the_connection() {
    for (spec, status, error, wait) in [
        ("busy=1", 409, "busy", None),
        ("unavailable=1", 503, "system", Some("1")),
        ("unavailable=1,retry-after=0", 503, "system", Some("0")),
    ] {
        let (mut site, uuid) = site(spec, 5 << 20);
        for _ in 0..3 {
            let reply = site.client.post(&format!("/drives/{uuid}/write"), vec![1; 5 << 20]);
            assert_eq!((reply.status, reply.header("x-elastic-error")), (status, Some(error)));
            assert_eq!(reply.header("retry-after"), wait);
        }
        assert_eq!((site.client.connections, site.emulator.faults_dealt()), (1, 3));
        let raw = std::fs::read(site.data.path().join(format!("drives/{uuid}.raw"))).unwrap();
        assert!(raw.iter().all(|b| *b == 0), "a busy drive was written");
    }
}

#[test]
fn resets_come_before_within_and_after() {
    let (mut site, uuid) = site("reset=1", 8 << 20);
    let mut applied = 0;
    let raw = site.data.path().join(format!("drives/{uuid}.raw"));
    for i in 1..=30 {
        let ending =
            site.client.send(&Request::new("POST", &format!("/drives/{uuid}/write")).body(vec![i; 8 << 20]));
        assert!(matches!(ending, Ending::Reset), "{ending:?}");
        let bytes = std::fs::read(&raw).unwrap();
        assert!(bytes.iter().all(|b| *b == bytes[0]), "a write was applied in part");
        applied += u32::from(bytes[0] == i);
        assert!(matches!(site.client.send(&Request::new("GET", "/drives/list")), Ending::Reset));
    }
    assert!((3..27).contains(&applied), "{applied} of 30 were applied");
    assert_eq!(site.emulator.faults_dealt(), 60);
    let partly = site.emulator.log().iter().filter(|l| (1..8 << 20).contains(&l.body_bytes)).count();
    assert!(partly > 3, "{partly} of 30 were reset within the body");
    assert!(site.emulator.log().iter().all(|l| l.status.is_none() && l.fault == Some(FaultKind::Reset)));
}

#[test]
fn short_replies_end_early_and_bodyless_ones_do_not_come() {
    let (mut site, uuid) = site("short=1", 4 << 20);
    let Ending::Short(got) = site.client.send(&Request::new("GET", &format!("/drives/{uuid}/read/0/4M")))
    else {
        panic!()
    };
    assert!(got < 4 << 20 && got > 0, "{got}");
    assert!(matches!(site.client.send(&Request::new("GET", "/drives/list")), Ending::Short(18)));
    let write = Request::new("POST", &format!("/drives/{uuid}/write")).body("applied");
    assert!(matches!(site.client.send(&write), Ending::Closed));
    let raw = std::fs::read(site.data.path().join(format!("drives/{uuid}.raw"))).unwrap();
    assert_eq!(raw[..7], *b"applied");
    assert_eq!((site.emulator.faults_dealt(), site.client.connections), (3, 3));
}

#[test]
fn stalls_last_until_the_client_hangs_up() {
    let (mut site, uuid) = site("stall=1", 4 << 20);
    let start = Instant::now();
    for request in [
        Request::new("GET", &format!("/drives/{uuid}/read/0/4M")),
        Request::new("POST", &format!("/drives/{uuid}/write")).body("applied"),
    ] {
        assert!(matches!(site.client.send(&request), Ending::Silence));
    }
    assert!(start.elapsed() >= 2 * PATIENCE);
    let raw = std::fs::read(site.data.path().join(format!("drives/{uuid}.raw"))).unwrap();
    assert_eq!((&raw[..7], site.emulator.faults_dealt()), (&b"applied"[..], 2));
    // Stopping does not wait for stalled connections.
    let _stalled =
        Client::new(site.emulator.address()).deadlines(PATIENCE).send(&Request::new("GET", "/drives/list"));
    let stop = Instant::now();
    drop(site);
    assert!(stop.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_clients_failures_are_the_faults_dealt() {
    // A client that retries until it succeeds, every kind of fault, and work that must come out right.
    let (mut site, uuid) = site("error=0.4,seed=3", 24 << 20);
    site.client = Client::new(site.emulator.address()).deadlines(LONG_PATIENCE);
    let mut failures = 0;
    let mut until_done = |client: &mut Client, request: &Request| loop {
        match client.send(request) {
            Ending::Reply(reply) if reply.status < 400 => return reply,
            Ending::Reply(reply) => assert!([409, 503].contains(&reply.status)),
            _ => {}
        }
        failures += 1;
    };
    for i in 0..24_u8 {
        let write = Request::new("POST", &format!("/drives/{uuid}/write/{i}M")).body(vec![i; 1 << 20]);
        assert_eq!(until_done(&mut site.client, &write).status, 204);
        let read = Request::new("GET", &format!("/drives/{uuid}/read/{i}M/1M"));
        assert!(until_done(&mut site.client, &read).body == vec![i; 1 << 20]);
    }
    assert_eq!(failures, site.emulator.faults_dealt());
    assert!(failures > 15, "{failures}");
    let logged = site.emulator.log();
    assert_eq!(logged.iter().filter(|l| l.fault.is_some()).count() as u64, failures);
    let good = |l: &&crate::emulator::Logged| l.fault.is_none() && l.method == "POST";
    assert!(logged.iter().filter(good).all(|l| l.body_bytes == 1 << 20 && l.status == Some(204)));
    assert_eq!(logged.iter().filter(good).count(), 24);
}

#[test]
fn a_pooling_clients_failures_are_the_faults_dealt_too() {
    // The client that transfers use, with its pool of kept-alive connections and several requests in flight.
    // A fault must not reach a second request over a connection that both used.
    let (site, uuid) = site("error=0.3,seed=5", 64 << 20);
    let url = format!("{}drives/{uuid}", site.emulator.url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failures: u64 = runtime.block_on(async {
        let client = reqwest::Client::builder().read_timeout(LONG_PATIENCE).no_proxy().build().unwrap();
        let workers = (0..6_u8).map(|worker| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let mut failures = 0;
                for i in (worker..60).step_by(6) {
                    let (write, read) = (format!("{url}/write/{i}M"), format!("{url}/read/{i}M/1M"));
                    for request in [client.post(&write).body(vec![i; 1 << 20]), client.get(&read)] {
                        let request = request.basic_auth(super::USER, Some(super::SECRET)).build().unwrap();
                        while !succeeds(&client, request.try_clone().unwrap()).await {
                            failures += 1;
                        }
                    }
                }
                failures
            })
        });
        let mut failures = 0;
        for worker in workers.collect::<Vec<_>>() {
            failures += worker.await.unwrap();
        }
        failures
    });
    assert_eq!(failures, site.emulator.faults_dealt());
    assert!(failures > 30, "{failures}");
}

async fn succeeds(client: &reqwest::Client, request: reqwest::Request) -> bool {
    match client.execute(request).await {
        Ok(reply) => reply.status().is_success() && reply.bytes().await.is_ok(),
        Err(_) => false,
    }
}

#[test]
fn a_refused_offset_always_fails_and_is_counted_apart() {
    let (mut site, uuid) = site("refuse=1000", 1 << 20);
    for _ in 0..2 {
        for (path, body) in [("write/999", "ab"), ("write/1000", "a"), ("write/0", "much shorter than that")]
        {
            let covered = path != "write/0";
            let reply = site.client.post(&format!("/drives/{uuid}/{path}"), body);
            assert_eq!(reply.status, if covered { 500 } else { 204 }, "{path}");
            assert_eq!(reply.header("x-elastic-error"), covered.then_some("failed"));
        }
        assert_eq!(site.client.get(&format!("/drives/{uuid}/read/0/4k")).status, 500);
        assert_eq!(site.client.get(&format!("/drives/{uuid}/read/1001/4k")).status, 200);
    }
    assert_eq!((site.emulator.refusals(), site.emulator.faults_dealt()), (6, 0));
    let refused = site.emulator.log().iter().filter(|l| l.fault == Some(FaultKind::Refuse)).count();
    assert_eq!(refused, 6);
}

#[test]
fn a_refusal_and_a_fault_are_never_one_failure() {
    let (mut site, uuid) = site("refuse=0,error=0.5", 1 << 20);
    for _ in 0..60 {
        site.client.send(&Request::new("POST", &format!("/drives/{uuid}/write")).body("x"));
    }
    assert_eq!(site.emulator.refusals() + site.emulator.faults_dealt(), 60);
}

#[test]
fn latency_and_rate_slow_everything_down() {
    let (mut site, uuid) = site("latency=50ms,rate=4M", 4 << 20);
    site.client = Client::new(site.emulator.address());
    let start = Instant::now();
    site.client.get("/drives/list");
    assert!(start.elapsed() >= Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write"), vec![1; 1 << 20]).status, 204);
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read/0/1M")).body.len(), 1 << 20);
    let elapsed = start.elapsed();
    // 2 MiB at 4 MiB a second, and two latencies: 0.6 s.
    assert!((0.5..5.0).contains(&elapsed.as_secs_f64()), "{elapsed:?}");
    assert_eq!(site.emulator.faults_dealt(), 0);
}

//! Hooks, gates, settling, and the counters of drives.

use super::client::{Client, Ending, Request};
use super::{Site, config};
use crate::emulator::Dialect::{CloudSigma, Crosspeer, OpenHosting};
use crate::emulator::{Emulator, Gate, Next, Operation, Seen, Stage};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Far longer than anything here takes on a slow machine.
const LONG: Duration = Duration::from_mins(1);

impl Site {
    /// Records everything that a hook sees.
    fn record(&self) -> Arc<Mutex<Vec<Seen>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        self.emulator.set_hook({
            let told = Arc::clone(&told);
            move |seen| {
                told.lock().unwrap().push(seen.clone());
                Next::Proceed
            }
        });
        told
    }

    fn first_bytes(&self, uuid: &str) -> Vec<u8> {
        std::fs::read(self.data.path().join(format!("drives/{uuid}.raw"))).unwrap()[..5].to_vec()
    }
}

#[test]
fn a_hook_is_told_of_every_stage_of_every_request_in_order() {
    use Operation::{Create, Other, Read, Write};
    use Stage::{Answered, Applied, Received};
    let mut site = Site::new(OpenHosting, "");
    let told = site.record();
    let uuid = site.drive(1 << 20);
    site.client.post(&format!("/drives/{uuid}/write/4k"), "hello");
    site.client.get(&format!("/drives/{uuid}/read/1024/512k"));
    site.client.post(&format!("/drives/{uuid}/write"), "again");
    assert_eq!(site.client.get("/drives/nowhere/info").status, 404);
    // The hook sees the last answer before the next request is read.
    site.client.get("/drives/list");
    let told = told.lock().unwrap().clone();
    let short: Vec<_> = told.iter().map(|s| (s.operation, s.stage, s.nth, s.offset, s.status)).collect();
    let three = |operation, nth, offset, status| {
        [
            (operation, Received, nth, offset, None),
            (operation, Applied, nth, offset, Some(status)),
            (operation, Answered, nth, offset, Some(status)),
        ]
    };
    let expected = [
        &three(Create, 1, None, 200)[..],
        &three(Write, 1, Some(4096), 204),
        &three(Read, 1, Some(1024), 200),
        &three(Write, 2, Some(0), 204),
        &[
            (Other, Received, 1, None, None),
            (Other, Received, 2, None, None),
            (Other, Applied, 1, None, Some(200)),
        ],
    ]
    .concat();
    assert_eq!(short[..expected.len()], expected);
    assert_eq!((told[3].drive.as_ref(), told[3].fault), (Some(&uuid), None));
    assert_eq!(told[3].path, format!("/drives/{uuid}/write/4k"));
}

#[test]
fn nothing_is_done_before_it_was_received_and_nothing_answered_before_it_was_applied() {
    for (stage, applied) in [(Stage::Received, false), (Stage::Applied, true)] {
        let mut site = Site::new(Crosspeer, "");
        let uuid = site.drive(4096);
        site.emulator.set_hook(move |seen| {
            if seen.operation == Operation::Write && seen.stage == stage {
                Next::Reset
            } else {
                Next::Proceed
            }
        });
        let write = Request::new("POST", &format!("/drives/{uuid}/write")).body("hello");
        assert!(matches!(site.client.send(&write), Ending::Reset), "{stage:?}");
        assert_eq!(site.first_bytes(&uuid) == b"hello", applied, "{stage:?}");
        site.emulator.clear_hook();
        assert_eq!(site.client.reply(&write).status, 204);
    }
}

#[test]
fn a_gate_holds_requests_until_it_is_opened() {
    for pass in [true, false] {
        let mut site = Site::new(OpenHosting, "");
        let (uuid, gate) = (site.drive(1 << 20), Gate::new());
        site.emulator.set_hook({
            let gate = gate.clone();
            move |seen| match (seen.operation, seen.stage) {
                (Operation::Write, Stage::Applied) => Next::Wait(gate.clone()),
                _ => Next::Proceed,
            }
        });
        let address = site.emulator.address();
        let writes: Vec<_> = (0..3)
            .map(|i| {
                let write = Request::new("POST", &format!("/drives/{uuid}/write/{i}k")).body("hello");
                std::thread::spawn(move || Client::new(address).deadlines(LONG).send(&write))
            })
            .collect();
        assert!(gate.wait_for(3, LONG));
        assert!(!gate.wait_for(4, Duration::from_millis(50)));
        assert!(writes.iter().all(|write| !write.is_finished()));
        // Other requests are not held, and the held request was carried out.
        assert_eq!(site.client.get(&format!("/drives/{uuid}/read/2k/5")).body, b"hello");
        if pass {
            gate.open();
        } else {
            gate.reset();
        }
        for write in writes {
            match write.join().unwrap() {
                Ending::Reply(reply) => assert!(pass && reply.status == 204),
                Ending::Reset => assert!(!pass),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(gate.waiting(), 0);
    }
}

#[test]
fn a_held_request_goes_with_its_client() {
    let mut site = Site::new(OpenHosting, "");
    let (uuid, gate) = (site.drive(4096), Gate::new());
    site.emulator.set_hook({
        let gate = gate.clone();
        move |seen| if seen.stage == Stage::Received { Next::Wait(gate.clone()) } else { Next::Proceed }
    });
    let write = Request::new("POST", &format!("/drives/{uuid}/write")).body("hello");
    let mut hasty = Client::new(site.emulator.address()).deadlines(Duration::from_millis(200));
    assert!(matches!(hasty.send(&write), Ending::Silence));
    drop(hasty);
    site.client = Client::new(site.emulator.address());
    assert!(site.emulator.settle(LONG));
    gate.open();
    assert_eq!((gate.waiting(), site.first_bytes(&uuid)), (0, vec![0; 5]));
}

#[test]
fn settling_waits_for_what_a_dead_client_has_sent() {
    let mut site = Site::new(OpenHosting, "");
    let uuid = site.drive(8 << 20);
    let (address, live) = (site.emulator.address(), site.client);
    drop(live);
    for i in 1..=20_u8 {
        let credentials =
            crate::emulator::auth::base64(format!("{}:{}", super::USER, super::SECRET).as_bytes());
        let head = format!(
            "POST /drives/{uuid}/write HTTP/1.1\r\nHost: emulator\r\nAuthorization: Basic {credentials}\r\n\
             Content-Length: {}\r\n\r\n",
            2 << 20
        );
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![i; 2 << 20]).unwrap();
        drop(stream);
        assert!(site.emulator.settle(LONG));
        let raw = std::fs::read(site.data.path().join(format!("drives/{uuid}.raw"))).unwrap();
        assert!(raw[..2 << 20].iter().all(|byte| *byte == raw[0]));
        // Whether or not it was applied, it is not applied later.
        std::thread::yield_now();
        let later = std::fs::read(site.data.path().join(format!("drives/{uuid}.raw"))).unwrap();
        assert_eq!(raw[0], later[0]);
    }
    site.client = Client::new(address);
    site.client.get("/drives/list");
    assert!(!site.emulator.settle(Duration::from_millis(100)), "a live connection is no rest");
}

#[test]
fn counters_count_writes_exactly_persist_and_go_back_with_an_older_copy() {
    for provider in [OpenHosting, Crosspeer, CloudSigma] {
        let mut site = Site::new(provider, "");
        let uuid = site.drive(1 << 20);
        let counters = |client: &mut Client| {
            let info = client.get(&format!("/drives/{uuid}/info"));
            let value = |key: &str| info.value(key).parse::<u64>().unwrap();
            [value("read:requests"), value("read:bytes"), value("write:requests"), value("write:bytes")]
        };
        for i in 0..3 {
            assert_eq!(site.client.post(&format!("/drives/{uuid}/write/{i}k"), vec![1; 1000]).status, 204);
        }
        // A request that fails counts nothing.
        site.client.post(&format!("/drives/{uuid}/write/1M"), "x");
        site.client.get(&format!("/drives/{uuid}/read/0/700"));
        assert_eq!(counters(&mut site.client), [1, 700, 3, 3000], "{provider}");

        // A copy taken while it runs, and one after it has stopped: both have the counters.
        let older = tempfile::tempdir().unwrap();
        let copy = |to: &std::path::Path| {
            std::fs::create_dir_all(to.join("drives")).unwrap();
            for name in [format!("{uuid}.json"), format!("{uuid}.raw")] {
                let from = site.data.path().join("drives").join(&name);
                std::fs::copy(from, to.join("drives").join(name)).unwrap();
            }
        };
        site.emulator.save_counters().unwrap();
        copy(older.path());
        site.client.post(&format!("/drives/{uuid}/write"), vec![1; 24]);
        assert_eq!(counters(&mut site.client), [1, 700, 4, 3024], "{provider}");
        let address = site.emulator.address();
        drop(site.emulator);
        for (data, expected) in [(site.data.path(), [1, 700, 4, 3024]), (older.path(), [1, 700, 3, 3000])] {
            // At the same address, like a remote that was restored.
            let listen = crate::emulator::Config { listen: address, ..config(provider, data, "") };
            let emulator = Emulator::start(listen).unwrap();
            assert_eq!(counters(&mut Client::new(emulator.address())), expected, "{provider}");
        }
    }
}

//! Two runs of the same requests meet the same faults, however they interleave.

use crate::world::{World, ask};
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex};

/// The requests of a run: what each worker sends, in its order. Two of them send the same ones.
fn work(worker: usize) -> Vec<(String, String)> {
    let stem = worker / 2;
    (0..12)
        .map(|i| match i % 3 {
            0 => ("GET /drives/list".to_owned(), String::new()),
            1 => (format!("GET /drives/info?{stem}-{i}"), String::new()),
            _ => ("POST /drives/create".to_owned(), format!("name d{stem}-{i}\nsize 1048576\n")),
        })
        .collect()
}

/// What all requests of one content met, in no order: two workers that send the same cannot be told apart.
type Met = BTreeMap<(String, String), Vec<u16>>;

/// Sends the work of six workers, in turns that `order` chooses: in each round all of it goes out at the same time, or
/// one worker after the other.
fn run(spec: &str, together: bool, backwards: bool) -> (Met, String) {
    let world = World::new();
    let args = ["openhosting=127.0.0.1:0", "--user", "alice", "--secret", "a", "--faults", spec];
    let serve = world.serve(&args, 1);
    let address = serve.address("openhosting").to_owned();
    let met: Arc<Mutex<Met>> = Arc::default();
    let barrier = Arc::new(Barrier::new(if together { 6 } else { 1 }));
    let mut workers: Vec<usize> = (0..6).collect();
    if backwards {
        workers.reverse();
    }
    let threads: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let (address, met, barrier) = (address.clone(), Arc::clone(&met), Arc::clone(&barrier));
            let send = move || {
                for (request, body) in work(worker) {
                    if together {
                        barrier.wait();
                    }
                    let (status, _) = ask(&address, &request, &body);
                    met.lock().unwrap().entry((request, body)).or_default().push(status);
                }
            };
            let thread = std::thread::spawn(send);
            if together { Some(thread) } else { thread.join().map(|()| None).unwrap() }
        })
        .collect();
    for thread in threads.into_iter().flatten() {
        thread.join().unwrap();
    }
    let last = serve.stop().into_iter().find(|line| line.contains("faults dealt")).unwrap();
    let mut met = Arc::try_unwrap(met).unwrap().into_inner().unwrap();
    for statuses in met.values_mut() {
        statuses.sort_unstable();
    }
    (met, last)
}

#[test]
fn concurrent_runs_meet_the_same_faults() {
    let spec = "busy=0.3,unavailable=0.2,seed=7";
    let (alone, dealt) = run(spec, false, false);
    let faults = alone.values().flatten().filter(|status| **status != 200).count();
    assert!((10..60).contains(&faults), "{faults} of 72 requests met a fault");
    for backwards in [false, true] {
        assert_eq!(run(spec, true, backwards), (alone.clone(), dealt.clone()));
    }
    assert_eq!(run(spec, false, true), (alone.clone(), dealt.clone()));
    assert_ne!(run("busy=0.3,unavailable=0.2,seed=8", false, false).0, alone);
}

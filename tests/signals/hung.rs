//! A server that takes requests and never answers them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests that have come.
pub struct Hung {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
}

impl Hung {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&seen);
        // The threads end with the process of the test.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, counter) = (connection.unwrap(), Arc::clone(&counter));
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    let mut first = true;
                    while connection.read(&mut bytes).is_ok_and(|n| n > 0) {
                        if std::mem::take(&mut first) {
                            counter.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

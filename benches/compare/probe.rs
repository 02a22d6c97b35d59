//! Measures a line by itself: its round trip, and the rate of one connection that has got up to speed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How many round trips are measured.
const TRIPS: usize = 20;

#[derive(clap::Args)]
pub struct Options {
    /// The address of a sink
    address: SocketAddr,
    /// For how long to send before the rate is measured, in seconds
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
    /// For how long to measure the rate, in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// Prints the round trip and the rate.
pub fn run(options: &Options) -> io::Result<()> {
    // A connection is made when the first packet has been answered: one round trip, with no server's time in
    // it.
    let mut trips = Vec::new();
    for _ in 0..TRIPS {
        let start = Instant::now();
        TcpStream::connect(options.address)?;
        trips.push(start.elapsed().as_secs_f64() * 1e3);
    }
    trips.sort_by(f64::total_cmp);
    println!(
        "round trip: least {:.2} ms, median {:.2} ms, most {:.2} ms",
        trips[0],
        trips[TRIPS / 2],
        trips[TRIPS - 1]
    );

    let mut stream = TcpStream::connect(options.address)?;
    stream.set_nodelay(true)?;
    // A reply comes one round trip after the last byte has left. With enough requests on their way nothing
    // waits for it, and the bytes between two replies over the time between them are the rate.
    let piece = vec![0x5a; 256 << 10];
    let request =
        format!("POST /drives/x/write/0 HTTP/1.1\r\nHost: sink\r\nContent-Length: {}\r\n\r\n", piece.len());
    let mut replies = stream.try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut acknowledged: Vec<(Instant, usize)> = Vec::new();
        let mut buffer = [0; 4096];
        let mut total = 0;
        while let Ok(n) = replies.read(&mut buffer)
            && n > 0
        {
            total += n;
            acknowledged.push((Instant::now(), total));
        }
        acknowledged
    });
    let warm = Instant::now() + Duration::from_secs_f64(options.warm_up);
    let end = warm + Duration::from_secs_f64(options.seconds);
    while Instant::now() < end {
        stream.write_all(request.as_bytes())?;
        stream.write_all(&piece)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let acknowledged = reader.join().map_err(|_| io::Error::other("the reader panicked"))?;
    let reply = "HTTP/1.1 204 No Content\r\n\r\n".len();
    let mut within = acknowledged.iter().filter(|(at, _)| (warm..end).contains(at));
    let (Some(first), Some(last)) = (within.next(), within.next_back()) else {
        return Err(io::Error::other("too few replies to tell the rate"));
    };
    let bytes = (last.1 - first.1) / reply * (piece.len() + request.len());
    let rate = bytes as f64 / (last.0 - first.0).as_secs_f64();
    // 1448 bytes of a full packet of 1500 are the connection's; the line counts all of them.
    println!(
        "one connection: {:.2} MB/s, {:.1} Mbit/s of packets",
        rate / 1e6,
        rate * 8.0 / 1e6 * 1500.0 / 1448.0
    );
    Ok(())
}

//! Emulates a long line on one machine: connects two network namespaces by a TUN device in each and forwards
//! IP packets between them, in each direction with a rate, a delay, a queue that drops what does not fit, and
//! random loss.
//!
//! A direction is one thread with one queue. Because the delay is the same for all packets, they leave in the
//! order of arrival, and the thread sleeps until the first is due or another arrives. While packets flow it
//! wakes once per tick instead of for each packet, to save CPU time. The rate stays exact: the transmission
//! of a packet begins when the previous one has left, not when the thread noticed it.

#![allow(unsafe_code)] // The standard library has no safe interface to namespaces, TUN devices, precise waits and signals.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The name of the device in both namespaces.
const DEVICE: &str = "line0";

/// The largest packet that is accepted, including its [`HEADER`].
const LARGEST: usize = HEADER + (64 << 10);

/// The length of the `virtio_net_hdr` before each packet: flags, type, header length, segment size, start and
/// offset of the checksum.
const HEADER: usize = 10;

/// From this rate in Mbit/s, and without loss, the kernel may pass several segments of a connection as one
/// packet, as to a network card. Below it such a packet would block the line for too long, and loss affects
/// single packets.
const SEGMENTED_FROM: f64 = 200.0;

/// How long the thread sleeps between checks of an active line: this share of the round trip, within
/// [`SHORTEST_TICK`] and [`LONGEST_TICK`]. Packets are on average a tick late in each direction, so the round
/// trip is about one per cent longer.
const TICKS_A_ROUND_TRIP: f64 = 200.0;

/// Below this the thread would not sleep at all.
const SHORTEST_TICK: f64 = 50e-6;

/// At 1 Gbit/s, 21 full packets come in this time; a network card collects as many before it interrupts.
const LONGEST_TICK: f64 = 250e-6;

#[derive(clap::Args)]
pub struct Options {
    /// The two network namespaces, as `ip netns add` made them
    #[arg(num_args = 2, required = true)]
    namespaces: Vec<String>,
    /// Mbit/s each way, counted over IP packets
    #[arg(long)]
    mbit: f64,
    /// The round trip of an idle line in milliseconds; half of it is each way's delay
    #[arg(long)]
    rtt: f64,
    /// The share of packets that are lost each way, in per cent
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// How much waits for its turn each way before packets are dropped, in KiB
    #[arg(long)]
    queue: f64,
}

/// The packet counts of one direction.
#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    lost: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn print(&self, direction: &str) {
        let [delivered, lost, dropped] =
            [&self.delivered, &self.lost, &self.dropped].map(|count| count.load(Ordering::Relaxed));
        println!("{direction}: {delivered} packets delivered, {lost} lost, {dropped} dropped by the queue");
    }
}

/// Forwards until SIGTERM or SIGINT. Prints `ready` once both devices are there, and at the end what became
/// of the packets.
pub fn run(options: &Options) -> io::Result<()> {
    // Blocked before any thread is made, so that only `wait_for_end` takes them.
    let signals = block_signals()?;
    let segmented = options.loss <= 0.0 && options.mbit >= SEGMENTED_FROM;
    let left = open_tun(&options.namespaces[0], segmented)?;
    let right = open_tun(&options.namespaces[1], segmented)?;
    println!("ready");
    let counts: &'static [Counts; 2] = Box::leak(Box::default());
    let directions = [(&left, &right), (&right, &left)];
    for ((from, to), (counts, seed)) in directions.into_iter().zip(counts.iter().zip(1..)) {
        let mut direction = Direction {
            from: from.try_clone()?,
            to: to.try_clone()?,
            queue: Queue::new(options),
            tick: Duration::from_secs_f64(
                (options.rtt / 1e3 / TICKS_A_ROUND_TRIP).clamp(SHORTEST_TICK, LONGEST_TICK),
            ),
            loss: options.loss / 100.0,
            random: Random(seed),
            counts,
        };
        std::thread::spawn(move || {
            let Err(error) = direction.forward();
            eprintln!("error: {error}");
            std::process::exit(1);
        });
    }
    wait_for_end(&signals)?;
    counts[0].print(&format!("{} to {}", options.namespaces[0], options.namespaces[1]));
    counts[1].print(&format!("{} to {}", options.namespaces[1], options.namespaces[0]));
    Ok(())
}

/// One way of the line.
struct Direction {
    from: File,
    to: File,
    queue: Queue,
    tick: Duration,
    loss: f64,
    random: Random,
    counts: &'static Counts,
}

impl Direction {
    /// Forwards packets until a device fails.
    fn forward(&mut self) -> io::Result<std::convert::Infallible> {
        sleep_precisely()?;
        let mut buffer = vec![0; LARGEST];
        loop {
            let came = self.take(&mut buffer)?;
            let left = self.deliver();
            if came || left {
                std::thread::sleep(self.tick);
            } else {
                let until = self.queue.next_due();
                wait_readable(&self.from, until.map(|due| due.saturating_duration_since(Instant::now())))?;
            }
        }
    }

    /// Takes the packets that have come, and returns whether there were any.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut came = false;
        loop {
            let len = match self.from.read(buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(came),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            came = true;
            if self.random.share() < self.loss {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            } else if !self.queue.push(&buffer[..len], Instant::now()) {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Delivers the packets that are due, and returns whether there were any.
    fn deliver(&mut self) -> bool {
        let now = Instant::now();
        let mut left = false;
        while let Some(packet) = self.queue.pop(now) {
            left = true;
            // The device is down before the script has set it up: then the packet is lost, as on any line.
            let count =
                if self.to.write(&packet).is_ok() { &self.counts.delivered } else { &self.counts.lost };
            count.fetch_add(1, Ordering::Relaxed);
            self.queue.spare.push(packet);
        }
        left
    }
}

/// The packets on their way in one direction, with when each arrives.
struct Queue {
    bytes_per_second: f64,
    delay: Duration,
    /// The longest time that a packet waits for its turn.
    longest: Duration,
    /// When the last packet accepted so far has left.
    busy_until: Instant,
    packets: VecDeque<(Instant, Vec<u8>)>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

impl Queue {
    fn new(options: &Options) -> Self {
        let bytes_per_second = options.mbit * 1e6 / 8.0;
        Self {
            bytes_per_second,
            delay: Duration::from_secs_f64(options.rtt / 2e3),
            longest: Duration::from_secs_f64(options.queue * 1024.0 / bytes_per_second),
            busy_until: Instant::now(),
            packets: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Accepts a packet, or returns false if the queue is full.
    fn push(&mut self, packet: &[u8], now: Instant) -> bool {
        let turn = self.busy_until.max(now);
        if turn - now > self.longest {
            return false;
        }
        self.busy_until =
            turn + Duration::from_secs_f64(bytes_on_line(packet) as f64 / self.bytes_per_second);
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.packets.push_back((self.busy_until + self.delay, buffer));
        true
    }

    /// Returns when the next packet is due.
    fn next_due(&self) -> Option<Instant> {
        self.packets.front().map(|(due, _)| *due)
    }

    /// Returns the next packet that is due.
    fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.packets.pop_front_if(|(due, _)| *due <= now).map(|(_, packet)| packet)
    }
}

/// Returns how many bytes a packet is on the line, the headers of all its segments included.
fn bytes_on_line(packet: &[u8]) -> usize {
    let len = packet.len().saturating_sub(HEADER);
    let field = |at: usize| usize::from(u16::from_ne_bytes([packet[at], packet[at + 1]]));
    let (segment, tcp) = (field(4), field(6));
    // The first half of the byte at 12 is the length of the TCP header in words of 4 bytes.
    match packet.get(HEADER + tcp + 12) {
        Some(byte) if segment > 0 => {
            let headers = tcp + usize::from(byte >> 4) * 4;
            let segments = len.saturating_sub(headers).div_ceil(segment).max(1);
            len + (segments - 1) * headers
        }
        _ => len,
    }
}

/// A splitmix64 generator: the same losses in every run.
struct Random(u64);

impl Random {
    /// Returns a number from 0 up to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Makes the TUN device of a namespace. `segmented`: whether it may hand over several segments as one packet.
fn open_tun(namespace: &str, segmented: bool) -> io::Result<File> {
    let in_namespace = || {
        let handle = File::open(format!("/run/netns/{namespace}"))?;
        // SAFETY: the handle is open, and the call changes nothing but the namespace of this thread, which
        // ends soon.
        check(unsafe { libc::setns(handle.as_raw_fd(), libc::CLONE_NEWNET) })?;
        let tun =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        // SAFETY: all zeros is a valid `ifreq`.
        let mut request = unsafe { MaybeUninit::<libc::ifreq>::zeroed().assume_init() };
        for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
            *to = from.cast_signed();
        }
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags.try_into().map_err(io::Error::other)?;
        // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives until the call returns.
        check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
        // The checksum of a packet that never leaves the machine need not be computed.
        let offload = libc::TUN_F_CSUM | if segmented { libc::TUN_F_TSO4 } else { 0 };
        // SAFETY: TUNSETOFFLOAD takes a number.
        check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offload)) })?;
        Ok(tun)
    };
    // A thread of its own, since the namespace stays with the thread. The device stays where it was made.
    std::thread::scope(|scope| scope.spawn(in_namespace).join())
        .map_err(|_| io::Error::other("the thread that makes the device panicked"))?
}

/// Lets this thread wake when it asked to, not up to 50 µs later.
fn sleep_precisely() -> io::Result<()> {
    // SAFETY: the call takes numbers alone and changes the slack of this thread's timers alone.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) })
}

/// Waits until the device has a packet or the time is over.
fn wait_readable(device: &File, time: Option<Duration>) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = match time {
        Some(time) => Some(libc::timespec {
            tv_sec: time.as_secs().try_into().map_err(io::Error::other)?,
            tv_nsec: time.subsec_nanos().into(),
        }),
        None => None,
    };
    let limit = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the pointers are to one `pollfd` and to one `timespec` or null, and both live until the call
    // returns.
    match check(unsafe { libc::ppoll(&raw mut poll, 1, limit, std::ptr::null()) }) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}

/// Has SIGTERM and SIGINT wait until they are taken.
fn block_signals() -> io::Result<libc::sigset_t> {
    let mut signals = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set before anything else looks at it; the pointers live until the
    // calls return.
    unsafe {
        check(libc::sigemptyset(signals.as_mut_ptr()))?;
        let mut signals = signals.assume_init();
        check(libc::sigaddset(&raw mut signals, libc::SIGTERM))?;
        check(libc::sigaddset(&raw mut signals, libc::SIGINT))?;
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()))?;
        Ok(signals)
    }
}

/// Waits for one of the signals.
fn wait_for_end(signals: &libc::sigset_t) -> io::Result<()> {
    let mut signal = 0;
    // SAFETY: both pointers live until the call returns.
    match unsafe { libc::sigwait(std::ptr::from_ref(signals), &raw mut signal) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Turns the result of a system call into an error where it is -1.
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

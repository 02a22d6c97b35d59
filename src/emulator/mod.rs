//! Emulates the providers' APIs on a local port, over sparse files: for `serve`, for the remote `local:`, and
//! for tests.
//!
//! Rules of this module:
//!
//! - It shares no code with the client: shared code can be wrong on both sides at once. A test enforces this.
//! - It answers in the documented form and accepts every form that a manual or a real client uses.
//! - Faults are deliberate, counted, and dealt once each: see [`Faults`].
//! - State lives in files that several emulators may use at the same time; memory is only a cache of them.
//!
//! The state is in [`drives`] and [`account`], and the APIs over it are in [`elastic`] and [`cloudsigma`].
//! Joyent, which has no drives, is all in [`joyent`]. A connection ([`serve`], [`mod@line`], [`tls`]) carries
//! exchanges ([`exchange`]). An exchange is admitted by an account ([`tenant`]), then meets its fault or is
//! routed to a call ([`call`]), which answers ([`answer`]). The emulators of one process can be steered
//! together by [`fleet`], over HTTP by [`control`].

mod account;
mod answer;
mod auth;
mod body;
mod call;
mod clock;
mod cloudsigma;
mod config;
mod control;
mod data;
mod date;
mod dialect;
mod drives;
mod duration;
mod elastic;
mod exchange;
mod faults;
mod fleet;
mod form;
mod front;
mod hook;
mod joyent;
mod line;
mod log;
mod media;
mod properties;
mod serve;
mod service;
mod spoiled;
mod spotcloud;
mod store;
mod stream;
mod strict;
mod tenant;
#[cfg(test)]
mod tests;
mod tls;

pub use clock::FASTEST;
pub use config::{AccountConfig, Config};
pub use control::Control;
pub use dialect::Dialect;
pub use faults::{FaultKind, Faults, RuleInfo, RuleLimits};
pub use fleet::{Fleet, Member, Observer};
pub use hook::{Gate, Hook, Next, Operation, Seen, Stage};
pub use joyent::{fingerprint as ssh_fingerprint, is_of as signature_is_of};
pub use log::{Logged, Sink};
pub use spotcloud::is_signed as oauth_is_signed;
pub use tls::Tls;

use account::Accounts;
use clock::Clock;
use drives::Drives;
use exchange::Exchanges;
use faults::Dealer;
use hook::{Activity, Hooks};
use log::Log;
use service::Service;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The state that all calls of a provider of drives share.
struct Shared {
    provider: Dialect,
    /// The user that the account logs in with.
    login: String,
    /// The UUID that objects name as their owner.
    user: String,
    dealer: Arc<Dealer>,
    drives: Arc<Drives>,
    account: Accounts,
    /// Work that continues even if its client is gone.
    activity: Arc<Activity>,
}

/// A running emulator. It stops when dropped.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    scheme: &'static str,
    dealer: Arc<Dealer>,
    log: Arc<Log>,
    hooks: Arc<Hooks>,
    activity: Arc<Activity>,
    clock: Arc<Clock>,
    drives: Vec<Arc<Drives>>,
    /// Dropped to stop; the thread is then joined.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts an emulator on a thread of its own. It accepts connections when this returns.
    ///
    /// # Errors
    /// Fails if the address cannot be listened on, the data directory cannot be used, or the provider cannot
    /// be emulated.
    pub fn start(config: Config) -> io::Result<Emulator> {
        Self::start_on(TcpListener::bind(config.listen)?, config, Log::default())
    }

    /// Starts an emulator as [`Emulator::start`] does, and keeps a log of the requests.
    ///
    /// # Errors
    /// Fails as [`Emulator::start`] does.
    pub fn start_logged(config: Config) -> io::Result<Emulator> {
        Self::start_on(TcpListener::bind(config.listen)?, config, Log::kept())
    }

    fn start_on(listener: TcpListener, config: Config, log: Log) -> io::Result<Emulator> {
        let (log, dealer) = (Arc::new(log), Arc::new(Dealer::new(config.faults.clone())));
        let (provider, strict, tls) = (config.provider, config.strict, config.tls.clone());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (hooks, activity) = (Arc::new(Hooks::default()), Arc::new(Activity::default()));
        let clock = Arc::new(Clock::new(config.time_scale));
        let (tenants, drives) = Service::open_all(config, &dealer, &activity)?;
        let exchanges = Arc::new(Exchanges {
            provider,
            tenants,
            dealer: Arc::clone(&dealer),
            strict,
            pace: Mutex::default(),
            log: Arc::clone(&log),
            hooks: Arc::clone(&hooks),
            activity: Arc::clone(&activity),
            scheme,
        });

        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let workers = Arc::clone(&clock);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || workers.carry())
            .build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let (own, finished) = (Arc::clone(&clock), drives.clone());
        let thread = std::thread::Builder::new().name("emulator".to_owned()).spawn(move || {
            own.carry();
            runtime.block_on(serve::serve(listener, exchanges, tls, stopped));
            // Waits for the file operations under way, so that what was acknowledged is on disk, and counted.
            drop(runtime);
            for drives in finished {
                drives.finish();
            }
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Emulator { address, scheme, dealer, log, hooks, activity, clock, drives, stop, thread })
    }

    /// Returns the address that the emulator listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL, with a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    /// Returns how many requests were made to fail once, by faults of all kinds. Latency, rate and the
    /// refusals of an offset do not count.
    pub fn faults_dealt(&self) -> u64 {
        self.dealer.dealt()
    }

    /// Returns how many reads and writes failed because they covered an offset of `refuse=`.
    pub fn refusals(&self) -> u64 {
        self.dealer.refusals()
    }

    /// Returns how many reads and writes were answered as successful with wrong bytes:
    /// [`FaultKind::is_silent`].
    pub fn silent_faults(&self) -> u64 {
        self.dealer.silent()
    }

    /// Installs a hook that is called at every stage of every request from now on. It replaces the previous
    /// hook, and its counts start at zero.
    ///
    /// The body of a request is read whole, up to 96 MiB, before the hook is called. The connection of a
    /// longer request is reset.
    pub fn set_hook(&self, hook: impl Fn(&Seen) -> Next + Send + Sync + 'static) {
        self.hooks.set(Some(Arc::new(hook)));
    }

    /// Removes the hook. Requests that wait at a gate stay there.
    pub fn clear_hook(&self) {
        self.hooks.set(None);
    }

    /// Blocks until every connection made before has ended, and every call that they carried out is on the
    /// drives. Use it after a client's death. Returns false if that takes longer than `limit`, for example
    /// because a live client keeps a connection open.
    pub fn settle(&self, limit: Duration) -> bool {
        // Connections are accepted in order: once this one ends, those before it have been counted.
        let ended = TcpStream::connect_timeout(&self.address, limit).and_then(|mut last| {
            last.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
            last.shutdown(Shutdown::Write)?;
            io::copy(&mut last, &mut io::sink())
        });
        ended.is_ok() && self.activity.wait_for_none(limit)
    }

    /// Writes the drives' counters to their files, so that a copy of the data directory has them. They are
    /// also written when the emulator stops. Call it while nothing is written: see [`Emulator::settle`].
    ///
    /// # Errors
    /// Fails if a record cannot be written.
    pub fn save_counters(&self) -> io::Result<()> {
        self.drives.iter().try_for_each(|drives| drives.save_counters())
    }

    /// Returns the requests so far, oldest first; empty unless started by [`Emulator::start_logged`].
    pub fn log(&self) -> Vec<Logged> {
        self.log.all()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the emulator's thread panicked");
        }
    }
}

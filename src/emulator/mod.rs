//! The providers' APIs on a port of this machine, over sparse files: for `serve`, for the remote `local:`, and for
//! tests.
//!
//! Rules of this module:
//!
//! - It shares no code with the client: what both sides share, both can get wrong together. A test keeps it so.
//! - It answers the documented form and accepts every form that a manual or a real client uses.
//! - What goes wrong goes wrong on purpose, counted, and once: see [`Faults`].
//! - State lives in files that several emulators may use at the same time; memory is only a cache of them.
//!
//! The state is in [`drives`] and [`account`], the providers' ways with it in [`elastic`] and [`cloudsigma`]; Joyent,
//! which has no drives, has all of its own in [`joyent`]. A connection ([`serve`], [`mod@line`], [`tls`]) carries
//! exchanges ([`exchange`]); an exchange is let in by an account ([`tenant`]), meets its fault or is routed to a call
//! ([`call`]), which answers ([`answer`]). The emulators of one process can be steered together: [`fleet`], over HTTP by
//! [`control`].

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

/// What all calls of a provider of drives share.
struct Shared {
    provider: Dialect,
    /// What the account signs in with.
    login: String,
    /// The UUID that objects are marked with as their owner's.
    user: String,
    dealer: Arc<Dealer>,
    drives: Arc<Drives>,
    account: Accounts,
    /// Work that goes on although its client may be gone.
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
    /// The address cannot be listened on, the data directory cannot be used, or the provider cannot be emulated.
    pub fn start(config: Config) -> io::Result<Emulator> {
        Self::start_on(TcpListener::bind(config.listen)?, config, Log::default())
    }

    /// As [`Emulator::start`], and keeps a log of the requests.
    ///
    /// # Errors
    /// Those of [`Emulator::start`].
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
            // Waits for the file work under way, so that what was acknowledged is on disk, and counted.
            drop(runtime);
            for drives in finished {
                drives.finish();
            }
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Emulator { address, scheme, dealer, log, hooks, activity, clock, drives, stop, thread })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The stem of its URLs, with a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    /// How many requests were made to fail once, by faults of all kinds together. Neither latency and rate nor the
    /// refusals of an offset count.
    pub fn faults_dealt(&self) -> u64 {
        self.dealer.dealt()
    }

    /// How many reads and writes failed because they covered an offset of `refuse=`.
    pub fn refusals(&self) -> u64 {
        self.dealer.refusals()
    }

    /// How many reads and writes were answered as if they had succeeded and got bytes wrong: [`FaultKind::is_silent`].
    pub fn silent_faults(&self) -> u64 {
        self.dealer.silent()
    }

    /// Has a hook called at every stage of every request from now on, instead of the one before. Its counts begin anew.
    ///
    /// The body of a request is read whole, up to 96 MiB, before the hook is told of it; a connection whose request is
    /// longer is reset.
    pub fn set_hook(&self, hook: impl Fn(&Seen) -> Next + Send + Sync + 'static) {
        self.hooks.set(Some(Arc::new(hook)));
    }

    /// Takes the hook away. Requests that wait at a gate stay there.
    pub fn clear_hook(&self) {
        self.hooks.set(None);
    }

    /// Blocks until every connection that was made before has ended, and everything that came over them and was carried
    /// out at all is on the drives: for after a client's death. False if that is not so within `limit`, as while a client
    /// that is alive keeps a connection open.
    pub fn settle(&self, limit: Duration) -> bool {
        // Connections are accepted in order: when this one ends, those before it were counted.
        let ended = TcpStream::connect_timeout(&self.address, limit).and_then(|mut last| {
            last.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
            last.shutdown(Shutdown::Write)?;
            io::copy(&mut last, &mut io::sink())
        });
        ended.is_ok() && self.activity.wait_for_none(limit)
    }

    /// Writes the drives' counters to their files, so that a copy of the data directory has them; they are written when the
    /// emulator stops too. Meant for while nothing is written: see [`Emulator::settle`].
    ///
    /// # Errors
    /// A record cannot be written.
    pub fn save_counters(&self) -> io::Result<()> {
        self.drives.iter().try_for_each(|drives| drives.save_counters())
    }

    /// The requests so far, oldest first; empty unless started by [`Emulator::start_logged`].
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

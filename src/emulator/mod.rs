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
//! exchanges ([`exchange`]); an exchange is authenticated, meets its fault or is routed to a call ([`call`]), which
//! answers ([`answer`]).

mod account;
mod answer;
mod auth;
mod body;
mod call;
mod clock;
mod cloudsigma;
mod data;
mod date;
mod dialect;
mod drives;
mod elastic;
mod exchange;
mod faults;
mod form;
mod front;
mod hook;
mod joyent;
mod line;
mod log;
mod media;
mod properties;
mod serve;
mod spoiled;
mod spotcloud;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub use dialect::Dialect;
pub use faults::{FaultKind, Faults};
pub use hook::{Gate, Hook, Next, Operation, Seen, Stage};
pub use joyent::{fingerprint as ssh_fingerprint, is_of as signature_is_of};
pub use log::Logged;
pub use spotcloud::is_signed as oauth_is_signed;
pub use tls::Tls;

use account::{Accounts, Costs, Money};
use axum::Router;
use call::Calls;
use drives::{Drives, Offer};
use exchange::Exchanges;
use faults::Dealer;
use front::Front;
use hook::{Activity, Hooks};
use line::Pace;
use log::Log;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// What to emulate, and where.
#[derive(Clone)]
pub struct Config {
    /// Whose API.
    pub provider: Dialect,
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The directory that the account's drives and servers are kept in; made if it is not there.
    pub data: PathBuf,
    /// The account's user: a UUID, or CloudSigma's e-mail address.
    pub user: String,
    /// The account's API key or password.
    pub secret: String,
    /// What goes wrong.
    pub faults: Faults,
    /// Names and public keys, as in a `.pub` file, that a Joyent account signs requests with; others have none.
    pub keys: Vec<(String, String)>,
    /// What the listener shows where it speaks TLS.
    pub tls: Option<Tls>,
    /// Keys of appliances that a `SpotCloud` account has, and the files that they are; others have none.
    pub appliances: Vec<(String, PathBuf)>,
}

impl Config {
    /// A provider on a free port of loopback, over a directory, for one account; without faults, keys or TLS.
    pub fn new(
        provider: impl Into<Dialect>,
        data: impl Into<PathBuf>,
        user: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        Config {
            provider: provider.into(),
            listen: ([127, 0, 0, 1], 0).into(),
            data: data.into(),
            user: user.into(),
            secret: secret.into(),
            faults: Faults::default(),
            keys: Vec::new(),
            tls: None,
            appliances: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the secret.
        let Config { provider, listen, data, user, faults, .. } = self;
        write!(f, "Config {{ {provider} on {listen} over {}, user {user}, {faults:?} }}", data.display())
    }
}

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
    drives: Option<Arc<Drives>>,
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
        Self::start_with(config, Log::default())
    }

    /// As [`Emulator::start`], and keeps a log of the requests.
    ///
    /// # Errors
    /// Those of [`Emulator::start`].
    pub fn start_logged(config: Config) -> io::Result<Emulator> {
        Self::start_with(config, Log::kept())
    }

    fn start_with(config: Config, log: Log) -> io::Result<Emulator> {
        let (log, dealer) = (Arc::new(log), Arc::new(Dealer::new(config.faults.clone())));
        let (listen, faults, tls) = (config.listen, config.faults.clone(), config.tls.clone());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (hooks, activity) = (Arc::new(Hooks::default()), Arc::new(Activity::default()));
        let Service { front, router, drives } = Service::open(config, &dealer, &activity)?;
        let exchanges = Arc::new(Exchanges {
            front,
            router,
            dealer: Arc::clone(&dealer),
            latency: faults.latency,
            log: Arc::clone(&log),
            hooks: Arc::clone(&hooks),
            activity: Arc::clone(&activity),
            scheme,
        });

        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let (rate, finished) = (faults.rate, drives.clone());
        let thread = std::thread::Builder::new().name("emulator".to_owned()).spawn(move || {
            let pace = rate.map(|rate| Arc::new(Pace::new(rate)));
            runtime.block_on(serve::serve(listener, exchanges, pace, tls, stopped));
            // Waits for the file work under way, so that what was acknowledged is on disk, and counted.
            drop(runtime);
            if let Some(drives) = finished {
                drives.finish();
            }
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Emulator { address, scheme, dealer, log, hooks, activity, drives, stop, thread })
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
        self.drives.as_ref().map_or(Ok(()), |drives| drives.save_counters())
    }

    /// The requests so far, oldest first; empty unless started by [`Emulator::start_logged`].
    pub fn log(&self) -> Vec<Logged> {
        self.log.all()
    }
}

/// One provider's side of the emulator.
struct Service {
    front: Box<dyn Front>,
    router: Router,
    /// Finished before the emulator ends.
    drives: Option<Arc<Drives>>,
}

impl Service {
    fn open(config: Config, dealer: &Arc<Dealer>, activity: &Arc<Activity>) -> io::Result<Self> {
        let (calls, offers) = match config.provider {
            Dialect::OpenHosting | Dialect::Crosspeer => {
                (elastic::calls(), Offer::of(&config.provider.to_string()))
            }
            Dialect::CloudSigma => (cloudsigma::calls(), Offer::of(&config.provider.to_string())),
            Dialect::Joyent => return joyent::open(config),
            Dialect::SpotCloud => return spotcloud::open(config, dealer),
        };
        Self::elastic(config, dealer, activity, calls, offers)
    }

    /// A provider of drives.
    fn elastic(
        config: Config,
        dealer: &Arc<Dealer>,
        activity: &Arc<Activity>,
        calls: Calls,
        offers: Vec<Offer>,
    ) -> io::Result<Self> {
        let drives = Arc::new(Drives::open(&config.data, offers)?);
        let limit = config.faults.balance.map(Money);
        let bills = config.provider == Dialect::CloudSigma || limit.is_some();
        let costs = Costs { drives: Arc::clone(&drives), bills, limit };
        let account = Accounts::open(config.data.join("account.json"), costs)?;
        let credentials = auth::Credentials::new(&config.user, &config.secret);
        let shared = Arc::new(Shared {
            provider: config.provider,
            user: owner(&config.user),
            login: config.user,
            dealer: Arc::clone(dealer),
            drives: Arc::clone(&drives),
            account,
            activity: Arc::clone(activity),
        });
        Ok(Service {
            front: Box::new(front::Elastic { provider: config.provider, credentials }),
            router: calls.into_router(shared),
            drives: Some(drives),
        })
    }
}

/// The UUID of a user: the login itself where it is one, else one made from it, so that it is the same every time.
fn owner(login: &str) -> String {
    if drives::is_uuid(login) {
        return login.to_owned();
    }
    let half = |seed| login.bytes().fold(seed, |all, byte| faults::mix(all ^ u64::from(byte)));
    uuid::Uuid::from_u64_pair(half(1), half(2)).to_string()
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

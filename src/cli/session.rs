//! From a remote's name to something that can be talked to.

use super::Global;
use super::options::TransferOptions;
use super::output::Output;
use super::progress::Progress;
use super::signals;
use crate::config::{Config, Dirs, Endpoint, Environment, Remote};
use crate::emulator::{self, Emulator, Faults};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::job::Far;
use crate::meters::Meters;
use crate::stop::Stop;
use crate::transfer::{Context, concurrency, workers};
use crate::transport::client::{Basic, Client, Options};
use crate::transport::drives::Drives;
use crate::transport::retry::Retry;
use std::sync::{Arc, Mutex, PoisonError};

/// The user of the emulator behind `local:`.
pub const LOCAL_USER: &str = "6e5b0f0e-1f1b-4b8e-8d2e-10ca11057000";

/// Everything that a command on a remote needs.
pub struct Session {
    /// The far end.
    pub far: Far,
    /// Its client, for calls that are not about the bytes of a drive.
    pub client: Client,
    /// What transfers need.
    pub context: Context,
    /// Where files are kept.
    pub dirs: Dirs,
    progress: Arc<Mutex<Option<Progress>>>,
    /// The emulator behind `local:`, which ends with the session.
    _emulator: Option<Emulator>,
}

impl Session {
    /// Opens a remote; `None` is the default one.
    pub fn open(
        remote: Option<&str>,
        options: &TransferOptions,
        global: &Global,
        output: &Output,
    ) -> Result<Self> {
        let env = Environment::process();
        let dirs = Dirs::from_environment(&env)?;
        let config = Config::load(global.config.as_deref(), &env)?;
        for warning in config.warnings() {
            output.warn(warning);
        }
        let remote = if let Some(name) = remote {
            config.remote(name)?
        } else {
            let default = config.default_remote()?;
            if default.nothing_configured {
                output.note("no remote is configured: using local:, the emulator inside this program");
            }
            config.remote(&default.name)?
        };
        let meters = Arc::new(Meters::default());
        let stop = signals::stop_on_signals(output);
        let slots = concurrency(options.concurrency.0, options.chunk_size, workers());
        let progress: Arc<Mutex<Option<Progress>>> = Arc::default();
        let observer = observer(output, &meters, &progress, slots);
        let (remote, account, emulator) = reach(remote, &dirs)?;
        let client = client(&remote, &env, options, slots, &meters)?;
        let retry = Retry {
            retries: options.retries,
            observer: observer.clone(),
            meters: meters.clone(),
            stop: stop.clone(),
        };
        let context = context(observer, meters, stop, retry.clone(), slots);
        let far = Far { remote: remote.name.clone(), account, drives: Drives::new(client.clone(), retry)? };
        Ok(Self { far, client, context, dirs, progress, _emulator: emulator })
    }

    /// Ends the drawing of progress.
    pub fn settle(&self) {
        drop(self.progress.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn context(observer: Observer, meters: Arc<Meters>, stop: Stop, retry: Retry, slots: usize) -> Context {
    Context { observer, meters, stop, retry, concurrency: slots, workers: workers() }
}

/// Hands events to the output; the plan of a transfer starts its progress.
fn observer(
    output: &Output,
    meters: &Arc<Meters>,
    progress: &Arc<Mutex<Option<Progress>>>,
    slots: usize,
) -> Observer {
    let (output, meters, progress) = (output.clone(), Arc::clone(meters), Arc::clone(progress));
    Arc::new(move |event| {
        output.observe(event);
        if let Event::Plan(plan) = event
            && !plan.dry_run
        {
            let verify_total = match &*plan.verify {
                "full" => plan.size,
                "sample" => plan.chunk_size * plan.chunks_total.div_ceil(100).max(8).min(plan.chunks_total),
                _ => 0,
            };
            let started = Progress::start(&output, &meters, plan.size, verify_total, slots);
            *progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
    })
}

/// A remote with an address: behind `local:` an emulator is started. Also says what account it is, for journals.
fn reach(remote: Remote, dirs: &Dirs) -> Result<(Remote, String, Option<Emulator>)> {
    let url = match &remote.endpoint {
        Endpoint::Url(url) => {
            let account = format!("{url} {}", remote.user.as_deref().unwrap_or_default());
            return Ok((remote, account, None));
        }
        Endpoint::Local => dirs.local(),
    };
    let secret = uuid::Uuid::new_v4().to_string();
    let emulator = Emulator::start(emulator::Config {
        provider: remote.provider,
        listen: ([127, 0, 0, 1], 0).into(),
        data: url.clone(),
        user: LOCAL_USER.to_owned(),
        secret: secret.clone(),
        faults: Faults::default(),
        keys: Vec::new(),
        tls: None,
    })
    .map_err(|e| Error::io(format!("starting local: over {}", url.display()), e))?;
    let base =
        emulator.url().parse().map_err(|e| Error::new(Kind::Io, "local: has no usable address").source(e))?;
    let remote = remote.at(base).with_credentials(LOCAL_USER, secret.into());
    Ok((remote, "local".to_owned(), Some(emulator)))
}

fn client(
    remote: &Remote,
    env: &Environment,
    options: &TransferOptions,
    slots: usize,
    meters: &Arc<Meters>,
) -> Result<Client> {
    remote.check_plain_http()?;
    let user = remote.user.clone().ok_or_else(|| {
        Error::new(Kind::Auth, format!("remote {} ({}) has no user", remote.name, remote.origin))
            .hint(format!("add user to [remotes.{}]", remote.name))
    })?;
    let basic = Basic { user, secret: remote.secret(env)? };
    let ca_pem = match &remote.ca_file {
        Some(path) => Some(
            std::fs::read(path).map_err(|e| Error::io(format!("reading ca_file {}", path.display()), e))?,
        ),
        None => None,
    };
    let options = Options { idle: options.timeout, bwlimit: options.bwlimit, ca_pem, connections: slots };
    Client::new(remote.provider, remote.url_for("")?, Some(&basic), &options, Arc::clone(meters))
}

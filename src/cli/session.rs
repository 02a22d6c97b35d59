//! Sessions: connections to remotes, and what a command needs besides.

use super::Global;
use super::credentials::{auth_of, bearer};
use super::drive::DRIVE;
use super::far::Opening;
use super::leftover::{Consent, Leftover, Leftovers};
use super::noun::{is_uuid, only_one};
use super::options::TransferOptions;
use super::output::Output;
use super::progress::{Group, Progress};
use super::signals;
use super::writing::{ResumeOptions, WriteOptions};
use crate::auth::Auth;
use crate::config::{self, Config, Dirs, Endpoint, Environment, Object, Remote, Service};
use crate::disk::elastic::drives::Drives;
use crate::disk::store::Store;
use crate::emulator::{self, Emulator};
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::job::{RemoteStore, Settings};
use crate::meters::Meters;
use crate::provider::catalogue::secret::Redactor;
use crate::transport::client::{Client, Options};
use crate::transport::limit::Bandwidth;
use crate::transport::retry::Retry;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The user of the emulator behind `local:`.
pub const LOCAL_USER: &str = "6e5b0f0e-1f1b-4b8e-8d2e-10ca11057000";

/// A remote, and what a command on it needs.
pub struct Session {
    /// The remote.
    pub end: OpenRemote,
    /// The context of transfers.
    pub context: Context,
    /// The directories in which files are kept.
    pub dirs: Dirs,
    /// Drives that are left unused when a transfer starts over.
    pub leftovers: Leftovers,
    progress: Arc<Mutex<Option<Progress>>>,
    redactor: Redactor,
    opener: Opener,
}

/// A connection to a remote.
pub struct OpenRemote {
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user, or `local`.
    pub account: String,
    /// The provider's name.
    pub provider: &'static str,
    /// The one layer that retries requests.
    pub retry: Retry,
    behind: Behind,
}

/// The error if a command names no object.
pub struct Missing {
    what: &'static str,
    hint: &'static str,
}

/// For commands that need a drive.
pub const NO_DRIVE: Missing =
    Missing { what: "no drive is named", hint: "name a drive, as in `REMOTE:DRIVE`" };

/// For commands that accept a drive or an appliance.
pub const NOTHING: Missing = Missing {
    what: "no drive or appliance is named",
    hint: "name one, as in `REMOTE:DRIVE` or `REMOTE:appliance/KEY`",
};

/// The kind of a connection.
enum Behind {
    /// An API of calls.
    Api {
        client: Client,
        /// The emulator behind `local:`, which stops when this is dropped.
        emulator: Option<Arc<Emulator>>,
    },
    /// Disks without an API of calls.
    Disks(Box<Opening>),
    /// No remote: the command only concerns this machine and its stores.
    Nothing,
}

impl OpenRemote {
    /// Returns the remote's client.
    ///
    /// # Errors
    /// A usage error if the remote has disks but no API calls.
    pub fn client(&self) -> Result<&Client> {
        match &self.behind {
            Behind::Api { client, .. } => Ok(client),
            Behind::Disks(opening) => Err(opening.no_calls()),
            Behind::Nothing => Err(Error::usage("no remote is named")),
        }
    }

    /// Returns the same remote over the same connections, with the meters and retries of one of several
    /// transfers.
    pub fn under(&self, context: &Context) -> Self {
        let (meters, retry) = (Arc::clone(&context.meters), context.retry.clone());
        let behind = match &self.behind {
            Behind::Api { client, emulator } => {
                Behind::Api { client: client.counted(meters), emulator: emulator.clone() }
            }
            Behind::Disks(opening) => {
                Behind::Disks(Box::new(Opening { meters, retry: retry.clone(), ..(**opening).clone() }))
            }
            Behind::Nothing => Behind::Nothing,
        };
        Self {
            remote: self.remote.clone(),
            account: self.account.clone(),
            provider: self.provider,
            retry,
            behind,
        }
    }

    /// Returns the remote's drives, for operations that only drives have.
    ///
    /// # Errors
    /// A usage error if the provider has no drives.
    pub fn drives(&self) -> Result<Drives> {
        Drives::new(self.client()?.clone(), self.retry.clone())
    }

    /// Returns the remote's disks for a job, and the name of the disk that `object` names. Without an object,
    /// the name is that of the disk that needs none, such as an NBD server's default export, if there is such
    /// a disk.
    pub async fn far(&self, object: Option<&Object>) -> Result<(RemoteStore, Option<String>)> {
        let (store, disk): (Arc<dyn Store>, _) = match &self.behind {
            Behind::Api { .. } => {
                let drives = self.drives()?;
                let disk = match object {
                    Some(object) => Some(self.drive_id(object).await?),
                    None => None,
                };
                (Arc::new(drives), disk)
            }
            Behind::Disks(opening) => opening.store(object)?,
            Behind::Nothing => return Err(Error::usage("no remote is named")),
        };
        Ok((RemoteStore { remote: self.remote.clone(), account: self.account.clone(), store }, disk))
    }

    /// Like [`OpenRemote::far`], but fails with `missing` if no disk is named.
    pub async fn far_disk(
        &self,
        object: Option<&Object>,
        missing: &Missing,
    ) -> Result<(RemoteStore, String)> {
        let (far, disk) = self.far(object).await?;
        let disk = disk.ok_or_else(|| Error::usage(missing.what).hint(missing.hint))?;
        Ok((far, disk))
    }

    /// Replaces a drive's name by its id, if the remote has an API.
    pub async fn identified(&self, object: &Object) -> Result<Object> {
        match (&self.behind, object) {
            (Behind::Api { .. }, Object::Drive(_) | Object::Named(_)) => {
                self.drive_id(object).await.map(Object::Drive)
            }
            _ => Ok(object.clone()),
        }
    }

    /// Returns the id of a drive: a UUID as it is, or the id of the one drive with this name.
    pub async fn drive_id(&self, object: &Object) -> Result<String> {
        let text = match object {
            Object::Drive(text) | Object::Named(text) => text,
            Object::Appliance(_) => {
                return Err(Error::usage("an appliance is named where a drive is needed")
                    .hint("name a drive, as in `REMOTE:DRIVE`"));
            }
        };
        if is_uuid(text) {
            return Ok(text.clone());
        }
        let drives = self.drives()?.list().await?.into_iter().map(|drive| (drive.drive, drive.name));
        only_one(&DRIVE, text, &self.remote, &drives.collect::<Vec<_>>())
    }
}

/// Opens remotes.
struct Opener {
    env: Environment,
    config: Config,
    options: TransferOptions,
    bandwidth: Bandwidth,
}

impl Session {
    /// Opens a remote, or the default one for `None`.
    pub async fn open(
        remote: Option<&str>,
        options: &TransferOptions,
        global: &Global,
        output: &Output,
    ) -> Result<Self> {
        let mut session = Self::without_remote(options, global, output)?;
        let config = &session.opener.config;
        let remote = if let Some(name) = remote {
            config.remote(name)?
        } else {
            let default = config.default_remote()?;
            if default.nothing_configured {
                output.note("no remote is configured: using `local:`, the emulator inside this program");
            }
            config.remote(&default.name)?
        };
        session.end = session.opener.end(remote, &session.dirs, &session.context, output).await?;
        Ok(session)
    }

    /// Returns a session without a remote, for commands that only concern this machine and its stores.
    pub fn without_remote(options: &TransferOptions, global: &Global, output: &Output) -> Result<Self> {
        let env = Environment::process();
        let dirs = Dirs::from_environment(&env)?;
        let config = Config::load(global.config.as_deref(), &env)?;
        for warning in config.warnings() {
            output.warn(warning);
        }
        let meters = Arc::new(Meters::default());
        let stop = signals::stop_on_signals(output);
        let bandwidth =
            options.bwlimit.map_or_else(Bandwidth::default, |rates| Bandwidth::new(rates.0, rates.1));
        signals::throttles(&bandwidth);
        let progress: Arc<Mutex<Option<Progress>>> = Arc::default();
        let leftovers = Leftovers::new(global.config.clone());
        let observer = observer(output, &meters, &progress, &leftovers, None);
        let context = Context::new(meters, observer, stop, options.retries, options.concurrency.0);
        let context = Context { in_use: options.if_in_use, ..context };
        let context = match &options.report {
            Some(path) => output.reporting().begin(path, context)?,
            None => context,
        };
        let opener = Opener { env, config, options: options.clone(), bandwidth };
        let (remote, account, retry) = (String::new(), String::new(), context.retry.clone());
        let end = OpenRemote { remote, account, provider: "", retry, behind: Behind::Nothing };
        Ok(Self { end, context, dirs, leftovers, progress, redactor: output.redactor().clone(), opener })
    }

    /// Opens another remote with the same meters.
    pub async fn another(&self, remote: &str, output: &Output) -> Result<OpenRemote> {
        let remote = self.opener.config.remote(remote)?;
        self.opener.end(remote, &self.dirs, &self.context, output).await
    }

    /// Returns the settings of a job from the options of its command. Tickets in the command line have to be
    /// known to the redactor by now: journals store the command, which must not contain secrets.
    pub fn settings(&self, options: &TransferOptions, resume: ResumeOptions) -> Settings {
        let settings = options.settings(resume, &self.dirs);
        let command = self.redactor.redact(&settings.command).into_owned();
        Settings { command, ..settings }
    }

    /// Sets whether drives that are left unused when a transfer starts over may be destroyed, and whether to
    /// ask first.
    pub fn allow_destroying(&self, write: &WriteOptions, transfer: &TransferOptions) {
        self.leftovers.allow(match (transfer.dry_run, write.yes) {
            (true, _) => Consent::No,
            (false, true) => Consent::Yes,
            (false, false) => Consent::Ask,
        });
    }

    /// Stops drawing progress.
    pub fn settle(&self) {
        drop(self.progress.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Returns an observer that passes events to the output. The plan of a transfer starts its progress.
pub fn observer(
    output: &Output,
    meters: &Arc<Meters>,
    progress: &Arc<Mutex<Option<Progress>>>,
    leftovers: &Leftovers,
    group: Option<Group>,
) -> Observer {
    let (output, meters, progress) = (output.clone(), Arc::clone(meters), Arc::clone(progress));
    let leftovers = leftovers.clone();
    Arc::new(move |event| {
        output.observe(event);
        if let Event::Leftover { remote, disk, transfer, generation, may_succeed } = event {
            let left = Leftover {
                remote: remote.clone(),
                drive: disk.clone(),
                transfer: transfer.clone(),
                generation: generation.clone(),
            };
            // Nobody can be asked while other members of a set are running.
            leftovers.tell(left, *may_succeed, group.is_none(), &output);
        }
        if let Event::Plan(plan) = event
            && !plan.dry_run
        {
            let started = Progress::start(&output, &meters, plan, group.as_ref());
            *progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
    })
}

/// Resolves a remote to one with an address, and starts the emulator for `local:`. Also returns the account's
/// name for journals.
fn reach(remote: Remote, dirs: &Dirs) -> Result<(Remote, String, Option<Emulator>)> {
    let url = match &remote.endpoint {
        Endpoint::Url(url) => {
            let user = [&remote.user, &remote.account, &remote.token].into_iter().flatten().next();
            let account = format!("{url} {}", user.map_or("", String::as_str));
            return Ok((remote, account, None));
        }
        Endpoint::Local => dirs.local(),
    };
    config::private_directory(&url)
        .map_err(|e| Error::io(format!("making {} its owner's alone", url.display()), e))?;
    let secret = uuid::Uuid::new_v4().to_string();
    let emulator = Emulator::start(emulator::Config::new(
        remote.provider.api()?,
        url.clone(),
        LOCAL_USER,
        secret.clone(),
    ))
    .map_err(|e| Error::io(format!("starting local: over {}", url.display()), e))?;
    let base =
        emulator.url().parse().map_err(|e| Error::new(Kind::Io, "local: has no usable address").source(e))?;
    let remote = remote.at(base).with_credentials(LOCAL_USER, secret.into());
    Ok((remote, "local".to_owned(), Some(emulator)))
}

impl Opener {
    async fn end(
        &self,
        remote: Remote,
        dirs: &Dirs,
        context: &Context,
        output: &Output,
    ) -> Result<OpenRemote> {
        let (remote, account, emulator) = reach(remote, dirs)?;
        let retry = context.retry.clone();
        let slots = context.most_in_flight();
        let behind = match remote.provider {
            Service::Api(_) => {
                let auth = auth_of(&remote, &self.env, output).await?;
                let client = client(&remote, auth, &self.options, &self.bandwidth, slots, &context.meters)?;
                Behind::Api { client, emulator: emulator.map(Arc::new) }
            }
            Service::Disks(far_end) => {
                let secret = bearer(&remote, &self.env, output)?;
                let options = http_options(&remote, &self.options, &self.bandwidth, slots)?;
                let meters = Arc::clone(&context.meters);
                let Endpoint::Url(url) = remote.endpoint else {
                    return Err(Error::usage(format!("{}: has no url", remote.name)));
                };
                Behind::Disks(Box::new(Opening {
                    far_end,
                    url,
                    secret,
                    allow_http: remote.allow_http,
                    redactor: output.redactor().clone(),
                    options,
                    meters,
                    retry: retry.clone(),
                }))
            }
        };
        Ok(OpenRemote { remote: remote.name, account, provider: remote.provider.name(), retry, behind })
    }
}

/// Creates the client of a remote.
pub fn client(
    remote: &Remote,
    auth: Auth,
    options: &TransferOptions,
    bandwidth: &Bandwidth,
    slots: usize,
    meters: &Arc<Meters>,
) -> Result<Client> {
    let options = http_options(remote, options, bandwidth, slots)?;
    Client::new(remote.provider.api()?, remote.url_for("")?, auth, &options, Arc::clone(meters))
}

fn http_options(
    remote: &Remote,
    options: &TransferOptions,
    bandwidth: &Bandwidth,
    slots: usize,
) -> Result<Options> {
    remote.check_plain_http()?;
    let read = |path| {
        std::fs::read(path).map_err(|e| Error::io(format!("reading ca_file {}", Path::display(path)), e))
    };
    let ca_pem = remote.ca_file.as_deref().map(read).transpose()?;
    Ok(Options {
        idle: options.timeout,
        bandwidth: bandwidth.clone(),
        ca_pem,
        connections: slots,
        socket: None,
    })
}

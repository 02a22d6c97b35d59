//! From a remote's name to something that can be talked to.

use super::Global;
use super::credentials::{auth_of, bearer};
use super::drive::DRIVE;
use super::far::Opening;
use super::leftover::{Consent, Leftovers};
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
use crate::job::{Far, Settings};
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
    pub end: End,
    /// What transfers need.
    pub context: Context,
    /// Where files are kept.
    pub dirs: Dirs,
    /// Drives that starting over leaves unused.
    pub leftovers: Leftovers,
    progress: Arc<Mutex<Option<Progress>>>,
    redactor: Redactor,
    opener: Opener,
}

/// A remote that can be talked to.
pub struct End {
    /// The remote's name.
    pub remote: String,
    /// Its address and user, or `local`.
    pub account: String,
    /// Its provider's name.
    pub provider: &'static str,
    /// The one retry layer.
    pub retry: Retry,
    behind: Behind,
}

/// How it is said that nothing is named.
pub struct Missing {
    what: &'static str,
    hint: &'static str,
}

/// Where only a drive will do.
pub const NO_DRIVE: Missing =
    Missing { what: "no drive is named", hint: "name a drive, as in `REMOTE:DRIVE`" };

/// Where an appliance will do, too.
pub const NOTHING: Missing = Missing {
    what: "no drive or appliance is named",
    hint: "name one, as in `REMOTE:DRIVE` or `REMOTE:appliance/KEY`",
};

/// What is behind a remote.
enum Behind {
    /// An API.
    Api {
        client: Client,
        /// The emulator behind `local:`, which ends with this.
        emulator: Option<Arc<Emulator>>,
    },
    /// Disks alone.
    Disks(Box<Opening>),
    /// Nothing: the command is about this machine and its stores.
    Nothing,
}

impl End {
    /// Its client; a usage error if it has disks alone.
    pub fn client(&self) -> Result<&Client> {
        match &self.behind {
            Behind::Api { client, .. } => Ok(client),
            Behind::Disks(opening) => Err(opening.no_calls()),
            Behind::Nothing => Err(Error::usage("no remote is named")),
        }
    }

    /// The same remote, over the same connections, for one of several transfers.
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

    /// Its drives, for what only they have; a usage error if its provider has none.
    pub fn drives(&self) -> Result<Drives> {
        Drives::new(self.client()?.clone(), self.retry.clone())
    }

    /// Its disks, for a job, and the one that is named. Where no new one can be made and none is named, it is the one that needs
    /// no name.
    pub async fn far(&self, object: Option<&Object>) -> Result<(Far, Option<String>)> {
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
        Ok((Far { remote: self.remote.clone(), account: self.account.clone(), store }, disk))
    }

    /// The same where a disk has to be named; `missing` is the error if none is.
    pub async fn far_disk(&self, object: Option<&Object>, missing: &Missing) -> Result<(Far, String)> {
        let (far, disk) = self.far(object).await?;
        let disk = disk.ok_or_else(|| Error::usage(missing.what).hint(missing.hint))?;
        Ok((far, disk))
    }

    /// The object with the id of its drive in place of the drive's name, where the remote has an API.
    pub async fn identified(&self, object: &Object) -> Result<Object> {
        match (&self.behind, object) {
            (Behind::Api { .. }, Object::Drive(_) | Object::Named(_)) => {
                self.drive_id(object).await.map(Object::Drive)
            }
            _ => Ok(object.clone()),
        }
    }

    /// The id of a drive: a UUID as it is, or that of the one drive that has this name.
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

/// Reaches remotes.
struct Opener {
    env: Environment,
    config: Config,
    options: TransferOptions,
    bandwidth: Bandwidth,
}

impl Session {
    /// Opens a remote; `None` is the default one.
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

    /// What a command needs that is about this machine and its stores.
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
        let end = End { remote, account, provider: "", retry, behind: Behind::Nothing };
        Ok(Self { end, context, dirs, leftovers, progress, redactor: output.redactor().clone(), opener })
    }

    /// Reaches another remote, under the same meters.
    pub async fn another(&self, remote: &str, output: &Output) -> Result<End> {
        let remote = self.opener.config.remote(remote)?;
        self.opener.end(remote, &self.dirs, &self.context, output).await
    }

    /// What a job is told by the options of its command. A ticket in the command line has to be known by now: journals keep the
    /// command, and no secret.
    pub fn settings(&self, options: &TransferOptions, resume: ResumeOptions) -> Settings {
        let settings = options.settings(resume, &self.dirs);
        let command = self.redactor.redact(&settings.command).into_owned();
        Settings { command, ..settings }
    }

    /// Lets drives be destroyed that starting over leaves unused: without asking, if the options say so.
    pub fn allow_destroying(&self, write: &WriteOptions, transfer: &TransferOptions) {
        self.leftovers.allow(match (transfer.dry_run, write.yes) {
            (true, _) => Consent::No,
            (false, true) => Consent::Yes,
            (false, false) => Consent::Ask,
        });
    }

    /// Ends the drawing of progress.
    pub fn settle(&self) {
        drop(self.progress.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Hands events to the output; the plan of a transfer starts its progress.
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
        if let Event::Leftover { remote, disk } = event {
            // Beside other members of a set nobody can be asked.
            leftovers.tell(remote, disk, group.is_none(), &output);
        }
        if let Event::Plan(plan) = event
            && !plan.dry_run
        {
            let started = Progress::start(&output, &meters, plan, group.as_ref());
            *progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
    })
}

/// A remote with an address: behind `local:` an emulator is started. Also says what account it is, for journals.
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
    async fn end(&self, remote: Remote, dirs: &Dirs, context: &Context, output: &Output) -> Result<End> {
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
        Ok(End { remote: remote.name, account, provider: remote.provider.name(), retry, behind })
    }
}

/// The client of a remote.
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

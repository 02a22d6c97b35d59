//! `diskferry serve`: the emulator, for trying things out and for tests.

use super::options::parse;
use super::output::Output;
use super::signals;
use crate::config;
use crate::emulator::{Config, Emulator, Faults, Tls};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The providers that are emulated, with the ports that they listen on where no address is given.
const EMULATED: [(Provider, u16); 5] = [
    (Provider::OpenHosting, 8701),
    (Provider::Crosspeer, 8702),
    (Provider::CloudSigma, 8703),
    (Provider::SpotCloud, 8704),
    (Provider::Joyent, 8705),
];

/// The user where none is given.
const USER: &str = "11111111-1111-4111-8111-111111111111";

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints `PROVIDER URL` on stdout for each listener once it accepts connections, and runs until \
                        it is stopped.\n\n\
                        FAULTS is a comma list: error=0.1 for a mix of all kinds, or one by one busy=, unavailable=, \
                        reset=, short=, stall= (shares of the requests), latency=20ms, rate=10M (bytes a second), \
                        refuse=OFFSET (that chunk always fails), dirty=1 (share of new drives that do not read as \
                        zero), balance=AMOUNT (what the account has left), seed=7. Of appliances: ranges=yes|no|wrong, \
                        etag=yes|no|changing, redirect= (share of the downloads).\n\n\
                        Wrong answers, as shares of the requests that can meet them: drop= (writes acknowledged and not \
                        written), misplace= (written to or read from another offset), bend= (one bit flipped), \
                        late= (acknowledged after late-for=40s), page= (a page of HTML with status 200, 202 or 206), \
                        redirect-writes= (307), long= (more bytes than asked for), bomb= (gzip of 16 GiB), headers= and \
                        interim= (headers or 100 Continue without end), drip= (a byte every drip-every=500ms). The first \
                        drives/create makes the drive and is answered oddly: create=page|nameless|failed|lost, with \
                        +refused the next one is refused. error= has none of these."
)]
pub struct ServeArgs {
    /// What to emulate and where; without any, everything on loopback
    #[arg(value_name = "PROVIDER=HOST:PORT", value_parser = parse::<Listener>)]
    listeners: Vec<Listener>,
    /// Where drives are kept; without it in a temporary directory that is removed in the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The user that is accepted
    #[arg(long, default_value = USER)]
    user: String,
    /// The secret that is accepted; without it one is made up, and written with --write-config or shown
    #[arg(long, env = "DISKFERRY_SERVE_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A public SSH key that Joyent's requests may be signed with, from a .pub file; may stand several times
    #[arg(long, value_name = "NAME=FILE", value_parser = parse::<KeyFile>)]
    key: Vec<KeyFile>,
    /// A file that SpotCloud gives out as the appliance KEY; may stand several times
    #[arg(long, value_name = "KEY=FILE", value_parser = parse::<KeyFile>)]
    appliance: Vec<KeyFile>,
    /// Serve https with a certificate that is made up, and kept under --data
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls: bool,
    /// Serve https with this certificate, and those that lead from it to an authority, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Failures on purpose
    #[arg(long, value_name = "FAULTS", value_parser = Faults::parse, default_value = "")]
    faults: Faults,
    /// Write a configuration file whose remotes are the listeners, named after their providers
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
}

/// One listener.
#[derive(Clone, Debug)]
struct Listener {
    provider: Provider,
    address: SocketAddr,
}

impl FromStr for Listener {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let form = || Error::usage("PROVIDER=HOST:PORT is meant, as in openhosting=127.0.0.1:8701");
        let (provider, address) = text.split_once('=').ok_or_else(form)?;
        let provider: Provider = provider.parse()?;
        let address = address.replace("localhost", "127.0.0.1").parse().map_err(|_| form())?;
        Ok(Self { provider, address })
    }
}

/// A name and the file that goes with it.
#[derive(Clone, Debug)]
struct KeyFile {
    name: String,
    path: PathBuf,
}

impl FromStr for KeyFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err(Error::usage("NAME=FILE is meant, as in laptop=id_rsa.pub or ubuntu=disk.img.gz")),
        }
    }
}

impl KeyFile {
    fn pair(&self) -> (String, PathBuf) {
        (self.name.clone(), self.path.clone())
    }

    /// Its name and its text.
    fn read(&self) -> Result<(String, String)> {
        let text = String::from_utf8(read(&self.path)?).map_err(|_| {
            Error::usage(format!("{} is no public key", self.path.display()))
                .hint("the file whose name ends in .pub is meant")
        })?;
        Ok((self.name.clone(), text))
    }
}

/// TLS as it was asked for, if it was, with the file of the certificate.
fn tls(args: &ServeArgs, listeners: &[Listener], data: &Path) -> Result<Option<(Tls, PathBuf)>> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let tls = Tls::from_pem(&read(certificate)?, &read(key)?)
            .map_err(|e| Error::usage("--tls-cert and --tls-key cannot be used").source(e))?;
        return Ok(Some((tls, certificate.clone())));
    }
    if !args.tls {
        return Ok(None);
    }
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.ip()).collect();
    let own = Tls::own(&data.join("tls"), &addresses).map_err(|e| Error::io("making a certificate", e))?;
    Ok(Some(own))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))
}

/// Runs the command.
pub async fn run(mut args: ServeArgs, output: &Output) -> Result<()> {
    let listeners = if args.listeners.is_empty() {
        EMULATED
            .iter()
            .map(|(provider, port)| Listener { provider: *provider, address: ([127, 0, 0, 1], *port).into() })
            .collect()
    } else {
        std::mem::take(&mut args.listeners)
    };
    // Kept until the end, when it is removed.
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|e| Error::io("making a temporary directory", e))?),
    };
    let data = match (&args.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(dir)) => dir.path().to_owned(),
        (None, None) => return Err(Error::new(Kind::Io, "there is no directory for drives")),
    };
    let tls = tls(&args, &listeners, &data)?;
    let ca_file = tls.as_ref().map(|(_, file)| std::path::absolute(file)).transpose();
    let ca_file = ca_file.map_err(|e| Error::io("finding the certificate", e))?;
    if !args.key.is_empty() && !listeners.iter().any(|l| l.provider == Provider::Joyent) {
        return Err(Error::usage("--key is for joyent, which is not served"));
    }
    let keys = args.key.iter().map(KeyFile::read).collect::<Result<Vec<_>>>()?;
    for appliance in &args.appliance {
        let path = appliance.path.display();
        let meta = std::fs::metadata(&appliance.path)
            .map_err(|e| Error::io(format!("reading the appliance {path}"), e).with_kind(Kind::Source))?;
        if !meta.is_file() {
            return Err(Error::usage(format!("the appliance {path} is not a file")));
        }
    }
    let made_up = args.secret.is_none();
    let secret = args.secret.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut running = Vec::new();
    for listener in &listeners {
        let emulator = Emulator::start(Config {
            provider: listener.provider.into(),
            listen: listener.address,
            data: data.join(listener.provider.name()),
            user: args.user.clone(),
            secret: secret.clone(),
            faults: args.faults.clone(),
            keys: if listener.provider == Provider::Joyent { keys.clone() } else { Vec::new() },
            tls: tls.as_ref().map(|(tls, _)| tls.clone()),
            appliances: match listener.provider {
                Provider::SpotCloud => args.appliance.iter().map(KeyFile::pair).collect(),
                _ => Vec::new(),
            },
        })
        .map_err(|e| Error::io(format!("listening on {} for {}", listener.address, listener.provider), e))?;
        running.push((listener.provider, emulator));
    }
    if let Some(path) = &args.write_config {
        let remotes: Result<Vec<_>> = running
            .iter()
            .map(|(provider, emulator)| {
                let url = emulator
                    .url()
                    .parse()
                    .map_err(|e| Error::new(Kind::Io, "the emulator has no usable address").source(e))?;
                Ok((*provider, url, args.user.clone(), secret.clone().into()))
            })
            .collect();
        config::write_private(path, &config::emulator_profile(&remotes?, ca_file.as_deref())?)?;
    } else if made_up {
        output.note(&format!("user {}, secret {secret}", args.user));
    }
    if let Some(file) = &ca_file {
        output.note(&format!("clients are to trust {}", file.display()));
    }
    if listeners.iter().any(|l| !l.address.ip().is_loopback()) {
        output.warn("other machines can reach this emulator; it is for tests and keeps nothing safe");
    }
    for (provider, emulator) in &running {
        output.data(&format!("{provider} {}", emulator.url()))?;
    }
    let stop = signals::stop_on_signals(output);
    stop.asked().await;
    let dealt: u64 = running.iter().map(|(_, e)| e.faults_dealt()).sum();
    let refused: u64 = running.iter().map(|(_, e)| e.refusals()).sum();
    let silent: u64 = running.iter().map(|(_, e)| e.silent_faults()).sum();
    let silent = if silent > 0 { format!(", silent: {silent}") } else { String::new() };
    output.note(&format!("faults dealt: {dealt}, refused: {refused}{silent}"));
    Ok(())
}

//! `diskferry serve`: the emulator, for trying things out and for tests.

use super::options::parse;
use super::output::Output;
use super::signals;
use crate::config;
use crate::emulator::{Config, Emulator, Faults};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The providers that are emulated, with the ports that they listen on where no address is given.
const EMULATED: [(Provider, u16); 3] =
    [(Provider::OpenHosting, 8701), (Provider::Crosspeer, 8702), (Provider::CloudSigma, 8703)];

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
                        zero), balance=AMOUNT (what the account has left), seed=7."
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
        if !EMULATED.iter().any(|(p, _)| *p == provider) {
            return Err(Error::usage(format!("{provider} is not emulated yet")));
        }
        let address = address.replace("localhost", "127.0.0.1").parse().map_err(|_| form())?;
        Ok(Self { provider, address })
    }
}

/// Runs the command.
pub async fn run(args: ServeArgs, output: &Output) -> Result<()> {
    let listeners = if args.listeners.is_empty() {
        EMULATED
            .iter()
            .map(|(provider, port)| Listener { provider: *provider, address: ([127, 0, 0, 1], *port).into() })
            .collect()
    } else {
        args.listeners
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
    let made_up = args.secret.is_none();
    let secret = args.secret.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut running = Vec::new();
    for listener in &listeners {
        let emulator = Emulator::start(Config {
            provider: listener.provider,
            listen: listener.address,
            data: data.join(listener.provider.name()),
            user: args.user.clone(),
            secret: secret.clone(),
            faults: args.faults.clone(),
            keys: Vec::new(),
            tls: None,
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
        config::write_private(path, &config::emulator_profile(&remotes?, None)?)?;
    } else if made_up {
        output.note(&format!("user {}, secret {secret}", args.user));
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
    output.note(&format!("faults dealt: {dealt}, refused: {refused}"));
    Ok(())
}

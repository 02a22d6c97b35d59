//! `diskferry serve`: the emulator, to test clients with.

mod accounts;
mod args;
mod lock;
mod requests;

pub use args::ServeArgs;

use super::output::Output;
use super::signals;
use crate::config;
use crate::emulator::{Config, Control, Fleet, Tls};
use crate::error::{Error, Kind, Result};
use accounts::Account;
use args::{Listener, Settings};
use requests::Requests;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(format!("cannot read {}", path.display()), e))
}

/// TLS as it was asked for, if it was, with the file of the certificate.
fn tls(args: &ServeArgs, listeners: &[Listener], data: &Path) -> Result<Option<(Tls, PathBuf)>> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let tls = Tls::from_pem(&read(certificate)?, &read(key)?).map_err(|e| {
            Error::usage("cannot use --tls-cert and --tls-key").source(e).hint(
                "both are PEM files of one key pair; `--tls` alone makes a certificate for this machine",
            )
        })?;
        return Ok(Some((tls, certificate.clone())));
    }
    if !args.tls {
        return Ok(None);
    }
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.ip()).collect();
    let own =
        Tls::own(&data.join("tls"), &addresses).map_err(|e| Error::io("cannot make a certificate", e))?;
    Ok(Some(own))
}

/// What each listener is started with.
fn configs(settings: &Settings, args: &ServeArgs, data: &Path, tls: Option<&Tls>) -> Vec<Config> {
    let of = |listener: &Listener| {
        let mut accounts = settings.accounts.iter().map(|account| account.of(listener.provider));
        // There is always one: without any the settings make one up.
        let first = accounts.next()?;
        Some(Config {
            listen: listener.address,
            faults: settings.faults.clone(),
            keys: first.keys,
            tls: tls.cloned(),
            appliances: first.appliances,
            accounts: accounts.collect(),
            strict: args.strict,
            time_scale: settings.time_scale,
            ..Config::new(listener.provider, data.join(listener.provider.name()), first.user, first.secret)
        })
    };
    settings.listeners.iter().filter_map(of).collect()
}

/// The remotes of a configuration file: each listener with each account. The first account's are named after the
/// providers, those of the others have a number.
fn remotes(fleet: &Fleet, accounts: &[Account]) -> Result<Vec<config::EmulatedRemote>> {
    let mut remotes = Vec::new();
    for (number, account) in (1..).zip(accounts) {
        for member in fleet.members() {
            let provider = member.provider();
            remotes.push(config::EmulatedRemote {
                name: if number == 1 { provider.to_string() } else { format!("{provider}-{number}") },
                provider: provider.into(),
                url: member
                    .url()
                    .parse()
                    .map_err(|e| Error::new(Kind::Io, "the emulator has no usable address").source(e))?,
                user: account.user.clone(),
                secret: account.secret.clone().into(),
            });
        }
    }
    Ok(remotes)
}

/// Runs the command.
pub async fn run(args: ServeArgs, output: &Output) -> Result<()> {
    let settings = Settings::of(&args)?;
    // Kept until the end, when it is removed.
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|e| Error::io("cannot make a temporary directory", e))?),
    };
    let data = match (&args.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(dir)) => dir.path().to_owned(),
        (None, None) => return Err(Error::new(Kind::Io, "there is no directory for drives")),
    };
    let _lock = args.data.as_deref().map(lock::hold).transpose()?;
    let tls = tls(&args, &settings.listeners, &data)?;
    let ca_file = tls.as_ref().map(|(_, file)| std::path::absolute(file)).transpose();
    let ca_file = ca_file.map_err(|e| Error::io("cannot find the certificate", e))?;
    let requests = Arc::new(Requests::open(args.log.as_deref(), output)?);
    let observer = Arc::clone(&requests);
    let configs = configs(&settings, &args, &data, tls.as_ref().map(|(tls, _)| tls));
    let fleet =
        Fleet::start(configs, Arc::new(move |provider, logged, new| observer.note(provider, logged, new)));
    let fleet = Arc::new(fleet.map_err(|(at, error)| {
        let Listener { provider, address } = &settings.listeners[at];
        Error::io(format!("cannot serve {provider} on {address}"), error)
            .hint(format!("`{provider}=127.0.0.1:0` takes a free port"))
    })?);
    let control = settings.control.map(|address| {
        Control::start(address, Arc::clone(&fleet), args.data.is_some())
            .map_err(|e| Error::io(format!("cannot listen on {address} for --control"), e))
    });
    let control = control.transpose()?;
    if let Some(path) = &args.write_config {
        let text = config::emulator_profile(&remotes(&fleet, &settings.accounts)?, ca_file.as_deref())?;
        config::write_private(path, &text)?;
    } else {
        for account in settings.accounts.iter().filter(|account| account.made_up) {
            output.note(&format!("user {}, secret {}", account.user, account.secret));
        }
    }
    if let Some(file) = &ca_file {
        output.note(&format!("clients have to trust {}", file.display()));
    }
    if settings.listeners.iter().any(|l| !l.address.ip().is_loopback()) {
        output.warn("other machines can reach this emulator; it is for tests and keeps nothing safe");
    }
    for member in fleet.members() {
        listening(output, member.provider().name(), member.url())?;
    }
    if let Some(control) = &control {
        listening(output, "control", &control.url())?;
    }
    let stop = signals::stop_on_signals(output);
    stop.asked().await;
    drop(control);
    finish(&fleet, args.strict, output);
    Ok(())
}

/// Says where something listens.
fn listening(output: &Output, what: &str, url: &str) -> Result<()> {
    if output.is_json() {
        let of =
            if what == "control" { json!({ "url": url }) } else { json!({ "provider": what, "url": url }) };
        output.event(if what == "control" { "control" } else { "listening" }, of);
        return Ok(());
    }
    output.data(&format!("{what} {url}"))
}

/// Says what came of it.
fn finish(fleet: &Fleet, strict: bool, output: &Output) {
    let counts = fleet.members().iter().map(crate::emulator::Member::counts);
    let (dealt, refused, silent) =
        counts.fold((0, 0, 0), |all, one| (all.0 + one.0, all.1 + one.1, all.2 + one.2));
    let forms = fleet.undocumented();
    let used: u64 = forms.iter().map(|(_, _, count)| count).sum();
    let mut counted = vec![format!("faults dealt: {dealt}, refused: {refused}")];
    if silent > 0 {
        counted.push(format!("silent: {silent}"));
    }
    if strict {
        counted.push(format!("undocumented forms: {} (requests: {used})", forms.len()));
    }
    if output.is_json() {
        let mut summary = json!({ "faults_dealt": dealt, "refused": refused, "silent": silent });
        if strict {
            summary["undocumented"] = forms
                .iter()
                .map(|(provider, form, count)| json!({ "provider": provider, "form": form, "count": count }))
                .collect();
        }
        output.event("summary", summary);
    } else {
        output.note(&counted.join(", "));
    }
}

//! `diskferry remote test`: what works, from the network up, how long the round trip is, and what the
//! provider can do.

use crate::cli::Global;
use crate::cli::account::transfer_options;
use crate::cli::account::{Account, RequestOptions, given, values_of};
use crate::cli::output::{Output, bytes};
use crate::cli::session::Session;
use crate::config::{Config, DiskService, Endpoint, Environment, Service, Target};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::Call;
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// The number of requests whose median is the round trip, after one that makes the connection.
const SAMPLES: usize = 5;

/// The arguments of `remote test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The remote, or a disk of a remote that has no calls [default: the default remote]
    #[arg(value_name = "NAME:[DISK]", value_parser = remote_or_disk)]
    remote: Option<Target>,
    #[command(flatten)]
    request: RequestOptions,
}

/// The outcome so far. `None` means not reached.
#[derive(Debug, Default)]
struct Outcome {
    reach: Option<bool>,
    tls: Option<bool>,
    authentication: Option<bool>,
    listed: Option<usize>,
    round_trip: Option<Duration>,
}

/// Tests the remote of that name.
pub(super) async fn remote(name: &str, global: &Global, output: &Output) -> Result<()> {
    let remote = Some(Target { remote: name.to_owned(), object: None });
    run(TestArgs { remote, request: RequestOptions::default() }, global, output).await
}

/// Runs the command.
pub(super) async fn run(args: TestArgs, global: &Global, output: &Output) -> Result<()> {
    let config = Config::load(global.config.as_deref(), &Environment::process())?;
    let target = match args.remote {
        Some(target) => target,
        None => Target { remote: config.default_remote()?.name, object: None },
    };
    let name = target.remote.clone();
    let remote = config.remote(&name)?;
    if let Service::Disks(far_end) = remote.provider {
        let options = transfer_options(&args.request);
        let session = Session::open(Some(&name), &options, global, output).await?;
        return disks(&target, far_end, &remote.endpoint.to_string(), &session, output).await;
    }
    if target.object.is_some() {
        return Err(Error::usage(format!("expected the remote `{name}:`, got `{target}`")));
    }
    let https = matches!(&remote.endpoint, Endpoint::Url(url) if url.scheme() == "https");
    let account = Account::open(Some(&name), &args.request, global, output).await?;
    let mut outcome = Outcome::default();
    let error = probe(&account, https, &mut outcome).await.err();
    tell(&name, &remote.endpoint.to_string(), &account, &outcome, https, output)?;
    match error {
        None => Ok(()),
        Some(error) => Err(error.context(format_args!("remote {name}"))),
    }
}

/// Parses a remote's name, with or without its colon, or an object on a remote.
fn remote_or_disk(text: &str) -> Result<Target> {
    if text.contains(':') {
        return text.parse();
    }
    Ok(Target { remote: text.to_owned(), object: None })
}

/// Opens a disk, reads its first bytes, and reports what its server can do.
async fn disks(
    target: &Target,
    far_end: DiskService,
    url: &str,
    session: &Session,
    output: &Output,
) -> Result<()> {
    let at = |error: Error| error.context(format_args!("remote {}", target.remote));
    let (far, disk) = session.end.far(target.object.as_ref()).await.map_err(at)?;
    let disk = disk.unwrap_or_default();
    let described = far.store.describe(&disk).await.map_err(at)?;
    if output.is_json() {
        let mut told = serde_json::Map::new();
        told.insert("remote".into(), target.remote.clone().into());
        told.insert("url".into(), url.into());
        told.insert("provider".into(), far_end.name().into());
        told.extend(described.into_iter().map(|(key, value)| (key.replace(' ', "_"), value.into())));
        output.event("remote_test", told.into());
        return Ok(());
    }
    let remote = format!("{}: {url}", target.remote);
    let lines = [("remote", remote), ("provider", far_end.name().to_owned())];
    for (key, value) in lines.into_iter().chain(described) {
        output.data(&format!("{key:14} {value}"))?;
    }
    Ok(())
}

/// Returns the call with which an account is tested, and what it lists.
fn listed(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::OpenHosting | Provider::Crosspeer | Provider::CloudSigma => ("drives.list", "drives"),
        Provider::SpotCloud => ("appliances.list", "appliances"),
        Provider::Joyent => ("machines.list", "machines"),
    }
}

/// Tests each step in order, and stops at the first that fails.
async fn probe(account: &Account, https: bool, outcome: &mut Outcome) -> Result<()> {
    let request = Call::find(account.provider(), listed(account.provider()).0)?.request(&given([], []))?;
    // Make one attempt only: a failure is the answer.
    let first = account.calls().attempt(&request).await;
    let tls = |works: bool| https.then_some(works);
    match first.as_ref().map_err(Error::kind) {
        Ok(_) => {
            (outcome.reach, outcome.tls, outcome.authentication) = (Some(true), tls(true), Some(true));
        }
        Err(Kind::Auth) => {
            (outcome.reach, outcome.tls, outcome.authentication) = (Some(true), tls(true), Some(false));
        }
        Err(Kind::Connection | Kind::Timeout) => outcome.reach = Some(false),
        // The certificate is not trusted. This is the only refusal that comes without a server's message.
        Err(Kind::Refused) if first.as_ref().is_err_and(|e| e.server_message().is_none()) => {
            (outcome.reach, outcome.tls) = (Some(true), tls(false));
        }
        Err(_) => (outcome.reach, outcome.tls) = (Some(true), tls(true)),
    }
    let reply = first?;
    outcome.listed = Some(values_of(request.call, &reply)?.len());
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        account.calls().attempt(&request).await?;
        samples.push(start.elapsed());
    }
    samples.sort_unstable();
    outcome.round_trip = samples.get(SAMPLES / 2).copied();
    Ok(())
}

fn tell(
    name: &str,
    url: &str,
    account: &Account,
    outcome: &Outcome,
    https: bool,
    output: &Output,
) -> Result<()> {
    let able = account.provider().drives();
    let (_, what) = listed(account.provider());
    if output.is_json() {
        output.event(
            "remote_test",
            json!({
                "remote": name, "url": url, "provider": account.provider().name(),
                "reach": outcome.reach, "tls": outcome.tls, "authentication": outcome.authentication,
                what: outcome.listed,
                "round_trip_ms": outcome.round_trip.map(|t| (t.as_secs_f64() * 1e5).round() / 100.0),
                "gzip": able.map(|able| able.gzip), "read_limit": able.and_then(|able| able.read_limit),
            }),
        );
        return Ok(());
    }
    let word = |works: Option<bool>| match works {
        Some(true) => "works",
        Some(false) => "fails",
        None => "not tried",
    };
    let tls = match outcome.tls {
        None if !https => "none, plain http",
        tls => word(tls),
    };
    let found = outcome.listed.map_or_else(|| "not listed".to_owned(), |n| format!("{n} listed"));
    let round_trip = outcome.round_trip.map_or_else(
        || "not measured".to_owned(),
        |t| format!("{:.1} ms (median of {SAMPLES})", t.as_secs_f64() * 1e3),
    );
    let mut lines = vec![
        ("remote", format!("{name}: {url}")),
        ("provider", account.provider().name().to_owned()),
        ("reach", word(outcome.reach).to_owned()),
        ("tls", tls.to_owned()),
        ("authentication", word(outcome.authentication).to_owned()),
        (what, found),
        ("round trip", round_trip),
    ];
    if let Some(able) = able {
        lines.push(("gzip writes", if able.gzip { "yes" } else { "no" }.to_owned()));
        lines.push(("read limit", able.read_limit.map_or_else(|| "none".to_owned(), bytes)));
    }
    for (key, value) in lines {
        output.data(&format!("{key:14} {value}"))?;
    }
    Ok(())
}

//! `diskferry remote test`: what works, from the network up, how far away it is, and what the provider can do.

use super::name;
use crate::cli::Global;
use crate::cli::account::{Account, RequestOptions, given, values_of};
use crate::cli::output::{Output, bytes};
use crate::config::{Config, Endpoint, Environment};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::Call;
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many requests the round trip is the median of, after one that makes the connection.
const SAMPLES: usize = 5;

/// What `remote test` takes.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The remote; the default one without it
    #[arg(value_name = "NAME:", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    request: RequestOptions,
}

/// The outcome so far. `None` is what was not come to.
#[derive(Debug, Default)]
struct Outcome {
    reach: Option<bool>,
    tls: Option<bool>,
    authentication: Option<bool>,
    listed: Option<usize>,
    round_trip: Option<Duration>,
}

/// Runs the command.
pub(super) async fn run(args: TestArgs, global: &Global, output: &Output) -> Result<()> {
    let config = Config::load(global.config.as_deref(), &Environment::process())?;
    let name = match args.name {
        Some(name) => name,
        None => config.default_remote()?.name,
    };
    let remote = config.remote(&name)?;
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

/// The call that tries an account, and what it lists.
fn listed(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::OpenHosting | Provider::Crosspeer | Provider::CloudSigma => ("drives.list", "drives"),
        Provider::SpotCloud => ("appliances.list", "appliances"),
        Provider::Joyent => ("machines.list", "machines"),
    }
}

/// Finds out what works, in order, and stops at what does not.
async fn probe(account: &Account, https: bool, outcome: &mut Outcome) -> Result<()> {
    let request = Call::find(account.provider(), listed(account.provider()).0)?.request(&given([], []))?;
    // One attempt, unrepeated: a failure is the answer.
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
        // A certificate that is not trusted: the one refusal that no server has said anything with.
        Err(Kind::Refused) if first.as_ref().is_err_and(|e| e.said().is_none()) => {
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

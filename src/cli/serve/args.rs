//! The options of `serve`, and what they come to.

use super::accounts::{self, Account};
use crate::emulator::{FASTEST, Faults};
use crate::error::{Error, Result};
use crate::provider::Provider;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The providers that are emulated, with the ports that they listen on where no address is given.
const EMULATED: [(Provider, u16); 5] = [
    (Provider::OpenHosting, 8701),
    (Provider::Crosspeer, 8702),
    (Provider::CloudSigma, 8703),
    (Provider::SpotCloud, 8704),
    (Provider::Joyent, 8705),
];

const FAULTS: &str = "\
Faults are a comma list. Shares are between 0 and 1:
  error=0.1               a mix of busy, unavailable, reset, short and stall
  busy= unavailable=      409 (Joyent: 420), or 503 with Retry-After
  retry-after=0           what the 503 says, in seconds (1 unless given)
  reset= short= stall=    the connection is reset, the reply ends early, or stops
  latency=20ms            each request waits
  rate=10M                bytes a second, all connections together
  refuse=OFFSET           a read or write that covers this offset always fails
  dirty=1                 the share of new drives that do not read as zero
  balance=AMOUNT          what the account has left
  seed=7                  other draws
Of appliances:
  ranges=yes|no|wrong     whether ranges are answered
  etag=yes|no|changing    whether there is a validator, and whether it stands
  redirect=               the share of downloads answered with a redirect
Wrong answers, none of them in error=:
  drop= misplace= bend=   bytes are not written, go elsewhere, or have a bit flipped
  late=                   a write is acknowledged after late-for=40s
  page=                   a page of HTML with status 200, 202 or 206
  redirect-writes=        307
  long= bomb=             more bytes than asked for, gzip of 16 GiB
  headers= interim=       headers, or 100 Continue, without end
  drip=                   a byte every drip-every=500ms
  create=page|nameless|failed|lost
                          the first drives/create is carried out and answered
                          oddly; with +refused the next one is refused";

const EXAMPLES: &str = "\
Examples:
  diskferry serve --write-config emulator.toml
  diskferry serve openhosting=127.0.0.1:0 --faults error=0.1,seed=7 --control 127.0.0.1:0";

/// The options of `serve`.
#[derive(Debug, Args)]
#[command(
    long_about = "Emulate the providers' APIs.\n\nPrints `PROVIDER URL` for each listener once it accepts connections, \
                  and runs until it is stopped. Drives are sparse files; servers have states and run nothing. \
                  docs/emulator.md has the whole story.",
    after_help = EXAMPLES,
    after_long_help = format!("{FAULTS}\n\n{EXAMPLES}"),
)]
pub struct ServeArgs {
    /// What to emulate and where; without any, all five providers on loopback
    #[arg(value_name = "PROVIDER=HOST:PORT")]
    listeners: Vec<String>,
    /// Keep drives and servers here; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Accept this user; repeat for several accounts
    #[arg(long)]
    user: Vec<String>,
    /// The secret of the user; without it one is made up, and written with --write-config or shown
    #[arg(long, env = "DISKFERRY_SERVE_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// Accept the accounts in this TOML file
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Accept Joyent requests signed with this public SSH key; repeat for several
    #[arg(long, value_name = "NAME=FILE")]
    key: Vec<String>,
    /// Offer this file as SpotCloud's appliance KEY; repeat for several
    #[arg(long, value_name = "KEY=FILE")]
    appliance: Vec<String>,
    /// Serve https with a certificate that is made up, and kept under --data
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub(super) tls: bool,
    /// Serve https with this certificate chain, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Fail on purpose: a list of faults, as in error=0.1,seed=7
    #[arg(long, value_name = "FAULTS", default_value = "", hide_default_value = true)]
    faults: String,
    /// Let the clock run this many times as fast: machines boot, and bills are due, sooner
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    time_scale: String,
    /// Change faults, clock and state at run time over HTTP on this loopback address
    #[arg(long, value_name = "HOST:PORT")]
    control: Option<String>,
    /// Append each request to this file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// Name each form of a request that the provider's manual does not have
    #[arg(long)]
    pub(super) strict: bool,
    /// Write a configuration file whose remotes are the listeners, named after their providers
    #[arg(long, value_name = "FILE")]
    pub(super) write_config: Option<PathBuf>,
}

/// One listener.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) provider: Provider,
    pub(super) address: SocketAddr,
}

impl FromStr for Listener {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (provider, address) = text.split_once('=').ok_or_else(|| {
            Error::usage(format!("`{text}`: expected PROVIDER=HOST:PORT"))
                .hint("`diskferry serve openhosting=127.0.0.1:8701`")
        })?;
        Ok(Self { provider: provider.parse()?, address: self::address(address)? })
    }
}

/// An address to listen on.
fn address(text: &str) -> Result<SocketAddr> {
    text.replace("localhost", "127.0.0.1").parse().map_err(|_| {
        Error::usage(format!("`{text}`: expected an IP address and a port"))
            .hint("`127.0.0.1:0` takes a free port of this machine")
    })
}

/// What the options come to.
pub(super) struct Settings {
    pub(super) listeners: Vec<Listener>,
    pub(super) accounts: Vec<Account>,
    pub(super) faults: Faults,
    pub(super) time_scale: f64,
    pub(super) control: Option<SocketAddr>,
}

impl Settings {
    pub(super) fn of(args: &ServeArgs) -> Result<Self> {
        let mut listeners =
            args.listeners.iter().map(|text| text.parse()).collect::<Result<Vec<Listener>>>()?;
        if listeners.is_empty() {
            let usual = |(provider, port)| Listener { provider, address: ([127, 0, 0, 1], port).into() };
            listeners = EMULATED.into_iter().map(usual).collect();
        }
        let faults = Faults::parse(&args.faults).map_err(|error| {
            Error::usage(format!("--faults: {error}")).hint("`diskferry serve --help` lists the faults")
        })?;
        let time_scale = args.time_scale.parse().ok().filter(|scale| (0.0..=FASTEST).contains(scale));
        let time_scale = time_scale.ok_or_else(|| {
            Error::usage(format!("--time-scale {}: expected a number from 0 to {FASTEST}", args.time_scale))
                .hint("`--time-scale 60` lets a minute pass in a second")
        })?;
        let control = args.control.as_deref().map(address).transpose()?;
        if let Some(control) = control.filter(|address| !address.ip().is_loopback()) {
            return Err(Error::usage(format!("--control {control}: other machines could reach it"))
                .hint("`--control 127.0.0.1:0` takes a free port of this machine"));
        }
        let serves = |provider| listeners.iter().any(|listener| listener.provider == provider);
        if !args.key.is_empty() && !serves(Provider::Joyent) {
            return Err(Error::usage("--key is for joyent, which is not served")
                .hint("add `joyent=127.0.0.1:8705`, or leave out --key"));
        }
        let accounts = accounts::read(&args.user, &args.secret, args.accounts.as_deref())?;
        let accounts = accounts::with_keys(accounts, &args.key, &args.appliance)?;
        Ok(Settings { listeners, accounts, faults, time_scale, control })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_says_what_can() {
        for (text, says) in [
            ("openhosting", "expected PROVIDER=HOST:PORT"),
            ("openhosting=example.org:80", "expected an IP address and a port"),
            ("openhosting=127.0.0.1", "expected an IP address and a port"),
        ] {
            let error = text.parse::<Listener>().unwrap_err();
            assert!(error.to_string().contains(says) && error.hint_text().is_some(), "{text}: {error}");
        }
        assert_eq!("joyent=localhost:0".parse::<Listener>().unwrap().address, ([127, 0, 0, 1], 0).into());
    }
}

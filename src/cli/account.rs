//! An account at a provider, ready for calls.

use super::Global;
use super::noun::Item;
use super::options::{TransferOptions, duration};
use super::output::Output;
use super::session::Session;
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use crate::journal::{Claim, Destination, Destinations};
use crate::provider::Provider;
use crate::provider::catalogue::{Arguments, Call, Input};
use crate::stop::Stop;
use crate::transport::calls::Calls;
use crate::transport::client::Reply;
use crate::wire::elastic::text;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// The options of commands that make requests and move no image.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Request options")]
pub struct RequestOptions {
    /// Repeat a failed request at most N times, if it may be repeated at all
    #[arg(long, value_name = "N", default_value_t = crate::transport::retry::DEFAULT_RETRIES)]
    retries: u32,
    /// Give up a connection on which nothing moves for DURATION, as in 30s
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

impl Default for RequestOptions {
    fn default() -> Self {
        let transfer = TransferOptions::default();
        Self { retries: transfer.retries, timeout: transfer.timeout }
    }
}

/// An account, ready for calls.
pub struct Account {
    pub session: Session,
    calls: Calls,
    output: Output,
}

impl Account {
    /// Opens a remote, or the default one.
    pub async fn open(
        remote: Option<&str>,
        options: &RequestOptions,
        global: &Global,
        output: &Output,
    ) -> Result<Self> {
        Self::of(Session::open(remote, &transfer_options(options), global, output).await?, output)
    }

    /// Returns the account of a session.
    ///
    /// # Errors
    /// A usage error if its remote has disks and no calls.
    pub fn of(session: Session, output: &Output) -> Result<Self> {
        let calls = Calls::new(session.end.client()?.clone(), session.context.retry.clone());
        Ok(Self { session, calls, output: output.clone() })
    }

    /// Returns the provider.
    pub fn provider(&self) -> Provider {
        self.calls.provider()
    }

    /// Returns the remote's name, without the colon.
    pub fn remote(&self) -> &str {
        &self.session.end.remote
    }

    /// Returns what tells of a signal to stop.
    pub fn stop(&self) -> &Stop {
        &self.session.context.stop
    }

    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Makes a call, and warns of what is odd about it.
    pub async fn call(&self, call: &'static Call, given: &Arguments) -> Result<Reply> {
        self.hide_secrets(call, given);
        let request = call.request(given)?;
        for warning in &request.warnings {
            self.output.warn(&warning.to_string());
        }
        let _claims = self.claim_drives(call, given)?;
        self.calls.send(&request).await
    }

    /// Locks the drives that a call writes to, or gives to a server to write to, and raises their generations: no later
    /// transfer then builds on what an earlier one wrote there.
    fn claim_drives(&self, call: &Call, given: &Arguments) -> Result<Vec<Claim>> {
        let drives: Vec<&str> = match call.id {
            "drives.write" | "drives.image" | "drives.set" | "drives.destroy" => {
                given.path.first().map(String::as_str).into_iter().collect()
            }
            "servers.create" | "servers.set" => given
                .keys
                .iter()
                .filter(|(key, value)| is_disk(key) && uuid::Uuid::parse_str(value).is_ok())
                .map(|(_, drive)| drive)
                .collect(),
            _ => Vec::new(),
        };
        let destinations = Destinations::new(self.session.dirs.destinations());
        drives
            .into_iter()
            .map(|drive| {
                let mut claim =
                    destinations.claim(&Destination::disk(&self.session.end.account, drive, "drive"))?;
                claim.raise()?;
                Ok(claim)
            })
            .collect()
    }

    /// Hides the secrets that are sent from all messages, whoever repeats them.
    fn hide_secrets(&self, call: &Call, given: &Arguments) {
        let redactor = self.output.redactor();
        redactor.hide_keys(given.keys.iter());
        let Some(body) = given.body.as_ref().filter(|_| call.input != Input::Binary) else { return };
        match serde_json::from_slice::<Value>(body) {
            Ok(object) => redactor.hide_json(&object),
            Err(_) => text::parse_bytes(body).iter().for_each(|object| redactor.hide_keys(object.iter())),
        }
    }

    /// Makes a call by its name, and reads the objects of its reply.
    pub async fn items(&self, id: &str, given: &Arguments) -> Result<Vec<Item>> {
        let call = Call::find(self.provider(), id)?;
        let reply = self.call(call, given).await?;
        Item::of_reply(call, &reply).map_err(|e| e.context(id))
    }

    /// The same for a call that answers one object.
    pub async fn item(&self, id: &str, given: &Arguments) -> Result<Item> {
        self.items(id, given).await?.into_iter().next().ok_or_else(|| {
            Error::new(Kind::Protocol, format!("{id}: the reply is empty, expected an object"))
        })
    }

    /// Fails with a usage error if the provider has no call `id`. `what` is what it cannot do, `instead` the hint.
    pub fn has(&self, id: &str, what: &str, instead: &str) -> Result<()> {
        Call::find(self.provider(), id)
            .map(drop)
            .map_err(|_| Error::usage(format!("{} cannot {what}", self.provider())).hint(instead.to_owned()))
    }
}

/// Checks the keys of a drive that is about to be made, against the call that will make it; warns of those that are not known.
/// Where drives are made without such a call, nothing is checked.
pub fn check_drive_keys(session: &Session, keys: &mut [(String, String)], output: &Output) -> Result<()> {
    let Ok(client) = session.end.client() else { return Ok(()) };
    let Ok(create) = Call::find(client.provider(), "drives.create") else { return Ok(()) };
    create.check_keys(keys)?.iter().for_each(|warning| output.warn(&warning.to_string()));
    Ok(())
}

/// Whether the value of a server's key is a drive: of `ide:0:0`, `scsi:0:1` and `block:2`, and not of what is below them.
pub fn is_disk(key: &str) -> bool {
    let mut parts = key.split(':');
    let places = match parts.next() {
        Some("ide" | "scsi") => 2,
        Some("block") => 1,
        _ => return false,
    };
    let rest: Vec<&str> = parts.collect();
    rest.len() == places && rest.iter().all(|part| part.parse::<u8>().is_ok())
}

/// Returns the options of a transfer that say the same.
pub fn transfer_options(options: &RequestOptions) -> TransferOptions {
    TransferOptions { retries: options.retries, timeout: options.timeout, ..TransferOptions::default() }
}

/// Reads the values of a reply.
pub fn values_of(call: &Call, reply: &Reply) -> Result<Vec<Value>> {
    let header = |name: &str| reply.headers.get(name)?.to_str().ok();
    call.output.values(Some(&reply.content_type), &reply.body, header)
}

/// Returns the arguments of a call: of its path, and keys.
pub fn given<'a>(
    path: impl IntoIterator<Item = &'a str>,
    keys: impl IntoIterator<Item = (String, String)>,
) -> Arguments {
    Arguments {
        path: path.into_iter().map(str::to_owned).collect(),
        keys: keys.into_iter().collect(),
        ..Arguments::default()
    }
}

/// Adds keys to others; fails if one is there already.
pub fn add_keys(
    keys: &mut Vec<(String, String)>,
    more: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    for (key, value) in more {
        if keys.iter().any(|(known, _)| *known == key) {
            return Err(Error::usage(format!("the key `{key}` is given twice")));
        }
        keys.push((key, value));
    }
    Ok(())
}

/// Returns the remote of a target that names nothing on it.
pub fn only_remote(target: &Target) -> Result<&str> {
    match target.object {
        None => Ok(&target.remote),
        Some(_) => Err(Error::usage(format!("expected a remote, got `{target}`"))
            .hint(format!("write `{}:`", target.remote))),
    }
}

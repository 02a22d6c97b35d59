//! An account at a provider: what every command about drives and servers asks of it.

use super::Global;
use super::options::{TransferOptions, duration};
use super::output::Output;
use super::session::Session;
use crate::config::{Object, Target};
use crate::error::{Error, Kind, Result};
use crate::journal::{Claim, Destination, Destinations};
use crate::provider::Provider;
use crate::provider::catalogue::{Arguments, Call, Input};
use crate::stop::Stop;
use crate::transport::calls::Calls;
use crate::transport::client::Reply;
use crate::wire::elastic::{Properties, text};
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// The options of every command that makes requests and moves no image.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Request options")]
pub struct RequestOptions {
    /// How often a failed request is repeated, if it may be repeated at all
    #[arg(long, value_name = "N", default_value_t = crate::transport::retry::DEFAULT_RETRIES)]
    retries: u32,
    /// How long nothing may move on a connection before it is given up, as in 30s
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
    /// Its session.
    pub session: Session,
    calls: Calls,
    output: Output,
}

impl Account {
    /// Opens a remote; `None` is the default one.
    pub async fn open(
        remote: Option<&str>,
        options: &RequestOptions,
        global: &Global,
        output: &Output,
    ) -> Result<Self> {
        Self::of(Session::open(remote, &transfer_options(options), global, output).await?, output)
    }

    /// The account of a session; a usage error if its remote has disks and no calls.
    pub fn of(session: Session, output: &Output) -> Result<Self> {
        let calls = Calls::new(session.end.client()?.clone(), session.context.retry.clone());
        Ok(Self { session, calls, output: output.clone() })
    }

    /// Whose it is.
    pub fn provider(&self) -> Provider {
        self.calls.provider()
    }

    /// The remote's name.
    pub fn remote(&self) -> &str {
        &self.session.end.remote
    }

    /// A request to stop.
    pub fn stop(&self) -> &Stop {
        &self.session.context.stop
    }

    /// The calls.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Makes a call, and says what is odd about it.
    pub async fn call(&self, call: &'static Call, given: &Arguments) -> Result<Reply> {
        self.hide_secrets(call, given);
        let request = call.request(given)?;
        for warning in &request.warnings {
            self.output.warn(&warning.to_string());
        }
        let _claims = self.claim_drives(call, given)?;
        self.calls.send(&request).await
    }

    /// Takes the locks of the drives that a call writes to, or gives to a server to write to, and raises their
    /// generations, so that no transfer builds on what it wrote there before.
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

    /// No message will have the secrets that are sent, whoever repeats them.
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
    pub async fn objects(&self, id: &str, given: &Arguments) -> Result<Vec<Properties>> {
        let call = Call::find(self.provider(), id)?;
        let reply = self.call(call, given).await?;
        call.output.parse(Some(&reply.content_type), &reply.body).map_err(|e| e.context(id))
    }

    /// Makes a call by its name, and reads its reply with the values as the server sent them.
    pub async fn values(&self, id: &str, given: &Arguments) -> Result<Vec<Value>> {
        let call = Call::find(self.provider(), id)?;
        let reply = self.call(call, given).await?;
        values_of(call, &reply).map_err(|e| e.context(id))
    }

    /// The same for a call that answers one object.
    pub async fn value(&self, id: &str, given: &Arguments) -> Result<Value> {
        self.values(id, given).await?.into_iter().next().ok_or_else(|| {
            Error::new(Kind::Protocol, format!("{id}: the reply is empty where an object was expected"))
        })
    }

    /// The same as [`Account::objects`] for a call that answers one object.
    pub async fn object(&self, id: &str, given: &Arguments) -> Result<Properties> {
        self.objects(id, given).await?.into_iter().next().ok_or_else(|| {
            Error::new(Kind::Protocol, format!("{id}: the reply is empty where an object was expected"))
        })
    }

    /// Refuses a command for which the provider has no call. `what` the provider cannot do, `instead` what may do.
    pub fn has(&self, id: &str, what: &str, instead: &str) -> Result<()> {
        Call::find(self.provider(), id)
            .map(drop)
            .map_err(|_| Error::usage(format!("{} cannot {what}", self.provider())).hint(instead.to_owned()))
    }
}

/// Whether a key of a server names a drive of it: `ide:0:0`, `scsi:0:1` or `block:2`, with nothing behind.
fn is_disk(key: &str) -> bool {
    let mut parts = key.split(':');
    let places = match parts.next() {
        Some("ide" | "scsi") => 2,
        Some("block") => 1,
        _ => return false,
    };
    let rest: Vec<&str> = parts.collect();
    rest.len() == places && rest.iter().all(|part| part.parse::<u8>().is_ok())
}

/// The same as the options of a transfer.
pub fn transfer_options(options: &RequestOptions) -> TransferOptions {
    TransferOptions { retries: options.retries, timeout: options.timeout, ..TransferOptions::default() }
}

/// What a reply to a call says.
pub fn values_of(call: &Call, reply: &Reply) -> Result<Vec<Value>> {
    let header = |name: &str| reply.headers.get(name)?.to_str().ok();
    call.output.values(Some(&reply.content_type), &reply.body, header)
}

/// What a call is given: path arguments and keys.
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

/// Adds keys to those that are there; none may be there already.
pub fn add_keys(
    keys: &mut Vec<(String, String)>,
    more: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    for (key, value) in more {
        if keys.iter().any(|(known, _)| *known == key) {
            return Err(Error::usage(format!("the key {key:?} is given twice")));
        }
        keys.push((key, value));
    }
    Ok(())
}

/// The remote and what is named on it; `kind` is what is wanted, as `drive`.
pub fn named<'a>(target: &'a Target, kind: &str) -> Result<(&'a str, &'a str)> {
    match &target.object {
        Some(Object::Drive(id)) => Ok((&target.remote, id)),
        _ => Err(Error::usage(format!("no {kind} is named")).hint(format!(
            "the form is REMOTE:{}, with the {kind}'s UUID; `diskferry {kind} list {}:` names them",
            kind.to_uppercase(),
            target.remote
        ))),
    }
}

/// The remote, where nothing on it may be named.
pub fn only_remote(target: &Target) -> Result<&str> {
    match target.object {
        None => Ok(&target.remote),
        Some(_) => {
            Err(Error::usage(format!("{target} names more than a remote: {}: is meant", target.remote)))
        }
    }
}

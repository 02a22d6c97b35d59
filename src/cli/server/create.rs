//! `diskferry server create`.
//!
//! The server is persistent unless the user says otherwise, since a server that is not persistent loses its
//! configuration when it stops.

use super::super::account::{Account, add_keys, given, is_disk};
use super::super::drive::DRIVE;
use super::super::noun::{Item, Run, from_matches, resolve};
use super::super::prompt;
use crate::error::Result;
use crate::provider::Provider;
use crate::provider::catalogue::Call;
use clap::{Arg, ArgAction, Args, Command};
use futures_util::future::LocalBoxFuture;
use secrecy::ExposeSecret;
use std::path::PathBuf;

pub(super) fn arguments(command: Command) -> Command {
    let stopped = Arg::new("stopped").long("stopped").action(ArgAction::SetTrue).help("Do not start it");
    VncOptions::augment_args(command.arg(stopped))
}

/// How the server's screen is shown over the network, which takes a password.
#[derive(Debug, Args)]
pub struct VncOptions {
    /// Show the server's screen by VNC, with a password that is asked for
    #[arg(long, conflicts_with = "vnc_password_file")]
    pub vnc: bool,
    /// Show the server's screen by VNC, with the password in the first line of FILE
    #[arg(long, value_name = "FILE")]
    pub vnc_password_file: Option<PathBuf>,
}

impl VncOptions {
    /// Returns the keys that enable VNC, or none if it is not wanted.
    pub fn keys(&self, provider: Provider) -> Result<Vec<(String, String)>> {
        let password = match &self.vnc_password_file {
            Some(file) => prompt::first_line(file)?,
            None if self.vnc => prompt::secret("VNC password")?,
            None => return Ok(Vec::new()),
        };
        // The key of the address is `vnc` at one provider and `vnc:ip` at the others.
        let call = Call::find(provider, "servers.create")?;
        let key = call.input.keys().map(|(key, _)| key.name).find(|name| matches!(*name, "vnc" | "vnc:ip"));
        let address = key.map(|key| (key.to_owned(), "auto".to_owned()));
        let password = ("vnc:password".to_owned(), password.expose_secret().to_owned());
        Ok(address.into_iter().chain([password]).collect())
    }
}

pub(super) fn run(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let (account, stopped) = (&run.account, run.matches.get_flag("stopped"));
        let mut keys = Vec::new();
        for (key, value) in run.given.keys.iter() {
            let drive = is_disk(key) && !value.is_empty();
            let value = if drive { resolve(&DRIVE, value, account).await? } else { value.to_owned() };
            keys.push((key.to_owned(), value));
        }
        add_keys(&mut keys, from_matches::<VncOptions>(&run.matches)?.keys(account.provider())?)?;
        default_key(&mut keys, "persistent", "true");
        let server = create(keys, stopped, account).await?;
        if stopped {
            return run.print_made(&server).map(drop);
        }
        run.print_made(&server)?;
        start_if_needed(&server, account).await?;
        run.ended(Some(&server)).await.map(drop)
    })
}

/// Sets a key unless it is set already.
pub fn default_key(keys: &mut Vec<(String, String)>, key: &str, value: &str) {
    if !keys.iter().any(|(known, _)| known == key) {
        keys.push((key.to_owned(), value.to_owned()));
    }
}

/// Creates a server, without repeating the call. A server that is not to be started needs another call, or a
/// key at CloudSigma.
pub async fn create(mut keys: Vec<(String, String)>, stopped: bool, account: &Account) -> Result<Item> {
    let call = match (stopped, account.provider()) {
        (true, Provider::CloudSigma) => {
            default_key(&mut keys, "status", "stopped");
            "servers.create"
        }
        (true, _) => "servers.create_stopped",
        (false, _) => "servers.create",
    };
    account.item(call, &given([], keys)).await
}

/// Starts a server that is not running after its creation. According to CloudSigma's manual it is active then
/// (8.2), but clients of CloudSigma start it anyway.
pub async fn start_if_needed(server: &Item, account: &Account) -> Result<()> {
    if account.provider() == Provider::CloudSigma && server.text("status") != "active" {
        let id = server.id("server", "server")?;
        account.items("servers.start", &given([&*id], [])).await?;
    }
    Ok(())
}

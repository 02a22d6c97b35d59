//! `diskferry server create`, and the creation that `boot` shares with it.
//!
//! A server is created once: the request is never repeated by itself. Unless it is told otherwise it is persistent,
//! since one that is not is destroyed with its configuration when it stops.

use super::super::Global;
use super::super::account::{Account, RequestOptions, add_keys, given, only_remote};
use super::super::drive::{made, uuid_of};
use super::super::options::{pair, parse};
use super::super::output::Output;
use super::super::prompt;
use super::super::wait::WaitOptions;
use super::{tell_address, until_active};
use crate::config::Target;
use crate::error::Result;
use crate::provider::Provider;
use crate::provider::catalogue::Call;
use crate::wire::elastic::Properties;
use clap::Args;
use secrecy::ExposeSecret;
use std::path::PathBuf;

/// What `server create` takes.
#[derive(Debug, Args)]
#[command(after_help = "`diskferry calls openhosting servers.create` names all keys.")]
pub struct CreateArgs {
    /// The account
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Target,
    /// The server's keys: name, cpu (MHz) and mem (MB), and others such as its drives
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    /// Do not start it
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    vnc: VncOptions,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    request: RequestOptions,
}

/// Whether the server's screen is shown over the network. Not without a password.
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
    /// The keys for it, none if it is not wanted.
    pub fn keys(&self, provider: Provider) -> Result<Vec<(String, String)>> {
        let password = match &self.vnc_password_file {
            Some(file) => prompt::first_line(file)?,
            None if self.vnc => prompt::secret("VNC password")?,
            None => return Ok(Vec::new()),
        };
        // The address's key is `vnc` at one provider and `vnc:ip` at the others.
        let call = Call::find(provider, "servers.create")?;
        let key = call.input.keys().map(|(key, _)| key.name).find(|name| matches!(*name, "vnc" | "vnc:ip"));
        let address = key.map(|key| (key.to_owned(), "auto".to_owned()));
        let password = ("vnc:password".to_owned(), password.expose_secret().to_owned());
        Ok(address.into_iter().chain([password]).collect())
    }
}

/// Runs the command.
pub(super) async fn run(args: CreateArgs, global: &Global, output: &Output) -> Result<()> {
    let account = Account::open(Some(only_remote(&args.remote)?), &args.request, global, output).await?;
    let mut keys = Vec::new();
    add_keys(&mut keys, args.keys)?;
    add_keys(&mut keys, args.vnc.keys(account.provider())?)?;
    default_key(&mut keys, "persistent", "true");
    let server = create(keys, args.stopped, &account).await?;
    made("server", &server, output)?;
    let id = uuid_of("server", &server)?;
    if args.stopped {
        return Ok(());
    }
    start_if_needed(&server, &account).await?;
    if args.wait.wanted() {
        let server = until_active(args.wait, &id, &account, output).await?;
        tell_address(&server, output);
    }
    Ok(())
}

/// Sets a key that is not set.
pub fn default_key(keys: &mut Vec<(String, String)>, key: &str, value: &str) {
    if !keys.iter().any(|(known, _)| known == key) {
        keys.push((key.to_owned(), value.to_owned()));
    }
}

/// Creates a server, once. A stopped one has a call of its own, or a key at CloudSigma.
pub async fn create(mut keys: Vec<(String, String)>, stopped: bool, account: &Account) -> Result<Properties> {
    let call = match (stopped, account.provider()) {
        (true, Provider::CloudSigma) => {
            default_key(&mut keys, "status", "stopped");
            "servers.create"
        }
        (true, _) => "servers.create_stopped",
        (false, _) => "servers.create",
    };
    account.object(call, &given([], keys)).await
}

/// Starts a server that its creation has not started: CloudSigma's manual shows it active after the creation (8.2),
/// and clients of CloudSigma start it all the same.
pub async fn start_if_needed(server: &Properties, account: &Account) -> Result<()> {
    if account.provider() == Provider::CloudSigma && server.get("status") != Some("active") {
        let id = uuid_of("server", server)?;
        account.objects("servers.start", &given([&*id], [])).await?;
    }
    Ok(())
}

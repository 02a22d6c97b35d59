//! `diskferry remote login`: gets the access token of a `SpotCloud` account (SpotCloud Buyer API 1.2, 1).
//!
//! The user opens an address and authorises the request token there. At a terminal, the command waits for
//! that. Without one, it stores the request token, and the same command with `--verifier` continues with it.

use super::name;
use crate::auth::Auth;
use crate::cli::account::{RequestOptions, transfer_options};
use crate::cli::credentials::consumer;
use crate::cli::output::Output;
use crate::cli::{Global, prompt, session};
use crate::config::{AuthScheme, Config, Dirs, Environment, Profile, Remote, Write, write_private};
use crate::error::{Error, Result};
use crate::transport::client::Client;
use crate::transport::limit::Bandwidth;
use crate::transport::login::{Requested, access_token, request_token};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

/// The arguments of `remote login`.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows an address, where you allow the access in a browser; the verifier that you are shown there is \
                  asked for. Without a terminal, run it once to get the address, and again with --verifier.\n\nThe \
                  access token goes into the configuration file, which its owner alone can read."
)]
pub struct LoginArgs {
    /// The remote
    #[arg(value_name = "NAME:", value_parser = name)]
    name: String,
    /// The verifier that the provider's page showed after the previous run
    #[arg(long, value_name = "CODE")]
    verifier: Option<String>,
    #[command(flatten)]
    request: RequestOptions,
}

/// Runs the command.
pub(super) async fn run(args: LoginArgs, global: &Global, output: &Output) -> Result<()> {
    let env = Environment::process();
    let config = Config::load(global.config.as_deref(), &env)?;
    let remote = config.remote(&args.name)?;
    if remote.auth_scheme() != AuthScheme::OAuth {
        return Err(Error::usage(format!("`{}:` uses {}, which has no login", args.name, remote.provider))
            .hint(format!("test its credentials with `diskferry remote test {}:`", args.name)));
    }
    let consumer = consumer(&remote)?;
    let options = transfer_options(&args.request);
    let client: Client =
        session::client(&remote, Auth::None, &options, &Bandwidth::default(), 1, &Arc::default())?;
    let pending = Pending::new(&remote, &Dirs::from_environment(&env)?);

    let (requested, verifier) = if let Some(verifier) = args.verifier {
        (pending.load()?, Some(verifier))
    } else {
        let requested = request_token(&client, &consumer).await?;
        output.event("login", json!({ "remote": args.name, "visit": requested.visit.as_str() }));
        output.note(&format!("open this address and allow the access:\n  {}", requested.visit));
        if !std::io::stdin().is_terminal() {
            pending.keep(&requested)?;
            let again = format!("then run `diskferry remote login {}: --verifier CODE`", args.name);
            output.note(&again);
            return Ok(());
        }
        (requested, prompt::line("verifier (empty if none is shown)")?)
    };
    let token = access_token(&client, &consumer, &requested, verifier.as_deref()).await?;
    let profile = Profile { token: Some(token.key), token_secret: Some(token.secret), ..Profile::default() };
    let path = config.write_remote(&args.name, &profile, Write::Update)?;
    pending.forget();
    output.note(&format!("wrote the access token of `{}:` to {}", args.name, path.display()));
    output.event("summary", json!({ "action": "login", "remote": args.name }));
    Ok(())
}

/// A request token between two runs, in a file that only its owner can read.
struct Pending {
    path: PathBuf,
    remote: String,
}

impl Pending {
    fn new(remote: &Remote, dirs: &Dirs) -> Self {
        Self {
            path: dirs.state.join("logins").join(format!("{}.json", remote.name)),
            remote: remote.name.clone(),
        }
    }

    fn keep(&self, requested: &Requested) -> Result<()> {
        write_private(&self.path, &requested.to_json())
    }

    fn load(&self) -> Result<Requested> {
        let begun = || {
            Error::usage(format!("no login to `{}:` is waiting for a verifier", self.remote))
                .hint(format!("start one with `diskferry remote login {}:`", self.remote))
        };
        let text = std::fs::read_to_string(&self.path).map_err(|_| begun())?;
        Requested::from_json(&text).ok_or_else(begun)
    }

    fn forget(&self) {
        // A file that is left behind is useless, since its token has been exchanged.
        let _ = std::fs::remove_file(&self.path);
    }
}

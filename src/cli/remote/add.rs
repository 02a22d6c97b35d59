//! `diskferry remote add`.

use super::{name, wizard};
use crate::cli::Global;
use crate::cli::options::parse;
use crate::cli::output::Output;
use crate::cli::prompt;
use crate::config::{Config, DiskService, Environment, LOCAL, Profile, Service, Write};
use crate::error::{Error, Result};
use crate::provider::Provider;
use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The arguments of `remote add`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(
    after_help = "What is left out is asked for at the terminal: `diskferry remote add` alone asks step by step. Without \
                  any of the --secret options the secret is asked for, and written into the configuration file, which \
                  only its owner can read.\n\nExample:\n  diskferry remote add oh: \
                  --provider openhosting --url https://api-east1.openhosting.com/ --user UUID \
                  --secret-command 'pass show openhosting'"
)]
pub struct AddArgs {
    /// Name of the remote
    #[arg(value_name = "NAME:", value_parser = name)]
    name: Option<String>,
    /// The provider: openhosting, crosspeer, cloudsigma, spotcloud or joyent; nbd, imageio or azure for disks
    /// alone
    #[arg(long, value_parser = parse::<Service>)]
    provider: Option<Service>,
    /// The address
    #[arg(
        long,
        help = "The API's URL, as in its manual; for nbd nbd://HOST, for imageio https://HOST:54322/images, for azure \
                that of a container or of one blob"
    )]
    url: Option<String>,
    /// The user: a UUID, or an e-mail address for CloudSigma
    #[arg(long)]
    user: Option<String>,
    /// A shell command that prints the secret
    #[arg(long, value_name = "COMMAND", group = "way")]
    secret_command: Option<String>,
    /// A file whose first line is the secret
    #[arg(long, value_name = "FILE", group = "way")]
    secret_file: Option<PathBuf>,
    /// Read the secret from standard input, and write it into the configuration file
    #[arg(long, group = "way")]
    secret_stdin: bool,
    /// Joyent: the login
    #[arg(long)]
    account: Option<String>,
    /// Joyent: the name of the key on the account
    #[arg(long)]
    key_id: Option<String>,
    /// Joyent: the private key's file; the SSH agent is asked without it
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// SpotCloud: the OAuth consumer's key; the secret is then the consumer's
    #[arg(long)]
    consumer_key: Option<String>,
    /// A PEM file with authorities to trust beside the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Let the credentials go over plain http to another machine
    #[arg(long)]
    allow_http: bool,
    /// Use as the default remote
    #[arg(long)]
    default: bool,
    /// Replace a remote of the same name
    #[arg(long)]
    replace: bool,
}

/// A remote that is complete except for its secret.
struct Named {
    name: String,
    provider: Service,
    url: String,
    user: Option<String>,
    consumer_key: Option<String>,
}

/// Runs the command.
pub(super) async fn run(args: AddArgs, global: &Global, output: &Output) -> Result<()> {
    let env = Environment::process();
    let config = Config::load_or_new(global.config.as_deref(), &env)?;
    let (how, default) = (if args.replace { Write::Replace } else { Write::New }, args.default);
    // Check whether the name is taken before asking for anything.
    if let Some(name) = &args.name
        && how == Write::New
        && config.names().contains(name)
        && name != LOCAL
    {
        return Err(Error::usage(format!("there is already a remote `{name}:`"))
            .hint("choose another name, or replace the remote with `--replace`"));
    }
    let asks = args.name.is_none() || args.provider.is_none() || args.url.is_none();
    let named = complete(&args, &config)?;
    let name = named.name.clone();
    let path = config.write_remote(&name, &profile(args, named)?, how)?;
    if default {
        config.write_default(&name)?;
    }
    output.note(&format!("added remote `{name}:` to {}", path.display()));
    let written = Config::load(global.config.as_deref(), &env)?;
    if let Err(error) = written.check(&name, &env) {
        output.warn(&error.to_string());
        if let Some(hint) = error.hint_text() {
            output.note(hint);
        }
        return Ok(());
    }
    if asks && wizard::agrees("test it now?")? {
        return super::test::remote(&name, global, output).await;
    }
    output.note(&format!("test it with `diskferry remote test {name}:`"));
    Ok(())
}

/// Asks at a terminal for what the command line omits.
///
/// # Errors
/// A usage error that names what is missing, if there is no terminal.
fn complete(args: &AddArgs, config: &Config) -> Result<Named> {
    let missing = [
        (args.name.is_none(), "a name"),
        (args.provider.is_none(), "`--provider`"),
        (args.url.is_none(), "`--url`"),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    let asks = !missing.is_empty();
    if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Error::usage(format!("{} missing, and no terminal to ask at", missing.join(", ")))
            .hint("the form is `diskferry remote add NAME: --provider PROVIDER --url URL`"));
    }
    let name = args.name.clone().map_or_else(|| wizard::name(config), Ok)?;
    let provider = args.provider.map_or_else(wizard::provider, Ok)?;
    let url = args.url.clone().map_or_else(|| wizard::url(provider), Ok)?;
    let (mut user, mut consumer_key) = (args.user.clone(), args.consumer_key.clone());
    if asks && args.account.is_none() {
        match wizard::user_called(provider) {
            Some(what) if user.is_none() => user = Some(wizard::user(what)?),
            None if is_spotcloud(provider) && consumer_key.is_none() => {
                consumer_key = Some(wizard::user("OAuth consumer key")?);
            }
            _ => {}
        }
    }
    Ok(Named { name, provider, url, user, consumer_key })
}

fn is_spotcloud(provider: Service) -> bool {
    provider == Service::Api(Provider::SpotCloud)
}

fn profile(args: AddArgs, named: Named) -> Result<Profile> {
    let spotcloud = is_spotcloud(named.provider);
    // Joyent requests are signed with a key.
    let keyed = args.key_id.is_some() || args.identity.is_some();
    let given = args.secret_command.is_some() || args.secret_file.is_some();
    let secret = if args.secret_stdin {
        Some(prompt::first_line(Path::new("-"))?)
    } else if given || keyed || without_secret(named.provider) {
        None
    } else if std::io::stdin().is_terminal() {
        Some(prompt::secret(if spotcloud { "consumer secret" } else { "secret (API key or password)" })?)
    } else {
        return Err(Error::usage("no secret was given").hint(
            "give it on standard input with `--secret-stdin`, or say where it is with `--secret-command` or `--secret-file`",
        ));
    };
    let (secret, consumer_secret) = if spotcloud { (None, secret) } else { (secret, None) };
    Ok(Profile {
        provider: Some(named.provider.name().to_owned()),
        url: Some(named.url),
        user: named.user,
        secret,
        secret_file: args.secret_file.map(absolute).transpose()?,
        secret_command: args.secret_command.map(Into::into),
        account: args.account,
        key_id: args.key_id,
        identity: args.identity.map(absolute).transpose()?,
        consumer_key: named.consumer_key,
        consumer_secret,
        allow_http: args.allow_http.then_some(true),
        ca_file: args.ca_file.map(absolute).transpose()?,
        ..Profile::default()
    })
}

/// Returns whether a remote is complete without a secret. Network block devices have none, and the ticket of
/// an image server is given with each transfer.
fn without_secret(service: Service) -> bool {
    matches!(service, Service::Disks(DiskService::Nbd | DiskService::Imageio))
}

/// Makes a path absolute. A relative path on the command line starts from the working directory, but in the
/// configuration file it would start from the file's directory.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    if path.starts_with("~") {
        return Ok(path);
    }
    std::path::absolute(&path).map_err(|e| Error::io(format!("finding {}", path.display()), e))
}

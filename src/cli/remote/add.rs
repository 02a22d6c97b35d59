//! `diskferry remote add`.

use super::name;
use crate::cli::Global;
use crate::cli::options::parse;
use crate::cli::output::Output;
use crate::cli::prompt;
use crate::config::{Config, Environment, FarEnd, Profile, Service, Write};
use crate::error::{Error, Result};
use crate::provider::Provider;
use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// What `remote add` takes.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(
    after_help = "Without any of the --secret options the secret is asked for at the terminal and written into the \
                  configuration file, which its owner alone can read.\n\nExample:\n  diskferry remote add oh \
                  --provider openhosting --url https://api-east1.openhosting.com/ --user UUID \
                  --secret-command 'pass show openhosting'"
)]
pub struct AddArgs {
    /// What the remote is to be called
    #[arg(value_name = "NAME:", value_parser = name)]
    name: String,
    /// Who is behind it: openhosting, crosspeer, cloudsigma, spotcloud or joyent; nbd, imageio or azure for disks alone
    #[arg(long, value_parser = parse::<Service>)]
    provider: Service,
    /// The address
    #[arg(
        long,
        help = "The API's address, as in its manual; for nbd nbd://HOST, for imageio https://HOST:54322/images, for azure \
                that of a container or of one blob"
    )]
    url: String,
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
    /// Make it the remote that is meant where none is named
    #[arg(long)]
    default: bool,
    /// Take the place of a remote of this name
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub(super) fn run(args: AddArgs, global: &Global, output: &Output) -> Result<()> {
    let env = Environment::process();
    let config = Config::load_or_new(global.config.as_deref(), &env)?;
    let name = args.name.clone();
    let (how, default) = (if args.replace { Write::Replace } else { Write::New }, args.default);
    // A name that is taken is said before anything is asked for.
    if how == Write::New && config.names().contains(&name) && name != crate::config::LOCAL {
        return Err(Error::usage(format!("there is a remote {name:?} already"))
            .hint("take another name, or replace it with --replace"));
    }
    let path = config.write_remote(&name, &profile(args)?, how)?;
    if default {
        config.write_default(&name)?;
    }
    output.note(&format!("remote {name}: is in {}", path.display()));
    let written = Config::load(global.config.as_deref(), &env)?;
    match written.check(&name, &env) {
        Ok(()) => output.note(&format!("try it: diskferry remote test {name}:")),
        Err(error) => {
            output.warn(&error.to_string());
            if let Some(hint) = error.hint_text() {
                output.note(hint);
            }
        }
    }
    Ok(())
}

fn profile(args: AddArgs) -> Result<Profile> {
    let spotcloud = args.provider == Service::Api(Provider::SpotCloud);
    // Joyent signs with a key.
    let keyed = args.key_id.is_some() || args.identity.is_some();
    let given = args.secret_command.is_some() || args.secret_file.is_some();
    let secret = if args.secret_stdin {
        Some(prompt::first_line(Path::new("-"))?)
    } else if given || keyed || without_secret(args.provider) {
        None
    } else if std::io::stdin().is_terminal() {
        Some(prompt::secret(if spotcloud { "consumer secret" } else { "secret (API key or password)" })?)
    } else {
        return Err(Error::usage("there is no secret").hint(
            "give it on standard input with --secret-stdin, or say where it is with --secret-command or --secret-file",
        ));
    };
    let (secret, consumer_secret) = if spotcloud { (None, secret) } else { (secret, None) };
    Ok(Profile {
        provider: Some(args.provider.name().to_owned()),
        url: Some(args.url),
        user: args.user,
        secret,
        secret_file: args.secret_file.map(absolute).transpose()?,
        secret_command: args.secret_command.map(Into::into),
        account: args.account,
        key_id: args.key_id,
        identity: args.identity.map(absolute).transpose()?,
        consumer_key: args.consumer_key,
        consumer_secret,
        allow_http: args.allow_http.then_some(true),
        ca_file: args.ca_file.map(absolute).transpose()?,
        ..Profile::default()
    })
}

/// Whether a remote is whole without a secret: network block devices have none, and of an image server the ticket is named with
/// each transfer.
fn without_secret(service: Service) -> bool {
    matches!(service, Service::Disks(FarEnd::Nbd | FarEnd::Imageio))
}

/// In the file a relative path would start from the file's directory, and on the command line it does not.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    if path.starts_with("~") {
        return Ok(path);
    }
    std::path::absolute(&path).map_err(|e| Error::io(format!("finding {}", path.display()), e))
}

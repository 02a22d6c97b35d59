//! `diskferry call`: any call of the catalogue.

use super::Global;
use super::account::{Account, RequestOptions, only_remote, values_of};
use super::noun::{Item, tell};
use super::options::parse;
use super::output::Output;
use super::values::{print_table, sort_by, text};
use super::wait::WaitOptions;
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use crate::provider::catalogue::{Arguments, Call, Format, Input};
use crate::transport::client::Reply;
use bytes::Bytes;
use clap::Args;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// The maximum size of an input, which is held in memory. Open Hosting's own tool sends a whole small image
/// in one write.
const LONGEST_INPUT: u64 = 256 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "`diskferry calls REMOTE:` lists the calls, `diskferry calls REMOTE: CALL` describes one.\n\n\
                  Prints the provider's own text, secrets and all, or with --json one object a line, its \
                  secrets hidden. On a terminal control characters are escaped. A failed request is repeated only \
                  where that is safe."
)]
pub struct CallArgs {
    /// The account
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Target,
    /// The id of the call, such as drives.info
    call: String,
    /// The arguments of the call's path in order, and its keys as KEY=VALUE
    #[arg(value_name = "ARGUMENT|KEY=VALUE")]
    words: Vec<String>,
    /// Take the input from FILE, or from standard input: bytes to write, or keys as text or JSON
    #[arg(short, long, value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// The format of the reply (SpotCloud only)
    #[arg(long, value_name = "json|xml", value_parser = parse::<Format>)]
    format: Option<Format>,
    /// Print a list as a table, in the order of this field
    #[arg(long, value_name = "FIELD", conflicts_with = "format")]
    sort: Option<String>,
    /// Send the method that the manual prints, even if another is known to be right
    #[arg(long)]
    as_printed: bool,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    request: RequestOptions,
}

/// Runs the command.
pub async fn run(args: CallArgs, global: &Global, output: &Output) -> Result<()> {
    let account = Account::open(Some(only_remote(&args.remote)?), &args.request, global, output).await?;
    let call = Call::find(account.provider(), &args.call)?;
    if call.output.is_binary() && output.is_json() {
        return Err(Error::usage(format!("{} answers bytes, not JSON", call.id)).hint("leave `--json` out"));
    }
    if call.output.is_binary() && std::io::stdout().is_terminal() {
        return Err(Error::usage(format!("{} answers bytes, which are not for a terminal", call.id))
            .hint("send them to a file with `> FILE`"));
    }
    if args.wait.wanted() && call.poll.is_none() {
        return Err(Error::usage(format!(
            "{} is done when its reply comes: `--wait` has nothing to wait for",
            call.id
        ))
        .hint("leave `--wait` out"));
    }
    let mut given = Arguments::from_words(&args.words)?;
    given.json = output.is_json();
    given.format = args.format;
    given.as_printed = args.as_printed;
    given.body = match &args.file {
        // Refuse this before the input is read: standard input might block.
        Some(_) if call.input == Input::None => {
            return Err(Error::usage(format!("{} takes no input", call.id)).hint("leave `-f` out"));
        }
        Some(file) => Some(input(file)?),
        None => None,
    };
    let reply = account.call(call, &given).await?;
    print(&args, call, &reply, output)?;
    if let Some(poll) = call.poll.as_ref().filter(|_| args.wait.wanted()) {
        let made = Item::of_reply(call, &reply).map_err(|e| e.context(call.id))?.into_iter().next();
        let ended = args.wait.until(poll, &given, made.as_ref(), &account, output).await?;
        tell(poll, &ended, output);
        output.event(
            "summary",
            serde_json::json!({ "action": call.id, "object": ended.object, "state": ended.state }),
        );
    }
    Ok(())
}

/// Prints the reply of a call.
fn print(args: &CallArgs, call: &'static Call, reply: &Reply, output: &Output) -> Result<()> {
    if call.output.is_binary() {
        return output.raw(&reply.body);
    }
    if output.is_json() && !call.output.is_json() {
        let objects = call.output.parse(Some(&reply.content_type), &reply.body)?;
        return objects.iter().try_for_each(|object| output.object("object", object));
    }
    let values = || values_of(call, reply).map_err(|e| e.context(call.id));
    if let Some(field) = &args.sort {
        let mut values = values()?;
        sort_by(&mut values, |value| text(value, field));
        return if output.is_json() {
            values.iter().try_for_each(|value| output.value("object", value))
        } else {
            print_table(&values, output)
        };
    }
    if output.is_json() {
        return values()?.iter().try_for_each(|value| output.value("object", value));
    }
    if call.output.headers().is_some() {
        return values()?.into_iter().try_for_each(|value| Item::Json(value).show("object", output));
    }
    output.reply(&reply.body)?;
    if !reply.body.is_empty() && !reply.body.ends_with(b"\n") {
        output.raw(b"\n")?;
    }
    Ok(())
}

/// Reads a file, or standard input for `-`.
fn input(file: &Path) -> Result<Bytes> {
    let dash = file.as_os_str() == "-";
    let name = if dash { "standard input".to_owned() } else { file.display().to_string() };
    let failed = |e| Error::io(format!("reading {name}"), e).with_kind(Kind::Source);
    let from: Box<dyn Read> =
        if dash { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(file).map_err(failed)?) };
    let mut bytes = Vec::new();
    from.take(LONGEST_INPUT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST_INPUT {
        return Err(Error::usage(format!("{name} is too large for one call: it has more than 256 MiB"))
            .hint("`diskferry upload` moves images of any size"));
    }
    Ok(bytes.into())
}

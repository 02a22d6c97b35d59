//! `diskferry boot`: bring your own server in one command. The image goes up as with `upload`, resumed like it; then a
//! server that boots from the drive is created, once, and runs.
//!
//! A second run does not make a second server: one of the same name is refused. If the server cannot be created the drive
//! is kept, and the error says the command that continues with it.

mod existing;

use super::Global;
use super::account::{Account, add_keys, given, only_remote};
use super::noun::Item;
use super::options::{TransferOptions, pair, parse, size};
use super::output::Output;
use super::server::create::{VncOptions, create, default_key, start_if_needed};
use super::server::{address, tell_address, until_active};
use super::session::Session;
use super::signals::quoted;
use super::source::SourceOptions;
use super::wait::WaitOptions;
use super::writing::{ResumeOptions, WriteOptions};
use crate::config::Target;
use crate::config::value::{parse_megabytes, parse_mhz};
use crate::error::{Error, Kind, Result};
use crate::event::Summary;
use crate::job::Done;
use crate::job::upload::{Delta, Image, Upload};
use crate::provider::catalogue::Call;
use crate::provider::catalogue::secret::is_secret_key;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long an address is waited for once the server runs: it is handed out when the server first asks for it.
const ADDRESS: Duration = Duration::from_secs(10);

/// The arguments of `boot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the server's UUID, and nothing else, on stdout. The server boots from ide:0:0, has one e1000 \
                  network card with an address by DHCP, is persistent, and shows no screen; --set changes each of \
                  these. If the upload is interrupted, the same command resumes it."
)]
pub struct BootArgs {
    /// An image to upload, or an existing drive
    #[arg(value_name = "IMAGE|REMOTE:DRIVE")]
    from: String,
    /// Where an image goes [default: the default remote]
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    to: Option<Target>,
    /// Name of the server, and of a new drive [default: the image's or drive's]
    #[arg(long)]
    name: Option<String>,
    /// The server's speed, in core MHz
    #[arg(long, value_name = "MHZ", default_value = "2000", value_parser = parse_mhz)]
    cpu: u32,
    /// The server's memory
    #[arg(long, value_name = "MB", default_value = "1024", value_parser = parse_megabytes)]
    mem: u32,
    /// Another key of the server, such as smp; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    #[command(flatten)]
    vnc: VncOptions,
    /// Size of the new drive, and of standard input
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    /// Another key of the new drive, such as tags; may be repeated
    #[arg(long = "drive-set", value_name = "KEY=VALUE", value_parser = pair)]
    drive_keys: Vec<(String, String)>,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    write: WriteOptions,
    #[command(flatten)]
    resume: ResumeOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: BootArgs, global: &Global, output: &Output) -> Result<()> {
    let to = args.to.as_ref().map(only_remote).transpose()?;
    let (remote, drive) = match args.from.parse::<Target>() {
        Ok(target) if Target::is_target(&args.from) => {
            let drive = target.object.clone().ok_or_else(|| {
                Error::usage(format!("no drive in `{target}` to boot from"))
                    .hint("name a drive, as in `REMOTE:DRIVE`, or an image")
            })?;
            if to.is_some_and(|to| to != target.remote) {
                return Err(Error::usage(format!("{target} is not on the remote of the new server")).hint(
                    "a server boots from a drive of its own remote; `diskferry migrate` moves a drive",
                ));
            }
            if args.size.is_some() || !args.drive_keys.is_empty() {
                return Err(Error::usage(
                    "`--size` and `--drive-set` are for a new drive, and an existing one is named",
                ));
            }
            (Some(target.remote.clone()), Some(drive))
        }
        _ => (to.map(str::to_owned), None),
    };
    let session = Session::open(remote.as_deref(), &args.transfer, global, output).await?;
    let account = Account::of(session, output)?;
    account.has(
        "servers.create",
        "create servers of this kind",
        "`diskferry upload` takes the image there",
    )?;
    let vnc = args.vnc.keys(account.provider())?;
    let drive = match drive {
        Some(drive) => Some(account.session.end.drive_id(&drive).await?),
        None => None,
    };

    // Everything about the server that can be wrong is found out before the first byte goes up. The drive's UUID is not
    // known yet.
    let name = args.name.clone().or_else(|| drive.is_none().then(|| image_name(&args.from)));
    let keys = server_keys(&args, name.as_deref().unwrap_or("server"), NO_DRIVE, &vnc, &account)?;
    Call::find(account.provider(), "servers.create")?.request(&given([], keys))?;
    existing::refuse_second(name.as_deref(), drive.as_deref(), &account).await?;

    let (drive, name, uploaded) = match drive {
        Some(drive) => {
            let info = account.session.end.drives()?.info(&drive).await?;
            if let Some(imaging) = info.imaging() {
                return Err(Error::new(Kind::Busy, format!("drive {drive} is being imaged ({imaging})"))
                    .hint("run the same command again once that is over"));
            }
            let name = name.unwrap_or(info.name);
            (drive, if name.is_empty() { "server".to_owned() } else { name }, None)
        }
        None => match upload(&args, name.clone(), &account, output).await? {
            Some(done) => (done.result.drive.clone(), name.unwrap_or_default(), Some(done)),
            // Only the plan was wanted.
            None => return Ok(()),
        },
    };
    if args.transfer.dry_run {
        output.note(&format!("server `{name}` would boot from drive {drive}"));
        return Ok(());
    }
    let mut uploaded = uploaded;
    uploaded.iter_mut().for_each(Done::release);
    let keys = server_keys(&args, &name, &drive, &vnc, &account)?;
    let server = match create(keys, false, &account).await {
        Ok(server) => server,
        Err(error) => return Err(go_on(error, &args, &name, &drive, &account, global)),
    };
    let id = server.made("server", "server", &given([], []))?;
    if output.is_json() { server.print("server", output) } else { output.data(&id) }?;
    // Until here a run that is killed finds the drive by the upload's journal.
    uploaded.map_or(Ok(()), Done::commit)?;
    account.session.leftovers.destroy(&account.session.end, &account.session.dirs, output).await;
    start_if_needed(&server, &account).await.map_err(|e| {
        e.hint(format!("the server exists: start it with `diskferry server start {}:{id}`", account.remote()))
    })?;
    tell(&id, &account, output).await
}

/// Stands for the drive until it is there.
const NO_DRIVE: &str = "00000000-0000-0000-0000-000000000000";

/// The keys of the server. What was asked for goes before the defaults.
fn server_keys(
    args: &BootArgs,
    name: &str,
    drive: &str,
    vnc: &[(String, String)],
    account: &Account,
) -> Result<Vec<(String, String)>> {
    let mut keys = Vec::new();
    add_keys(&mut keys, args.keys.iter().cloned())?;
    add_keys(&mut keys, vnc.iter().cloned())?;
    let call = Call::find(account.provider(), "servers.create")?;
    for (key, value) in [
        ("name", name),
        ("cpu", &args.cpu.to_string()),
        ("mem", &args.mem.to_string()),
        ("smp", "auto"),
        ("persistent", "true"),
        ("ide:0:0", drive),
        ("boot", "ide:0:0"),
        ("nic:0:model", "e1000"),
        ("nic:0:dhcp", "auto"),
    ] {
        // Only what the provider knows.
        if call.input.keys().any(|(known, _)| known.matches(key)) {
            default_key(&mut keys, key, value);
        }
    }
    Ok(keys)
}

/// What an image is called, on one line.
fn image_name(image: &str) -> String {
    let path = PathBuf::from(image);
    let name = match image {
        "-" => "stdin".into(),
        _ => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Uploads the image; `None` if only the plan was wanted.
async fn upload(
    args: &BootArgs,
    name: Option<String>,
    account: &Account,
    output: &Output,
) -> Result<Option<Done<Summary>>> {
    let session = &account.session;
    let upload = Upload {
        drive: None,
        name,
        size: args.size,
        keys: args.drive_keys.clone(),
        compression: args.write.compress,
        zeros: args.write.zeros,
        delta: Delta::Off,
    };
    session.allow_destroying(&args.write, &args.transfer);
    let settings = session.settings(&args.transfer, args.resume);
    let context = &session.context;
    let image = Image::open(Path::new(&args.from), args.source.open_options(args.size), context).await?;
    let done = upload.run(image, &session.end.far(None).await?.0, &settings, context).await;
    session.settle();
    let Some(done) = done? else { return Ok(None) };
    output.summary(&format!("uploaded to {}:{}", account.remote(), done.result.drive), &done.result)?;
    Ok(Some(done))
}

/// The error of a server that was not created, with the command that goes on.
fn go_on(
    error: Error,
    args: &BootArgs,
    name: &str,
    drive: &str,
    account: &Account,
    global: &Global,
) -> Error {
    let remote = account.remote();
    let mut words = vec!["diskferry".to_owned()];
    if let Some(config) = &global.config {
        words.extend(["--config".into(), config.display().to_string()]);
    }
    words.extend(["boot".into(), format!("{remote}:{drive}"), "--name".into(), name.to_owned()]);
    words.extend(["--cpu".into(), args.cpu.to_string(), "--mem".into(), args.mem.to_string()]);
    // What the server names in its refusal is what it refuses: the command without it is one that can work.
    let refused = matches!(error.kind(), Kind::Refused | Kind::NotFound | Kind::Busy);
    let said = error.server_message().filter(|_| refused).unwrap_or_default();
    let is_blamed = |key: &str, value: &str| said.contains(key) || (value.len() > 3 && said.contains(value));
    let (mut blamed, mut dropped) = (Vec::new(), Vec::new());
    for (key, value) in &args.keys {
        if is_secret_key(key) {
            dropped.push(key.as_str());
        } else if is_blamed(key, value) {
            blamed.push(key.as_str());
        } else {
            words.extend(["--set".into(), format!("{key}={value}")]);
        }
    }
    if args.vnc.vnc {
        words.push("--vnc".into());
    }
    if let Some(file) = &args.vnc.vnc_password_file {
        words.extend(["--vnc-password-file".into(), file.display().to_string()]);
    }
    let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let open =
        matches!(error.kind(), Kind::Timeout | Kind::Connection | Kind::ShortReply | Kind::Unavailable);
    let look = if open {
        format!("if `diskferry server list {remote}:` does not show the server: ")
    } else {
        String::new()
    };
    let others = refused && blamed.is_empty() && !args.keys.is_empty();
    let without = match (blamed.is_empty(), others) {
        (false, _) => format!("without what was refused, {}: ", blamed.join(" and ")),
        (true, true) => "correct what was refused, then: ".to_owned(),
        (true, false) => String::new(),
    };
    let secrets = if dropped.is_empty() {
        String::new()
    } else {
        format!(" (give {} again: secrets are not repeated here)", dropped.join(" and "))
    };
    let why = error.hint_text().filter(|_| !open).map(|hint| format!("{hint}; ")).unwrap_or_default();
    error
        .context(format_args!("the server was not created, drive {drive} was"))
        .hint(format!("{why}{look}{without}{}{secrets}", command.join(" ")))
}

/// Says the server's address, if it comes to have one.
async fn tell(id: &str, account: &Account, output: &Output) -> Result<()> {
    let wait = WaitOptions::of(Duration::from_mins(1));
    let mut server: Item = until_active(wait, id, account, output).await?;
    let start = Instant::now();
    while address(&server).is_none() && start.elapsed() < ADDRESS && !account.stop().is_asked() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server = account.item("servers.info", &given([id], [])).await?;
    }
    if address(&server).is_none() {
        output.note(&format!(
            "no address yet: `diskferry server info {}:{id}` shows it later",
            account.remote()
        ));
    }
    tell_address(&server, output);
    output
        .event("summary", serde_json::json!({ "action": "boot", "server": id, "address": address(&server) }));
    Ok(())
}

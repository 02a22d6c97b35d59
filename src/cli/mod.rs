//! The command line: its definition, and one file a command. Everything is printed and drawn from here.

mod account;
mod analytics;
mod backup;
mod backups;
mod boot;
mod call;
mod calls;
pub mod complete;
mod completions;
mod credentials;
mod download;
mod drive;
mod far;
mod heatmap;
mod help;
mod ignored;
mod joyent;
mod leftover;
mod man;
mod market;
mod mend;
mod migrate;
mod noun;
mod options;
pub mod output;
mod parse;
mod progress;
mod prompt;
mod remote;
pub mod report;
mod restore;
mod serve;
mod server;
mod session;
mod set;
pub mod signals;
mod source;
mod summary;
mod table;
mod transfers;
mod upload;
mod usage;
mod values;
mod verify;
mod wait;
mod words;
mod writing;

use crate::error::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use output::Output;
use std::path::PathBuf;

/// Moves whole drive images into, out of and between clouds
///
/// It is for clouds whose API takes a drive as many small HTTP requests. Every transfer is verified, and goes on where it
/// stopped when the same command is run again.
///
/// A remote is written NAME: and a drive on it NAME:DRIVE. The remote local: is always there and needs no account: it is an
/// emulator inside this program.
#[derive(Debug, Parser)]
#[command(name = "diskferry", version, arg_required_else_help = true)]
pub struct Cli {
    /// The options that every command has.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The options that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = help::GLOBAL)]
pub struct Global {
    /// Show the plan and repeated requests; -vv shows every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Print nothing but errors on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print one JSON object a line on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Use this configuration file
    ///
    /// Without it, `$DISKFERRY_CONFIG` or `$XDG_CONFIG_HOME/diskferry/config.toml`.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "auto|always|never", default_value = "auto")]
    pub color: Color,
    /// Draw no progress bar
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload an image to a drive, new or existing
    Upload(upload::UploadArgs),
    /// Download a drive to a file or to standard output
    Download(download::DownloadArgs),
    /// Move drives or appliances to another remote
    Migrate(migrate::MigrateArgs),
    /// Compare a file with a drive and print the offsets that differ
    Verify(verify::VerifyArgs),
    /// Back drives up into a store of deduplicated chunks
    Backup(backup::BackupArgs),
    /// Restore a backup to a drive or a file
    Restore(restore::RestoreArgs),
    /// List, verify and prune the backups in a store
    #[command(subcommand)]
    Backups(backups::BackupsCommand),
    /// Show and discard the resumable transfers on this machine
    #[command(subcommand)]
    Transfers(transfers::TransfersCommand),
    /// Make any call of a provider's API, by its name in the catalogue
    Call(call::CallArgs),
    /// List the calls of the providers' APIs, or describe one
    Calls(calls::CallsArgs),
    /// The typed commands: `drive`, `server` and so on.
    #[command(flatten)]
    Noun(noun::NounCommand),
    /// Upload an image and start a server that boots from it
    Boot(boot::BootArgs),
    /// Add, list, test and remove accounts
    #[command(subcommand)]
    Remote(remote::RemoteCommand),
    /// Run the emulator of the clouds' APIs
    Serve(serve::ServeArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write all pages into a directory
    Man(man::ManArgs),
}

impl Command {
    /// Whether the command ends by itself when a stop is asked for, because it may have something to settle. Every other
    /// command is given up.
    fn stops_itself(&self) -> bool {
        matches!(
            self,
            Command::Upload(_)
                | Command::Download(_)
                | Command::Migrate(_)
                | Command::Backup(_)
                | Command::Restore(_)
                | Command::Backups(_)
                | Command::Boot(_)
                | Command::Serve(_)
        )
    }
}

impl Cli {
    /// Runs the command, until it ends or a signal ends it.
    pub async fn run(self, output: &Output) -> Result<()> {
        let stop = signals::stop_on_signals(output);
        let stops_itself = self.command.stops_itself();
        signals::settles(matches!(self.command, Command::Serve(_)));
        let running = Box::pin(self.execute(output));
        if stops_itself { running.await } else { stop.unless_asked(running).await }
    }

    async fn execute(self, output: &Output) -> Result<()> {
        let global = &self.global;
        match self.command {
            Command::Upload(args) => upload::run(args, global, output).await,
            Command::Download(args) => download::run(args, global, output).await,
            Command::Migrate(args) => Box::pin(migrate::run(args, global, output)).await,
            Command::Verify(args) => verify::run(args, global, output).await,
            Command::Backup(args) => Box::pin(backup::run(args, global, output)).await,
            Command::Restore(args) => Box::pin(restore::run(args, global, output)).await,
            Command::Backups(command) => Box::pin(backups::run(command, global, output)).await,
            Command::Transfers(command) => transfers::run(command, output),
            Command::Call(args) => call::run(args, global, output).await,
            Command::Calls(args) => calls::run(&args, global, output),
            Command::Noun(command) => Box::pin(command.run(global, output)).await,
            Command::Boot(args) => Box::pin(boot::run(args, global, output)).await,
            Command::Remote(command) => remote::run(command, global, output).await,
            Command::Serve(args) => serve::run(args, output).await,
            Command::Completions(args) => completions::run(&args, output),
            Command::Man(args) => man::run(&args, output),
        }
    }
}

impl Global {
    /// Starts the log on standard error: with `-v` repeated requests, with `-vv` every request.
    pub fn start_logging(&self, output: &Output) {
        let filter = match self.verbose {
            0 => return,
            1 => "warn,diskferry=info",
            _ => "warn,diskferry=debug",
        };
        // Fails only if there is a logger already, which then does as well.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(output.log())
            .with_target(false)
            .with_ansi(false)
            .try_init();
    }
}

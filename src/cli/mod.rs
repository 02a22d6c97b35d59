//! The command line: what can be said, and what becomes of it. All drawing and printing is here.

mod account;
mod analytics;
mod backup;
mod backups;
mod boot;
mod call;
mod calls;
mod completions;
mod credentials;
mod download;
mod drive;
mod far;
mod heatmap;
mod joyent;
mod man;
mod market;
mod migrate;
mod noun;
mod options;
pub mod output;
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
mod table;
mod transfers;
mod upload;
mod values;
mod verify;
mod wait;
mod words;

use crate::error::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use output::Output;
use std::path::PathBuf;

/// Moves whole drive images into, out of and between clouds that take a drive as many small HTTP requests: fast,
/// verified, and resumable after any interruption.
///
/// A remote is written NAME: and a drive on it NAME:UUID. Without any configuration there is local:, an emulator
/// inside the program, to try everything out.
#[derive(Debug, Parser)]
#[command(name = "diskferry", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Say more on stderr: each repeated request; twice, each request
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print one JSON object a line on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// The configuration file
    ///
    /// Without it, `$DISKFERRY_CONFIG` or `$XDG_CONFIG_HOME/diskferry/config.toml`.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
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
    /// Upload an image to a drive, making the drive if none is named
    Upload(upload::UploadArgs),
    /// Download a drive to a file or to standard output
    Download(download::DownloadArgs),
    /// Move a drive or an appliance to another remote, through this machine but not onto it
    Migrate(migrate::MigrateArgs),
    /// Compare a file with a drive; exit 6 and print the offsets that differ if any do
    Verify(verify::VerifyArgs),
    /// Back drives up into a store of deduplicated chunks that casync reads, too
    Backup(backup::BackupArgs),
    /// Restore a backup to a remote, or to a file
    Restore(restore::RestoreArgs),
    /// The backups in a store: list, verify, prune
    #[command(subcommand)]
    Backups(backups::BackupsCommand),
    /// Resumable transfers on this machine
    #[command(subcommand)]
    Transfers(transfers::TransfersCommand),
    /// Make any call of a provider's API, by its name in the catalogue
    Call(call::CallArgs),
    /// List the calls that can be made
    Calls(calls::CallsArgs),
    /// The typed commands: `drive`, `server` and so on.
    #[command(flatten)]
    Noun(noun::NounCommand),
    /// Upload an image, then create and start a server that boots from it
    Boot(boot::BootArgs),
    /// The accounts that can be reached
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
    /// Whether it ends by itself when a stop is asked for, because there may be something to settle. Every other command is
    /// given up.
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
            Command::Calls(args) => calls::run(&args, output),
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
    /// Sends the library's traces to stderr, as far as -v asks for them, under the rules of `output`.
    pub fn start_logging(&self, output: &Output) {
        if self.verbose < 2 {
            return;
        }
        let filter = tracing_subscriber::EnvFilter::new("warn,diskferry=debug");
        // Fails only if there is a logger already, which then does as well.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(output.log())
            .with_ansi(false)
            .try_init();
    }
}

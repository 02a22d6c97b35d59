//! The command line of diskferry: parse, run, and turn the outcome into an exit status.
//!
//! Clap, the terminal and the bars are here; the library knows nothing of them.

mod cli;

// What the program uses of the library, under the names that its files know.
use cli::{Cli, output::Output, signals};
use diskferry::{
    auth, backup, chunk, config, digest, disk, emulator, engine, error, escape, event, job, journal, meters,
    nearest, provider, record, report, stop, transport, units, wire,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before there is a second thread.
    if cli::complete::answer() {
        return ExitCode::SUCCESS;
    }
    // Before anything else, so that no moment is without it.
    signals::listen();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(ended) => return ended,
    };
    let output = Output::new(&cli.global);
    cli.global.start_logging(&output);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&error::Error::io("starting the runtime", e)),
    };
    let ended = runtime.block_on(cli.run(&output));
    let ended = cli::report::end(ended, &output);
    // A thread that still waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}
